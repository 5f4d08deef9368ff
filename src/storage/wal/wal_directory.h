// The files of one shard's WAL directory: prepares the next file ahead of its use and takes back released
// ones.
//
// All disk work runs on the pool, in steps of at most 1 MiB so that flushes and cold reads get their turn.
// Names change in an order that recovery relies on: a `.wal` name appears only after its header and size are
// durable, and a file loses it only after every older file's removal is durable. While it may hold a chunk it is
// noted in the register. Loop thread only.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "runtime/file.h"
#include "runtime/loop.h"
#include "storage/wal/chunk.h"
#include "storage/wal_register.h"

namespace weir::storage {

class WalDirectory {
 public:
  // A .tmp or .spare file found at start.
  struct Leftover {
    WalFileName name;
    uint64_t bytes = 0;
  };
  struct Options {
    std::string path;
    uint32_t shard = 0;
    uint64_t incarnation = 0;
    uint64_t next_generation = 1;
    uint64_t file_bytes = 0;  // spares of another size are removed, not reused
    size_t kept_spares = 2;
    std::vector<Leftover> leftovers;
    WalFileRegister* file_register = nullptr;  // outlives the pool's work; null in tests that need none
  };
  WalDirectory(runtime::FileSystem& files, runtime::Loop& loop, runtime::Pool& pool, Options options);
  ~WalDirectory();
  WalDirectory(const WalDirectory&) = delete;
  WalDirectory& operator=(const WalDirectory&) = delete;

  // Makes a file ready to be written to: a new one of `bytes`, zero-filled, or a recycled one of at least
  // that size; header and name are durable, and the register knows it. One that the register did not take is
  // kept and is what the next call makes ready, whatever its size. One at a time.
  void prepare(uint64_t bytes, ChunkNumber durable_before, Function<void(Result<WalFileHeader>)> done);
  bool preparing() const { return preparing_; }

  // Takes back a `.wal` file whose chunks are not needed any more. Call in the order of the files. A failure
  // is logged and tried again with the next call.
  void retire(uint64_t generation, uint64_t bytes);

  std::string path_of(uint64_t generation, WalFileKind kind = WalFileKind::kLog) const {
    return options_.path + "/" + wal_file_name(generation, kind);
  }

 private:
  struct Preparation;
  struct Retired {
    uint64_t generation;
    uint64_t bytes;
  };
  void advance(std::shared_ptr<Preparation> job);
  void retire_next();
  void take_leftovers();

  runtime::FileSystem& files_;
  runtime::Loop& loop_;
  runtime::Pool& pool_;
  const Options options_;
  const uint64_t ordering_key_;
  std::shared_ptr<WalDirectory*> self_;  // null once destroyed; completions on the way check it

  uint64_t next_generation_;
  std::optional<WalFileHeader> unnoted_;  // complete, but whether the register has it is not known
  bool preparing_ = false;
  bool retiring_ = false;
  std::deque<Retired> retired_;
  std::vector<uint64_t> spares_;  // generations, oldest first
};

}  // namespace weir::storage
