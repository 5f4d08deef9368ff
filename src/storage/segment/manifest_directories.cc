// ManifestDatabase: the log directories, and the places of partitions.
#include <cstring>

#include "storage/segment/manifest_database.h"

namespace weir::storage {

namespace {

Result<Uuid> uuid_of(Bytes bytes) {
  Uuid uuid;
  if (bytes.size() != uuid.bytes.size()) return fail(ErrorCode::kCorrupt, "manifest.db: a malformed id");
  std::memcpy(uuid.bytes.data(), bytes.data(), bytes.size());
  return uuid;
}

}  // namespace

Result<std::vector<ManifestDatabase::Directory>> ManifestDatabase::directories() {
  std::lock_guard lock(database_mutex_);
  auto scan = database_->prepare(
      "SELECT number, id, path, (SELECT count(*) FROM segments WHERE directory = number) FROM directories ORDER BY number");
  if (!scan) return std::unexpected(std::move(scan.error()));
  std::vector<Directory> all;
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return all;
    auto id = uuid_of(scan->blob(1));
    if (!id) return std::unexpected(std::move(id.error()));
    const Bytes path = scan->blob(2);
    all.push_back({static_cast<uint32_t>(scan->integer(0)), *id,
                   std::string(reinterpret_cast<const char*>(path.data()), path.size()),
                   static_cast<uint64_t>(scan->integer(3))});
  }
}

Result<void> ManifestDatabase::put_directories(std::span<const Directory> all) {
  return in_transaction([&] { return store_directories(all); });
}

Result<void> ManifestDatabase::store_directories(std::span<const Directory> all) {
  if (auto done = database_->execute("DELETE FROM directories"); !done) return done;
  for (const Directory& directory : all) {
    auto done =
        put_directory_.bind(1, directory.number).bind(2, Bytes(directory.id.bytes)).bind(3, as_bytes(directory.path)).run();
    if (!done) return done;
  }
  return {};
}

Result<ManifestDatabase::Places> ManifestDatabase::places() {
  std::lock_guard lock(database_mutex_);
  auto scan = database_->prepare("SELECT topic, partition, directory, target FROM places ORDER BY topic, partition");
  if (!scan) return std::unexpected(std::move(scan.error()));
  Places places;
  while (true) {
    auto row = scan->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return places;
    auto topic = uuid_of(scan->blob(0));
    if (!topic) return std::unexpected(std::move(topic.error()));
    places.push_back({PartitionId{*topic, static_cast<int32_t>(scan->integer(1))},
                      PartitionPlace{static_cast<uint32_t>(scan->integer(2)), static_cast<uint32_t>(scan->integer(3))}});
  }
}

Result<void> ManifestDatabase::store_place(const PartitionId& partition, PartitionPlace place) {
  return put_place_.bind(1, Bytes(partition.topic.bytes))
      .bind(2, partition.index)
      .bind(3, place.directory)
      .bind(4, place.target)
      .run();
}

Result<void> ManifestDatabase::put_places(const Places& places) {
  return in_transaction([&]() -> Result<void> {
    for (const auto& [partition, place] : places) {
      if (auto done = store_place(partition, place); !done) return done;
    }
    return {};
  });
}

Result<void> ManifestDatabase::drop_place(const PartitionId& partition) {
  return in_transaction([&] { return remove_place_.bind(1, Bytes(partition.topic.bytes)).bind(2, partition.index).run(); });
}

}  // namespace weir::storage
