// Partitions of one shard, for tests that damage and salvage them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/log/log_on_disk_fixture.h"
#include "storage/log/log_salvage.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/sqlite/raw_sql_fixture.h"

namespace weir::storage::testing {

inline constexpr const char* kAside = "/log/salvaged-test";

class LogSalvageTest : public LogOnDisk {
 protected:
  void SetUp() override {
    LogOnDisk::SetUp();
    ids_ = three();
    ASSERT_EQ(open(), "");
  }
  // Closes the log, looks, and applies if asked to.
  SalvageReport salvage(bool apply, std::set<uint32_t> without = {}) {
    end(Death::kKill);
    auto manifests = ManifestDatabase::open_damaged(sim_.disk(), "/log/manifest.db", &sim_.clock(), metadata_.get());
    EXPECT_TRUE(manifests) << manifests.error().message;
    if (!manifests) return {};
    LogSalvage job(
        sim_.disk(), sim_.clock(), **manifests, "/log",
        [this](const PartitionId& id) {
          const bool known = std::ranges::find(topics_, id) != topics_.end();
          return known ? std::optional(KnownPartition{.config = config_, .topic_name = "orders"}) : std::nullopt;
        },
        [this] { return topics_; }, std::move(without));
    auto report = job.look();
    EXPECT_TRUE(report) << report.error().message;
    if (!report) return {};
    if (apply) {
      const auto done = job.apply(kAside);
      EXPECT_TRUE(done) << done.error().message;
    }
    return std::move(*report);
  }
  // Salvages and starts. Expects that a second look finds nothing.
  SalvageReport bring_back() {
    const auto before = sim_.disk().all_files();
    const SalvageReport looked = salvage(false);
    EXPECT_FALSE(looked.intact());
    SalvageReport report = salvage(true);
    EXPECT_EQ(report.set_aside, looked.set_aside);
    EXPECT_TRUE(salvage(false).intact());
    EXPECT_EQ(open(), "");
    EXPECT_THAT(offline(), ::testing::IsEmpty());
    return report;
  }
  // Reads from the start as a consumer. Returns the base offsets of all batches with records.
  std::vector<int64_t> read_all(const PartitionId& id) {
    std::vector<int64_t> offsets;
    Partition& partition = *shard(id).find(id);
    int64_t at = partition.log_start_offset();
    while (at < partition.high_watermark()) {
      ReadResult result;
      bool done =
          shard(id).read(partition, {.offset = at, .max_bytes = 1 << 20, .at_least_one = true}, result, [&](ReadResult late) {
            result = std::move(late);
            done = true;
          });
      sim_.run_until([&] { return done; }, 60 * runtime::kSecond);
      EXPECT_EQ(result.error, protocol::ErrorCode::kNone) << at;
      if (result.error != protocol::ErrorCode::kNone || result.pieces.empty()) break;
      for (const FetchPiece& piece : result.pieces) take(piece, offsets, at);
    }
    EXPECT_EQ(at, partition.high_watermark());
    return offsets;
  }
  static void take(const FetchPiece& piece, std::vector<int64_t>& offsets, int64_t& next) {
    std::vector<uint8_t> bytes;
    if (const auto* slice = std::get_if<Slice>(&piece)) bytes.assign(slice->data, slice->data + slice->size);
    else bytes = bytes_of(std::get<FileRange>(piece));
    for (size_t at = 0; at < bytes.size();) {
      const auto header = BatchHeader::parse(bytes.data() + at);
      if (header.record_count > 0) offsets.push_back(header.base_offset);
      EXPECT_TRUE(protocol::crc_matches(header, Bytes(bytes).subspan(at, header.size())));
      next = header.next_offset();
      at += header.size();
    }
  }
  std::vector<std::string> segment_files(const PartitionId& id) {
    std::vector<std::string> files;
    for (const std::string& path : sim_.disk().all_files()) {
      if (path.starts_with("/log/" + partition_folder_name(id) + "/") && path.ends_with(".log")) files.push_back(path);
    }
    return files;
  }
  void replace(const std::string& path, const std::vector<uint8_t>& bytes) {
    auto file = sim_.disk().open(path, {.write = true, .create = true, .truncate = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, Bytes(bytes)));
    ASSERT_TRUE((*file)->sync());
  }
  // Seals as the orderly end of a session without appends.
  void seal_last_session() {
    auto manifests = ManifestDatabase::open(sim_.disk(), "/log/manifest.db", &sim_.clock());
    ASSERT_TRUE(manifests);
    auto sessions = (*manifests)->wal_sessions();
    ASSERT_TRUE(sessions);
    for (auto& session : *sessions) {
      if (!session.sealed) session.last_chunk = session.first_chunk - 1;
      session.sealed = true;
    }
    ASSERT_TRUE((*manifests)->put_wal(*sessions, nullptr));
  }
  bool last_session_is_sealed() {
    auto manifests = ManifestDatabase::open(sim_.disk(), "/log/manifest.db", &sim_.clock());
    EXPECT_TRUE(manifests);
    const auto sessions = (*manifests)->wal_sessions();
    EXPECT_TRUE(sessions);
    return sessions->back().sealed;
  }
  void swap(const std::string& one, const std::string& other) {
    const std::string aside = "/log/aside";
    ASSERT_TRUE(sim_.disk().rename(one, aside));
    ASSERT_TRUE(sim_.disk().rename(other, one));
    ASSERT_TRUE(sim_.disk().rename(aside, other));
  }
  // Appends so many batches, and checkpoints them.
  void fill(const PartitionId& id, int batches, size_t bytes = 1000) {
    for (int i = 0; i < batches; ++i) put(id, bytes);
    checkpoint_all(id);
  }
  static std::vector<int64_t> range(int64_t first, int64_t next) {
    std::vector<int64_t> all;
    for (int64_t offset = first; offset < next; ++offset) all.push_back(offset);
    return all;
  }

  std::vector<PartitionId> ids_;
  std::unique_ptr<SqliteMetaStore> metadata_;  // if the manifests are compared with it
};

}  // namespace weir::storage::testing
