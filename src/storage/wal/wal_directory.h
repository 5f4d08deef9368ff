// The files of one shard's WAL directory: prepares the next file ahead of its use and takes back released files.
//
// Recovery relies on the order in which names change: a `.wal` name appears only after the file's header and size are durable,
// and a file loses it only after every older file's removal is durable. The register knows a file as long as the file may hold
// a chunk. Loop thread only. All disk work runs on the pool, in steps of at most 1 MiB, so that flushes and cold reads get their
// turn.
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

  // Makes a file ready for chunks: a new file of `bytes`, filled with zeros, or a recycled file of at least that size. Its header
  // and name are then durable, and the register knows it. If the register did not take the note, the file stays, and the next
  // call makes that file ready, whatever its size. One call at a time.
  void prepare(uint64_t bytes, ChunkNumber durable_before, Function<void(Result<WalFileHeader>)> done);
  bool preparing() const { return preparing_; }

  // Takes back a `.wal` file whose chunks nobody needs any more. Call in the order of the files. The directory logs a failure and
  // tries again with the next call.
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
  std::shared_ptr<WalDirectory*> self_;  // points to null once this is destroyed; late completions check it

  uint64_t next_generation_;
  std::optional<WalFileHeader> unnoted_;  // of a complete file that the register may or may not know
  bool preparing_ = false;
  bool retiring_ = false;
  std::deque<Retired> retired_;
  std::vector<uint64_t> spares_;  // generations, oldest first
};

}  // namespace weir::storage
