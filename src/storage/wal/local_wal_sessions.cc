#include "storage/wal/local_wal_sessions.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace weir::storage {

LocalWalSessions::LocalWalSessions(const runtime::Runtime& runtime, WalRegister& wal_register, LocalWalSettings settings)
    : files_(*runtime.files), pool_(*runtime.pool), register_(wal_register), settings_(std::move(settings)) {
  WEIR_CHECK(settings_.incarnation != 0);
}

Result<void> LocalWalSessions::read_rows() {
  if (rows_read_) return {};
  auto rows = register_.wal_sessions();
  if (!rows) return std::unexpected(rows.error());
  auto noted = register_.wal_files();
  if (!noted) return std::unexpected(noted.error());
  rows_ = std::move(*rows);
  noted_ = std::move(*noted);
  rows_read_ = true;
  return {};
}

Result<WalSessions::Earlier> LocalWalSessions::earlier() {
  if (auto r = read_rows(); !r) return std::unexpected(r.error());
  Earlier earlier;
  for (const auto& row : rows_) {
    earlier.shards = std::max(earlier.shards, row.shard + 1);
    earlier.clean = earlier.clean && row.sealed;
  }
  return earlier;
}

Result<WalSessions::Replayed> LocalWalSessions::replay(unsigned shard, WalReplayVisitor& visitor) {
  if (auto r = read_rows(); !r) return std::unexpected(r.error());
  std::vector<WalSession> rows;
  std::ranges::copy_if(rows_, std::back_inserter(rows), [&](const auto& row) { return row.shard == shard; });
  WalReplayOptions how;
  for (const auto& file : noted_) {
    if (file.shard == shard) how.noted.push_back(file.generation);
  }
  auto result = replay_wal(files_, directory(shard), shard, rows, visitor, how);
  if (!result) return std::unexpected(result.error());
  const Replayed replayed{result->bytes_read, result->chunks, result->torn_bytes};
  replayed_.insert_or_assign(shard, std::move(*result));
  return replayed;
}

// The sessions that were replayed and still have files, sealed where they end.
std::vector<WalSession> LocalWalSessions::sealed_sessions() const {
  std::vector<WalSession> rows;
  for (const auto& [shard, result] : replayed_) {
    for (const auto& session : result.sessions) {
      if (!session.has_files) continue;
      rows.push_back(session.row);
      rows.back().sealed = true;
      rows.back().last_chunk = session.end_chunk;
    }
  }
  return rows;
}

// Forgets the files first and removes them in order. After a crash in between, a start then misses no file and finds no file of
// an unknown session.
Result<void> LocalWalSessions::remove_checkpointed_logs() {
  if (auto r = register_.put_wal_sessions_and_files(sealed_sessions(), {}); !r) return r;
  for (auto& [shard, result] : replayed_) {
    for (const EarlierWalFile& file : result.files) {
      auto r = files_.remove(directory(shard) + "/" + wal_file_name(file.generation, WalFileKind::kLog));
      if (r) r = files_.sync_directory(directory(shard));
      if (!r) return r;
    }
    if (auto r = files_.remove_all(directory(shard)); !r) return r;
    result.files.clear();
    result.leftovers.clear();
  }
  if (auto r = files_.create_directory(settings_.log_dir + "/wal"); !r) return r;
  return files_.sync_directory(settings_.log_dir + "/wal");
}

Result<void> LocalWalSessions::begin(unsigned shards, bool checkpointed) {
  std::vector<WalSession> rows;
  std::vector<WalFile> files;
  if (checkpointed) {
    if (auto r = remove_checkpointed_logs(); !r) return r;
  } else {
    rows = sealed_sessions();
    for (const auto& [shard, result] : replayed_) {
      for (const EarlierWalFile& file : result.files) files.push_back({shard, file.generation});
    }
  }
  for (unsigned shard = 0; shard < shards; ++shard) {
    rows.push_back({shard, settings_.incarnation, replayed_.at(shard).next_chunk, 0, false});
  }
  if (auto r = register_.put_wal_sessions_and_files(rows, files); !r) return r;
  for (const auto& [shard, result] : replayed_) {
    for (const std::string& mark : result.given_up) {
      if (auto r = files_.remove(mark); !r && r.error().code != ErrorCode::kNotFound) return r;
    }
  }
  return {};
}

std::unique_ptr<WalBackend> LocalWalSessions::open(unsigned shard, runtime::Loop& loop, bool save_space) {
  WalReplayResult earlier = std::move(replayed_.at(shard));
  replayed_.erase(shard);
  LocalWalOptions options;
  options.directory = directory(shard);
  options.shard = shard;
  options.incarnation = settings_.incarnation;
  options.flush_to_device = settings_.flush_to_device;
  options.throttle = settings_.throttle;
  options.file_register = &register_;
  options.save_space = save_space;
  options.file_bytes = settings_.file_bytes;
  options.first_file_bytes = std::min(options.first_file_bytes, settings_.file_bytes);
  options.first_chunk = earlier.next_chunk;
  options.next_generation = earlier.next_generation;
  options.earlier = std::move(earlier.files);
  options.leftovers = std::move(earlier.leftovers);
  return LocalWal::create(files_, loop, pool_, std::move(options));
}

Result<void> LocalWalSessions::end(const std::vector<const WalBackend*>& logs) {
  auto rows = register_.wal_sessions();
  if (!rows) return std::unexpected(rows.error());
  for (auto& row : *rows) {
    if (row.sealed || row.shard >= logs.size()) continue;
    const WalBackend& log = *logs[row.shard];
    if (log.ended()) continue;  // not clean: recovery has to look
    row.sealed = true;
    row.last_chunk = log.durable();
  }
  return register_.put_wal_sessions(*rows);
}

}  // namespace weir::storage
