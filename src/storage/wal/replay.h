// Reads a shard's write-ahead log at a start: delivers every durable batch in order, reports damage, and finds the log's end.
//
// Blocks. When replay_wal returns, everything it delivered is durable. The caller then seals the session with its end chunk
// before it serves anything, and begins the next session at next_chunk in a new file (LocalWalOptions takes the result's
// fields).
//
// A session is the life of one LocalWal. A session that ended in order is sealed: its last chunk is known, so a missing or bad
// chunk up to it is corruption. The one session that is not sealed ends at the first chunk that does not have the next number
// of its incarnation. A bad chunk there is torn, and dropped, if nothing shows that it was durable. A later chunk shows it, so
// does a file prepared after it, and damage that no interrupted write leaves; the chunk is then corrupt. Chunks in front of the
// oldest file present were released. A file that the register knows must be there. See docs/formats/wal.md, "Replay".
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
  // How far behind the end of the unsealed session replay looks for a later chunk. It sees that a single write was lost if that
  // write was no longer than this.
  uint64_t probe_bytes = 4ull << 20;
  // In a file that was never recycled the search ends earlier, after so many zeros.
  uint64_t zero_probe_bytes = 256 * 1024;
  // Generations of the files that the register knows. A missing one fails the replay, unless an operator gave it up (`.lost`):
  // then replay reports it as corruption.
  std::vector<uint64_t> noted;
  // Only an error of the device fails the replay. Replay reports missing files as if an operator had given them up, and files of
  // no session as damage. For `weir log salvage`.
  bool take_what_is_there = false;
};

struct WalReplayResult {
  struct Session {
    WalSession row;
    ChunkNumber end_chunk = 0;  // the last chunk, with which a row not yet sealed is to be sealed
    bool has_files = false;     // false: the row is not needed any more
  };
  std::vector<Session> sessions;
  ChunkNumber next_chunk = 1;
  uint64_t next_generation = 1;
  std::vector<EarlierWalFile> files;              // LocalWalOptions::earlier
  std::vector<WalDirectory::Leftover> leftovers;  // LocalWalOptions::leftovers
  std::vector<std::string> unknown_files;         // unreadable and left alone
  std::vector<std::string> given_up;              // `.lost` files, to be removed once the register is up to date

  uint64_t bytes_read = 0;
  uint64_t chunks = 0;
  uint64_t batches = 0;
  uint64_t batch_bytes = 0;
  uint64_t torn_bytes = 0;  // of the torn chunk, if there was one
  uint64_t corruptions = 0;
};

// `sessions`: the rows of this shard in the order of their beginning. Fails on an error of the device, on a missing file and on a
// file of no session. The latter two would cost acknowledged batches, and an operator may still put them right.
Result<WalReplayResult> replay_wal(runtime::FileSystem& files, const std::string& directory, uint32_t shard,
                                   const std::vector<WalSession>& sessions, WalReplayVisitor& visitor,
                                   const WalReplayOptions& options = {});

}  // namespace weir::storage
