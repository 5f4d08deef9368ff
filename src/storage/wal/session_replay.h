// Replays the files of one session. This part of replay_wal decides whether a chunk is whole, torn, corrupt or released.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/wal/chunk.h"
#include "storage/wal/file_reader.h"
#include "storage/wal/replay.h"

namespace weir::storage {

// A file that belongs to a session.
struct WalLogFile {
  std::string path;
  WalFileHeader header;
  std::unique_ptr<WalFileReader> reader;
  uint64_t used_bytes = kWalBlock;
  ChunkNumber last_chunk = 0;
};

class SessionReplay {
 public:
  // `files` in the order of their generations; not empty.
  SessionReplay(const WalSession& session, std::vector<WalLogFile*> files, WalReplayVisitor& visitor,
                const WalReplayOptions& options, WalReplayResult& result);

  // Delivers the batches of the session. Returns its end chunk.
  Result<ChunkNumber> run();

 private:
  struct Place {
    size_t file = 0;
    uint64_t offset = kWalBlock;
  };
  struct Found {
    Place place;
    ChunkNumber number;
  };
  struct Saved {
    ChunkNumber number;
    Place place;
  };

  void step();
  void read_chunk(const ChunkHeader& header);
  void accept(const ChunkHeader& header);
  std::optional<ChunkHeader> header_at(const Place& place, ChunkNumber least);
  std::optional<Found> find_chunk(const Place& from, ChunkNumber least);
  std::optional<Found> scan(const Place& from, ChunkNumber least, uint64_t limit);
  bool damaged_header_at(const Place& place);
  void lose(ChunkNumber last, const std::optional<Place>& until);
  std::vector<Saved> salvage(size_t file, uint64_t begin, uint64_t end, ChunkNumber first, ChunkNumber last);
  void end_without_later_chunk(bool damaged);
  // True if the file is shorter than the log made it and ends before `end`: nobody can know what was there.
  bool cut_short(const Place& place, uint64_t end);
  // Reports the damaged batches of a chunk at `place` and delivers the intact ones.
  void deliver_damaged(const ChunkFooter& footer, const Place& place, Bytes chunk, const Slice& memory, const char* what);
  void deliver(ChunkNumber number, const FooterEntry& entry, const Slice& chunk);
  void report(const Place& place, ChunkNumber first, ChunkNumber last, std::vector<BatchInfo> lost, bool unknown,
              std::string message);
  bool device_failed() const;
  WalLogFile& file(const Place& place) { return *files_[place.file]; }

  const WalSession session_;
  const std::vector<WalLogFile*> files_;
  WalReplayVisitor& visitor_;
  const WalReplayOptions options_;
  WalReplayResult& result_;
  ChunkNumber known_durable_;  // every chunk of the session up to this one was durable, or is 0

  Place place_;
  ChunkNumber expected_;  // the next chunk; until the first one is seen, the least it can be
  bool first_seen_ = false;
  bool done_ = false;
};

}  // namespace weir::storage
