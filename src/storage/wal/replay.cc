#include "storage/wal/replay.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "storage/wal/session_replay.h"

namespace weir::storage {
namespace {

class WalReplay {
 public:
  WalReplay(runtime::FileSystem& files, const std::string& directory, uint32_t shard, const std::vector<WalSession>& sessions,
            WalReplayVisitor& visitor, const WalReplayOptions& options)
      : files_(files), directory_(directory), shard_(shard), sessions_(sessions), visitor_(visitor), options_(options) {}

  Result<WalReplayResult> run() {
    if (auto listed = list(); !listed) return std::unexpected(listed.error());
    if (auto complete = check_noted(); !complete) return std::unexpected(complete.error());
    for (const auto& row : sessions_) {
      if (auto replayed = replay_session(row); !replayed) return std::unexpected(replayed.error());
    }
    report_lost_before(UINT64_MAX);
    if (auto durable = make_durable(); !durable) return std::unexpected(durable.error());
    for (const WalLogFile& log : logs_) result_.bytes_read += log.reader->bytes_read();
    return std::move(result_);
  }

 private:
  Result<void> list() {
    const auto entries = files_.list(directory_);
    if (!entries && entries.error().code == ErrorCode::kNotFound) return {};
    if (!entries) return std::unexpected(entries.error());
    directory_exists_ = true;
    for (const runtime::DirectoryEntry& entry : *entries) {
      const auto name = parse_wal_file_name(entry.name);
      if (!name || entry.is_directory) continue;
      result_.next_generation = std::max(result_.next_generation, name->generation + 1);
      if (name->kind == WalFileKind::kGivenUp) {
        given_up_.insert(name->generation);
        result_.given_up.push_back(directory_ + "/" + entry.name);
      } else if (name->kind != WalFileKind::kLog) {
        result_.leftovers.push_back({*name, entry.size});
      } else {
        present_.insert(name->generation);
        if (auto opened = open(directory_ + "/" + entry.name, name->generation); !opened) return opened;
      }
    }
    return {};
  }

  // The register is durable: a file that it knows and that is not there has vanished, with the acknowledged batches in it.
  Result<void> check_noted() {
    std::string missing;
    for (const uint64_t generation : options_.noted) {
      if (present_.contains(generation)) continue;
      if (given_up_.contains(generation) || options_.take_what_is_there) {
        lost_.insert(generation);
      } else {
        missing += (missing.empty() ? "" : ", ") + directory_ + "/" + wal_file_name(generation, WalFileKind::kLog);
      }
    }
    if (missing.empty()) return {};
    return fail(
        ErrorCode::kCorrupt,
        fmt::format("files of shard {}'s write-ahead log are gone, and acknowledged records with them: {}. Bring "
                    "them back (from a copy, or from the file system's lost+found) and start again. To go on "
                    "without one, create an empty file of its name ending in .lost instead of .wal: partitions "
                    "that may have lost records are then taken offline, the others serve on. weir log salvage brings back "
                    "what is intact of them",
                    shard_, missing));
  }

  // Reports a lost file before the batches behind it, so that the visitor sees which partitions go on without a gap.
  void report_lost_before(uint64_t generation) {
    while (!lost_.empty() && *lost_.begin() < generation) {
      report(directory_ + "/" + wal_file_name(*lost_.begin(), WalFileKind::kLog), true,
             "the file is gone; which partitions had records in it is not known");
      lost_.erase(lost_.begin());
    }
  }

  bool known_incarnation(uint64_t incarnation) const {
    return std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& row) { return row.incarnation == incarnation; });
  }

