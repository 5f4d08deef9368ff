// The register of the write-ahead logs: their sessions and files, which must be there at the next start, and whose batches they
// hold (docs/formats/wal.md). Calls block and may come from any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "storage/types.h"

namespace weir::storage {

struct WalSession {
  uint32_t shard = 0;
  uint64_t incarnation = 0;
  uint64_t first_chunk = 0;
  uint64_t last_chunk = 0;  // once sealed
  bool sealed = false;
  bool operator==(const WalSession&) const = default;
};

struct WalFile {
  uint32_t shard = 0;
  uint64_t generation = 0;
  bool operator==(const WalFile&) const = default;
};

// A partition that a shard acquired from another owner. Its hash says another shard, but what is lost of this shard's log may be
// its batches.
struct WalGuest {
  uint32_t shard = 0;
  PartitionId partition;
  auto operator<=>(const WalGuest&) const = default;
};

// The list of the write-ahead logs' files, so that the next start notices a file that vanished. A file is noted after its name is
// durable and before its first chunk. It is forgotten before it loses its name. So every noted file must be there.
class WalFileRegister {
 public:
  virtual ~WalFileRegister() = default;
  virtual Result<void> note_wal_file(uint32_t shard, uint64_t generation) = 0;
  virtual Result<void> forget_wal_file(uint32_t shard, uint64_t generation) = 0;
};

class WalRegister : public WalFileRegister {
 public:
  virtual Result<std::vector<WalSession>> wal_sessions() = 0;
  virtual Result<std::vector<WalFile>> wal_files() = 0;                           // the noted files
  virtual Result<void> put_wal_sessions(const std::vector<WalSession>& all) = 0;  // replaces all durably
  // Replaces the sessions and the files in one transaction.
  virtual Result<void> put_wal_sessions_and_files(const std::vector<WalSession>& sessions, const std::vector<WalFile>& files) = 0;
  // Of the shard's session that has not ended, before the partition's first batch in it is acknowledged. Once more changes
  // nothing. Goes with the session.
  virtual Result<void> note_wal_guest(const WalGuest& guest) = 0;
  virtual Result<std::vector<WalGuest>> wal_guests() = 0;
};

}  // namespace weir::storage
