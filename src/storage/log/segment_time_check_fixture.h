// A data folder of an earlier version, with the times of producers' headers, and a broker's log over it.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "base/crc32c.h"
#include "base/log.h"
#include "protocol/compressed_batch_fixture.h"
#include "protocol/compression.h"
#include "protocol/record_batch_builder.h"
#include "storage/log/log_dir_mover.h"
#include "storage/log/log_recovery.h"
#include "storage/log/segment_time_check.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "storage/sqlite/database.h"
#include "storage/wal/chunk.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {

using protocol::BatchHeader;
using protocol::CompressionType;
using weir::testing::Death;
using weir::testing::SimRuntime;

class SegmentTimeCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
    config_.retention_ms = 3'600'000;
    config_.file_delete_delay_ms = 1000;
    now_ = sim_.clock().wall_ms();
    open_store();
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  void open_store() {
    auto store = LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/log"});
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }
  // Makes a batch of three records, 1 ms apart, the last one at `timestamp`. The header says `claimed`.
  CheckpointPartition::Batch batch(int64_t timestamp, int64_t claimed, CompressionType type = CompressionType::kNone) {
    auto made = make_batch(id_, {.base_offset = end_, .records = 3, .timestamp = timestamp - 2});
    if (type != CompressionType::kNone) {
      made.bytes = Slice::copy_of(protocol::compressed_batch(made.bytes.bytes(), type));
      made.info.attributes = static_cast<int16_t>(type);
      made.info.size = static_cast<uint32_t>(made.bytes.size);
    }
    protocol::patch_timestamps({made.bytes.owner.data(), made.bytes.size}, false, claimed);
    made.info.max_timestamp = claimed;
    end_ += 3;
    batch_bytes_ = made.bytes.size;
    return made;
  }
  // Checkpoints batches into a segment of their own, with the times of headers, as earlier versions did.
  void segment(std::vector<CheckpointPartition::Batch> batches) {
    ASSERT_TRUE(store_->load());
    CheckpointPartition checkpoint;
    checkpoint.partition = id_;
    checkpoint.epochs = {{0, 0}};
    uint64_t bytes = 0;
    for (const auto& each : batches) bytes += each.bytes.size;
    checkpoint.segment_bytes = bytes;
    checkpoint.segment_ms = INT64_MAX;
    checkpoint.batches = std::move(batches);
    auto checkpointed = store_->checkpoint_now(checkpoints(std::move(checkpoint)));
    ASSERT_TRUE(checkpointed) << checkpointed.error().message;
  }
  void as_an_earlier_version_left_it() { as_it_was_imported(0); }
  void as_it_was_imported(int64_t modified_ms) {
    store_.reset();
    auto database = Database::open(sim_.disk(), "/log/manifest.db", {});
    ASSERT_TRUE(database) << database.error().message;
    ASSERT_TRUE((*database)->begin());
    const std::string change = "UPDATE segments SET times_known = 0, modified_ms = " + std::to_string(modified_ms);
    ASSERT_TRUE((*database)->execute(change.c_str()));
    ASSERT_TRUE((*database)->commit());
  }
  std::string path(int64_t base_offset) { return "/log/" + partition_folder_name(id_) + "/" + segment_file_name(base_offset, 0); }
  void damage(int64_t base_offset, uint64_t at) { sim_.disk().flip_bits(path(base_offset), at, 0x55); }
  void open() {
    open_store();
    LogOptions options;
    options.log_dir = "/log";
    auto runtime = sim_.runtime();
    LocalWalSessions wals(runtime, *store_, {.log_dir = "/log", .incarnation = ++incarnation_});
    auto opened = open_log(runtime, *store_, wals, options,
                           [this](const PartitionId&) { return std::optional(KnownPartition{config_, 0}); });
    ASSERT_TRUE(opened) << opened.error().message;
    shards_ = std::move(opened->shards);
    cleaner_ = std::make_unique<LogCleaner>(sim_.runtime(), std::vector{shards_[0].get()}, *store_, LogCleanerOptions{});
    mover_ = std::make_unique<LogDirMover>(sim_.runtime(), std::vector{shards_[0].get()}, *store_, *cleaner_,
                                           LogDirMoverOptions{.step_bytes = 100});
  }
  void restart(Death death = Death::kKill) {
    sim_.end_server(death);
    close();
    sim_.start_server();
    open();
  }
  void close() {
    mover_.reset();
    cleaner_.reset();
    shards_.clear();
    store_.reset();
  }
  // Appends one record.
  void append(int64_t timestamp) {
    if (!shards_[0]->find(id_)) shards_[0]->add(std::make_unique<Partition>(id_, config_, 0));
    protocol::RecordBatchBuilder builder(protocol::BatchOptions{});
    builder.append(timestamp, as_bytes("key" + std::to_string(++appended_)), as_bytes("value"));
    std::optional<AppendResult> result;
    shards_[0]->append(partition(), Slice::copy_of(builder.finish()), true, [&](AppendResult r) { result = std::move(r); });
    wait([&] { return result.has_value(); });
    EXPECT_EQ(result->error, protocol::ErrorCode::kNone) << result->message;
  }
  void clean() {
    bool done = false;
    cleaner_->clean_all([&] { done = true; });
    wait([&] { return done; });
  }
  // Writes chunks of version 1. Their batches and footers say that `claimed` is the largest timestamp.
  void write_ahead_log_of_an_earlier_version(int64_t claimed) {
    const auto entries = sim_.disk().list("/log/wal/0");
    ASSERT_TRUE(entries);
    int chunks = 0;
    for (const auto& entry : *entries) {
      auto file = sim_.disk().open("/log/wal/0/" + entry.name, {.write = true});
      ASSERT_TRUE(file);
      std::vector<uint8_t> block(kWalBlock);
      for (uint64_t at = kWalBlock; at < *(*file)->size(); at += kWalBlock) {
        ASSERT_TRUE((*file)->read_at(at, block));
        auto header = decode_chunk_header(block);
        if (!header) continue;
        auto footer = decode_footer(Bytes(block).subspan(header->footer_offset));
        ASSERT_TRUE(footer && footer->entries.size() == 1 && header->length == kWalBlock);
        FooterEntry& one = footer->entries[0];
        const MutableBytes bytes = MutableBytes(block).subspan(one.position, one.info.size);
        protocol::patch_timestamps(bytes, false, claimed);
        one.crc = BatchHeader::parse(bytes.data()).crc;
        one.info.max_timestamp = claimed;
        encode_version_1(*header, one, block);
        ASSERT_TRUE((*file)->write_at(at, block));
        ++chunks;
      }
    }
    EXPECT_EQ(chunks, appended_);
  }
  static void encode_version_1(ChunkHeader header, const FooterEntry& entry, std::vector<uint8_t>& block) {
    uint8_t* footer = block.data() + header.footer_offset;
    encode_footer_entry(entry, footer + kFooterHeaderBytes);
    store_be(footer, uint32_t{0x57414C46});  // WALF
    const size_t size = footer_bytes(1, kFooterEntryBytesOfVersion1);
    header.footer_crc = crc32c({footer + 8, size - 8});
    store_be(footer + 4, header.footer_crc);
    header.version = 1;
    header.footer_length = static_cast<uint32_t>(size);
    encode_chunk_header(header, block.data());
  }
  Partition& partition() { return *shards_[0]->find(id_); }
  const std::vector<SegmentInfo>& segments() { return partition().manifest().segments; }
  bool all_known() { return std::ranges::all_of(segments(), &SegmentInfo::times_known); }
  void wait(const std::function<bool()>& condition) {
    ASSERT_EQ(sim_.run_until(condition, 600 * runtime::kSecond), SimRuntime::Stop::kDone);
  }
  void start_and_wait_for_ages() {
    mover_->start();
    wait([&] { return std::ranges::all_of(segments(), &SegmentInfo::has_age); });
  }
  void find_out() {
    mover_->start();
    wait([&] { return all_known(); });
  }
  void retain() {
    shards_[0]->run_retention();
    bool checkpointed = false;
    shards_[0]->checkpoint_all([&](Result<void>) { checkpointed = true; });
    wait([&] { return checkpointed; });
  }
  int64_t find(int64_t timestamp) {
    std::optional<Result<TimestampPosition>> found;
    shards_[0]->find_timestamp(partition(), timestamp, false, [&](Result<TimestampPosition> r) { found = std::move(r); });
    sim_.run_until([&] { return found.has_value(); }, 600 * runtime::kSecond);
    EXPECT_TRUE(found && *found);
    return found && *found ? (**found).offset : -2;
  }
  std::vector<int64_t> header_times() {
    std::vector<int64_t> times;
    for (const SegmentInfo& info : segments()) {
      SegmentBatches batches(std::move(*store_->open_segment(id_, info)), "segment", info);
      for (auto next = batches.next(); next && *next; next = batches.next()) {
        BatchHeader header;
        EXPECT_EQ(protocol::check_batch(**next, {}, header), protocol::BatchFault::kNone);
        times.push_back(BatchHeader::parse((*next)->data()).max_timestamp);
      }
    }
    return times;
  }

  SimRuntime sim_{5, {.loops = 1}};
  const PartitionId id_ = partition_id(1);
  LogConfig config_;
  int64_t now_ = 0;
  int64_t end_ = 0;
  uint64_t batch_bytes_ = 0;  // of the last one
  int appended_ = 0;
  uint64_t incarnation_ = 0;
  std::unique_ptr<LocalSegmentStore> store_;
  std::vector<std::unique_ptr<LogShard>> shards_;
  std::unique_ptr<LogCleaner> cleaner_;
  std::unique_ptr<LogDirMover> mover_;
};

}  // namespace weir::storage::testing