  Result<void> open(const std::string& path, uint64_t generation) {
    auto reader = WalFileReader::open(files_, path, true);
    if (!reader) return std::unexpected(reader.error());
    WalLogFile log{.path = path, .header = {}, .reader = std::move(*reader)};
    const Slice block = log.reader->read(0, kWalBlock);
    auto header = decode_file_header(block.bytes());
    const bool damaged = !header;
    if (damaged) header = header_from_first_chunk(log, generation);
    if (log.reader->error()) return std::unexpected(*log.reader->error());
    if (!header && !options_.noted.empty() && std::ranges::find(options_.noted, generation) == options_.noted.end()) {
      log_warn("wal", "{} is unreadable, as an earlier start found already, and is left alone", path);
      result_.unknown_files.push_back(path);
      return {};
    }
    if (!header) {
      // The header was durable before the file got its name, so this is damage. The file's batches cannot be attributed any more.
      report(path, true, "the file's header and its first chunk's are damaged; its batches cannot be attributed");
      result_.unknown_files.push_back(path);
      return {};
    }
    if (header->identity.generation != generation || header->shard != shard_ ||
        !known_incarnation(header->identity.incarnation)) {
      if (options_.take_what_is_there) {
        report(path, false, "the file is of no session of this shard; its records are left where they are");
        result_.unknown_files.push_back(path);
        return {};
      }
      return fail(ErrorCode::kCorrupt,
                  fmt::format("{} is not of any session of shard {} that manifest.db knows: it was moved or renamed, files "
                              "of different data folders were mixed, or manifest.db lost its latest changes. Its records "
                              "cannot be served. Bring back what belongs together, or move the file away to go on "
                              "without it",
                              path, shard_));
    }
    if (damaged) report(path, false, "the file's header is damaged; its chunks are readable");
    log.header = *header;
    logs_.push_back(std::move(log));
    return {};
  }

  std::optional<WalFileHeader> header_from_first_chunk(WalLogFile& log, uint64_t generation) {
    const Slice block = log.reader->read(kWalBlock, kWalBlock);
    const auto chunk = decode_chunk_header(block.bytes());
    if (!chunk || chunk->offset() != kWalBlock || chunk->file.generation != generation ||
        !known_incarnation(chunk->file.incarnation))
      return std::nullopt;
    return WalFileHeader{.identity = chunk->file, .shard = shard_, .recycled = true, .file_bytes = log.reader->size()};
  }

  void report(const std::string& path, bool unknown, const char* what) {
    ++result_.corruptions;
    WalCorruption corruption;
    corruption.file = path;
    corruption.unknown_partitions = unknown;
    corruption.message = fmt::format("{}: {}", path, what);
    visitor_.on_corruption(corruption);
  }

  Result<void> replay_session(const WalSession& row) {
    std::vector<WalLogFile*> logs;
    for (WalLogFile& log : logs_) {
      if (log.header.identity.incarnation == row.incarnation) logs.push_back(&log);
    }
    std::sort(logs.begin(), logs.end(), [](const WalLogFile* a, const WalLogFile* b) {
      return a->header.identity.generation < b->header.identity.generation;
    });
    if (!logs.empty()) report_lost_before(logs.back()->header.identity.generation);
    WalReplayResult::Session session{row, row.sealed ? row.last_chunk : row.first_chunk - 1, !logs.empty()};
    if (!logs.empty()) {
      SessionReplay replay(row, logs, visitor_, options_, result_);
      const auto end = replay.run();
      if (!end) return std::unexpected(end.error());
      session.end_chunk = row.sealed ? row.last_chunk : *end;
    }
    for (const WalLogFile* log : logs) {
      result_.files.push_back({log->header.identity.generation, log->reader->size(), log->used_bytes, log->last_chunk});
    }
    result_.next_chunk = std::max(result_.next_chunk, session.end_chunk + 1);
    result_.sessions.push_back(std::move(session));
    return {};
  }

  // After a crash, bytes and names may be in the page cache only, and so may the removal of a name.
  Result<void> make_durable() {
    for (WalLogFile& log : logs_) {
      if (log.last_chunk == 0) continue;
      if (auto synced = log.reader->sync(); !synced) return synced;
    }
    return directory_exists_ ? files_.sync_directory(directory_) : Result<void>{};
  }

  runtime::FileSystem& files_;
  const std::string directory_;
  const uint32_t shard_;
  const std::vector<WalSession>& sessions_;
  WalReplayVisitor& visitor_;
  const WalReplayOptions options_;
  bool directory_exists_ = false;
  std::vector<WalLogFile> logs_;
  std::set<uint64_t> present_, given_up_, lost_;  // generations
  WalReplayResult result_;
};

}  // namespace

Result<WalReplayResult> replay_wal(runtime::FileSystem& files, const std::string& directory, uint32_t shard,
                                   const std::vector<WalSession>& sessions, WalReplayVisitor& visitor,
                                   const WalReplayOptions& options) {
  return WalReplay(files, directory, shard, sessions, visitor, options).run();
}

}  // namespace weir::storage
