// Reads a shard's WAL at start: every batch that was durable, in order; what is damaged; where the log ends.
//
// A session is the life of one LocalWal. Sessions that ended are sealed: their last chunk is known, so
// whatever is missing or bad up to it is corruption. The one session that is not sealed ends at the first
// chunk that is not exactly the next number of its incarnation. A bad chunk there is torn, and dropped, if
// nothing shows that it was durable (a later chunk, a file prepared after it, damage that no interrupted write
// leaves); else it is corruption. Chunks in front of the first file still present were released. A file that the
// register knows must be there. See docs/formats/wal.md, "Replay".
//
// Blocking. When replay_wal returns, everything it delivered is durable. The caller then seals the session
// with its end chunk before it serves anything, and begins the next session at next_chunk in a new file
// (LocalWalOptions takes the result's fields).
#pragma once

#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/wal/local_wal.h"
#include "storage/wal/wal_sessions.h"
#include "storage/wal_register.h"

namespace weir::storage {

struct WalReplayOptions {
  // How far behind the end of the unsealed session a later chunk is searched for. A lone lost write is found
  // if no longer.
  uint64_t probe_bytes = 4ull << 20;
  // The search ends earlier in a file that was never recycled after so many zeros.
  uint64_t zero_probe_bytes = 256 * 1024;
  // Generations of the files that the register knows of. One that is missing fails the replay, unless an operator
  // gave it up (`.lost`): then it is reported as corruption.
  std::vector<uint64_t> noted;
  // Nothing fails the replay but the device: files that are gone are reported as if they had been given up, those of no
  // session as damage. For `weir log salvage`.
  bool take_what_is_there = false;
};

struct WalReplayResult {
  struct Session {
    WalSession row;
    ChunkNumber end_chunk = 0;  // what a row not yet sealed is to be sealed with
    bool has_files = false;     // without any, the row is not needed any more
  };
  std::vector<Session> sessions;
  ChunkNumber next_chunk = 1;
  uint64_t next_generation = 1;
  std::vector<EarlierWalFile> files;              // LocalWalOptions::earlier
  std::vector<WalDirectory::Leftover> leftovers;  // LocalWalOptions::leftovers
  std::vector<std::string> unknown_files;         // unreadable and left alone
  std::vector<std::string> given_up;              // marks of operators, to be removed once the register is up to date

  uint64_t bytes_read = 0;
  uint64_t chunks = 0;
  uint64_t batches = 0;
  uint64_t batch_bytes = 0;
  uint64_t torn_bytes = 0;  // of the chunk that was cut off, if there was one
  uint64_t corruptions = 0;
};

// `sessions`: the rows of this shard in the order they began. Fails on errors of the device, on a file that is
// missing and on one that no session knows: both would cost acknowledged batches and may still be put right.
Result<WalReplayResult> replay_wal(runtime::FileSystem& files, const std::string& directory, uint32_t shard,
                                   const std::vector<WalSession>& sessions, WalReplayVisitor& visitor,
                                   const WalReplayOptions& options = {});

}  // namespace weir::storage
