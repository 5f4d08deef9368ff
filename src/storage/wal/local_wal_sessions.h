// The write-ahead logs of all shards in files of this machine, `<log directory>/wal/<shard>/`. The register lists the sessions
// and files (docs/formats/wal.md).
//
// `files`, `pool` and `wal_register` outlive this object and the logs it opens.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/runtime.h"
#include "storage/wal/local_wal.h"
#include "storage/wal/replay.h"
#include "storage/wal/wal_sessions.h"
#include "storage/wal_register.h"

namespace weir::storage {

struct LocalWalSettings {
  std::string log_dir;       // holds wal/
  uint64_t incarnation = 0;  // a random non-zero number, new for every start
  uint64_t file_bytes = 64ull << 20;
  bool flush_to_device = true;             // false: flush=os, the page cache counts as durable
  BackgroundThrottle* throttle = nullptr;  // told of each flush; outlives the logs
};

class LocalWalSessions final : public WalSessions {
 public:
  LocalWalSessions(const runtime::Runtime& runtime, WalRegister& wal_register, LocalWalSettings settings);

  Result<Earlier> earlier() override;
  Result<Replayed> replay(unsigned shard, WalReplayVisitor& visitor) override;
  Result<void> begin(unsigned shards, bool checkpointed) override;
  std::unique_ptr<WalBackend> open(unsigned shard, runtime::Loop& loop, bool save_space) override;
  Result<void> end(const std::vector<const WalBackend*>& logs) override;

 private:
  Result<void> read_rows();
  Result<void> remove_checkpointed_logs();
  std::vector<WalSession> sealed_sessions() const;
  std::string directory(unsigned shard) const { return settings_.log_dir + "/wal/" + std::to_string(shard); }

  runtime::FileSystem& files_;
  runtime::Pool& pool_;
  WalRegister& register_;
  const LocalWalSettings settings_;
  bool rows_read_ = false;
  std::vector<WalSession> rows_;                  // as the start found them
  std::vector<WalFile> noted_;                    // as the start found them
  std::map<unsigned, WalReplayResult> replayed_;  // by shard of the previous process, until its new log is opened
};

}  // namespace weir::storage
