// ManifestDatabase: the write-ahead log's sessions, files and guests.
#include <cstring>
#include <utility>

#include "storage/segment/manifest_database.h"

namespace weir::storage {

Result<std::vector<WalSession>> ManifestDatabase::wal_sessions() {
  std::lock_guard lock(database_mutex_);
  auto scan = database_->prepare(
      "SELECT shard, incarnation, first_chunk, last_chunk, sealed FROM wal_sessions ORDER BY shard, "
      "first_chunk, incarnation");
  if (!scan) return std::unexpected(std::move(scan.error()));
  std::vector<WalSession> sessions;
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return sessions;
    sessions.push_back({static_cast<uint32_t>(scan->integer(0)), static_cast<uint64_t>(scan->integer(1)),
                        static_cast<uint64_t>(scan->integer(2)), static_cast<uint64_t>(scan->integer(3)), scan->integer(4) != 0});
  }
}

Result<std::vector<WalFile>> ManifestDatabase::wal_files() {
  std::lock_guard lock(database_mutex_);
  auto scan = database_->prepare("SELECT shard, generation FROM wal_files ORDER BY shard, generation");
  if (!scan) return std::unexpected(std::move(scan.error()));
  std::vector<WalFile> files;
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return files;
    files.push_back({static_cast<uint32_t>(scan->integer(0)), static_cast<uint64_t>(scan->integer(1))});
  }
}

Result<void> ManifestDatabase::put_file(const WalFile& file) {
  return note_file_.bind(1, file.shard).bind(2, static_cast<int64_t>(file.generation)).run();
}

Result<void> ManifestDatabase::put_files(const std::vector<WalFile>& files) {
  if (auto done = database_->execute("DELETE FROM wal_files"); !done) return done;
  for (const auto& file : files) {
    if (auto done = put_file(file); !done) return done;
  }
  return {};
}

Result<void> ManifestDatabase::note_wal_guest(const WalGuest& guest) {
  return in_transaction([&] {
    return note_guest_.bind(1, guest.shard).bind(2, Bytes(guest.partition.topic.bytes)).bind(3, guest.partition.index).run();
  });
}

Result<std::vector<WalGuest>> ManifestDatabase::wal_guests() {
  std::lock_guard lock(database_mutex_);
  auto scan = database_->prepare("SELECT DISTINCT shard, topic, partition FROM wal_guests ORDER BY shard, topic, partition");
  if (!scan) return std::unexpected(std::move(scan.error()));
  std::vector<WalGuest> guests;
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return guests;
    WalGuest& guest = guests.emplace_back();
    guest.shard = static_cast<uint32_t>(scan->integer(0));
    guest.partition.index = static_cast<int32_t>(scan->integer(2));
    const Bytes topic = scan->blob(1);
    if (topic.size() != guest.partition.topic.bytes.size()) {
      return fail(ErrorCode::kCorrupt, "manifest.db: a row of wal_guests has a malformed topic id");
    }
    std::memcpy(guest.partition.topic.bytes.data(), topic.data(), topic.size());
  }
}

Result<void> ManifestDatabase::note_wal_file(const WalFile& file) {
  return in_transaction([&] { return put_file(file); });
}

Result<void> ManifestDatabase::forget_wal_file(const WalFile& file) {
  return in_transaction([&] { return forget_file_.bind(1, file.shard).bind(2, static_cast<int64_t>(file.generation)).run(); });
}

Result<void> ManifestDatabase::put_wal(const std::vector<WalSession>& sessions, const std::vector<WalFile>* files) {
  return in_transaction([&]() -> Result<void> {
    if (files) {
      if (auto done = put_files(*files); !done) return done;
    }
    if (auto done = database_->execute("DELETE FROM wal_sessions"); !done) return done;
    for (const auto& session : sessions) {
      auto done = put_session_.bind(1, session.shard)
                      .bind(2, static_cast<int64_t>(session.incarnation))
                      .bind(3, static_cast<int64_t>(session.first_chunk))
                      .bind(4, static_cast<int64_t>(session.last_chunk))
                      .bind(5, session.sealed ? 1 : 0)
                      .run();
      if (!done) return done;
    }
    return database_->execute(
        "DELETE FROM wal_guests WHERE NOT EXISTS (SELECT 1 FROM wal_sessions AS session WHERE session.shard = wal_guests.shard "
        "AND"
        " session.incarnation = wal_guests.incarnation)");
  });
}

}  // namespace weir::storage
