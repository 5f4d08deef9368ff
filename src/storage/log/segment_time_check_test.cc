// Data folders of earlier versions, whose times are what producers' headers said: nothing is deleted or hidden for them, and
// the broker finds out the true ones.
#include "storage/log/segment_time_check.h"

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
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "storage/sqlite/database.h"
#include "storage/wal/chunk.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::storage::testing {
namespace {

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
  // Three records, 1 ms apart, the last one at `timestamp`. The header says `claimed`.
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
  // Checkpoints them into a segment of their own, as earlier versions did: with the header's times.
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
  // One record.
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
  // Chunks of version 1, whose batches and footers say that `claimed` is the largest timestamp.
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

TEST_F(SegmentTimeCheckTest, NothingIsDeletedOrHiddenAndTheTruthIsFoundOut) {
  for (const CompressionType type : {CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy,
                                     CompressionType::kLz4, CompressionType::kZstd}) {
    const int64_t begin = end_;
    segment({batch(now_ - 30, -1, type), batch(now_ - 20, 0, type)});
    segment({batch(now_ - 10, now_ - 12, type), batch(now_, now_ + 1'000'000'000'000, type)});
    ASSERT_EQ(end_, begin + 12);
  }
  as_an_earlier_version_left_it();
  open();
  ASSERT_EQ(segments().size(), 10u);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  const auto expect_look_ups = [&] {
    EXPECT_EQ(find(now_ - 30), 2);
    EXPECT_EQ(find(now_ - 21), 4);
    EXPECT_EQ(find(now_ - 10), 8);
    EXPECT_EQ(find(now_), 11);
    EXPECT_EQ(find(now_ + 1), -1);
    EXPECT_EQ(find(LogShard::kLargestTimestamp), 11);
  };
  expect_look_ups();
  find_out();
  expect_look_ups();
  for (int start = 0; start < 2; ++start) {
    for (size_t i = 0; i < 10; i += 2) {
      EXPECT_EQ(segments()[i].max_timestamp, now_ - 20);
      EXPECT_EQ(segments()[i].first_timestamp, now_ - 30);
      EXPECT_EQ(segments()[i + 1].max_timestamp, now_);
    }
    const auto times = header_times();
    ASSERT_EQ(times.size(), 20u);
    for (size_t i = 0; i < 20; ++i) EXPECT_EQ(times[i], now_ - 30 + static_cast<int64_t>(i % 4) * 10);
    retain();
    EXPECT_EQ(partition().log_start_offset(), 0);
    restart();
    EXPECT_TRUE(all_known());
  }
}

TEST_F(SegmentTimeCheckTest, SearchesThatReadWaitForEachOtherAndTooManyFail) {
  for (int i = 0; i < 4; ++i) segment({batch(now_ + i, -1, CompressionType::kZstd)});
  as_an_earlier_version_left_it();
  open();
  std::vector<Result<TimestampPosition>> found;
  const size_t most = LogShard::kReadingSearchesMax;
  for (size_t i = 0; i < most + 3; ++i) {
    shards_[0]->find_timestamp(partition(), now_ + static_cast<int64_t>(i), false,
                               [&](auto r) { found.push_back(std::move(r)); });
  }
  ASSERT_EQ(found.size(), 3u);
  for (const auto& each : found) EXPECT_FALSE(each);
  mover_->start();
  wait([&] { return found.size() == most + 3; });
  for (size_t i = 0; i < most; ++i) {
    ASSERT_TRUE(found[3 + i]) << found[3 + i].error().message;
    EXPECT_EQ(found[3 + i]->offset, i < 4 ? static_cast<int64_t>(i) * 3 + 2 : -1);
  }
  EXPECT_EQ(find(now_), 2);
}

// A rewrite must not make damage look whole.
TEST_F(SegmentTimeCheckTest, ADamagedBatchKeepsItsChecksum) {
  auto intact = batch(now_ - 10, -1);
  auto damaged = batch(now_, -1);
  damaged.bytes.owner.data()[damaged.bytes.size - 2] ^= 1;
  segment({std::move(intact), std::move(damaged)});
  as_an_earlier_version_left_it();
  open();
  const uint32_t generation = segments()[0].generation;
  find_out();
  ASSERT_NE(segments()[0].generation, generation);
  SegmentBatches batches(std::move(*store_->open_segment(id_, segments()[0])), "segment", segments()[0]);
  for (const auto expected : {protocol::BatchFault::kNone, protocol::BatchFault::kBadCrc}) {
    auto next = batches.next();
    ASSERT_TRUE(next && *next);
    BatchHeader header;
    EXPECT_EQ(protocol::check_batch(**next, {}, header), expected);
  }
}

TEST_F(SegmentTimeCheckTest, ASegmentWhoseHeadersAreRightStaysAsItIs) {
  segment({batch(now_ - 10, now_ - 10), batch(now_, now_, CompressionType::kZstd)});
  as_an_earlier_version_left_it();
  open();
  const SegmentInfo before = segments()[0];
  find_out();
  EXPECT_EQ(segments()[0].generation, before.generation);
  EXPECT_EQ(segments()[0].max_timestamp, now_);
  store_->maintain_now();
  restart();
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_ - 10, now_}));
}

TEST_F(SegmentTimeCheckTest, WhatIsOldExpiresOnceItIsKnownToBe) {
  segment({batch(now_ - 7'200'000, now_)});
  segment({batch(now_, now_)});
  as_an_earlier_version_left_it();
  open();
  find_out();
  retain();
  EXPECT_EQ(partition().log_start_offset(), 3);
}

TEST_F(SegmentTimeCheckTest, RecordsWithoutATimeAreAsOldAsTheFile) {
  const auto without = [&] {
    auto made = make_batch(id_, {.base_offset = end_, .records = 1, .timestamp = -1});
    ++end_;
    return made;
  };
  segment({without()});
  segment({without()});
  as_an_earlier_version_left_it();
  open();
  sim_.run_for((config_.retention_ms + 1000) * runtime::kMillisecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  find_out();  // when they came is not known any more: as of now
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  sim_.run_for((config_.retention_ms + 1000) * runtime::kMillisecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 2);
}

TEST_F(SegmentTimeCheckTest, RecordsWithoutATimeAreAsOldAsTheirAppendOverRestartsCheckpointsAndCompaction) {
  config_.cleanup_compact = true;
  config_.segment_ms = 60'000;
  open();
  const int64_t minutes = 60 * runtime::kSecond;
  append(-1);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 0);
  restart();
  sim_.run_for(20 * minutes);
  append(-1);
  restart();
  sim_.run_for(20 * minutes);
  append(-1);
  retain();  // checkpoints as well
  ASSERT_EQ(segments().size(), 3u);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 0);  // the first, as in Kafka
  EXPECT_EQ(find(0), -1);
  EXPECT_LT(segments()[0].modified_ms - now_, 60'000);
  EXPECT_LT(segments()[1].modified_ms - now_, 21 * 60'000);
  EXPECT_EQ(partition().log_start_offset(), 0);
  clean();
  ASSERT_EQ(segments().size(), 2u);  // the newer of the two that became one counts, as in Kafka
  EXPECT_LT(segments()[0].modified_ms - now_, 21 * 60'000);
  sim_.run_for(30 * minutes);
  restart();
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  sim_.run_for(20 * minutes);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 2);
  sim_.run_for(20 * minutes);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 3);
}

TEST_F(SegmentTimeCheckTest, AnEarlierVersionsTailIsMendedAtTheStart) {
  open();
  append(now_);
  append(now_ + 5);
  append(-1);
  sim_.end_server(Death::kKill);
  close();
  write_ahead_log_of_an_earlier_version(now_ - 1'000'000'000);
  sim_.start_server();
  open();
  EXPECT_EQ(find(now_), 0);
  EXPECT_EQ(find(now_ + 1), 1);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 1);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  EXPECT_TRUE(all_known());
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_, now_ + 5, -1}));
}

TEST_F(SegmentTimeCheckTest, APowerCutAtAnyWriteLosesNothing) {
  segment({batch(now_ - 30, -1), batch(now_ - 20, 0, CompressionType::kZstd)});
  segment({batch(now_ - 10, now_ - 10)});
  segment({batch(now_, now_ - 12)});
  as_an_earlier_version_left_it();
  open();
  int cuts = 0;
  for (uint64_t writes = 1; !all_known(); ++writes) {
    sim_.disk().cut_at_write(writes);
    mover_->start();
    const auto stop = sim_.run_until([&] { return all_known(); }, 600 * runtime::kSecond);
    if (stop == SimRuntime::Stop::kDone) break;
    ASSERT_EQ(stop, SimRuntime::Stop::kDied);
    ++cuts;
    restart(Death::kPowerCut);
    retain();
    ASSERT_EQ(partition().log_start_offset(), 0) << writes;
    ASSERT_EQ(find(now_ - 30), 2) << writes;
    ASSERT_EQ(find(now_ - 20), 5) << writes;
    ASSERT_EQ(find(now_ - 10), 8) << writes;
    ASSERT_EQ(find(now_), 11) << writes;
  }
  EXPECT_GE(cuts, 4);
  restart(Death::kPowerCut);
  EXPECT_TRUE(all_known());
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_ - 30, now_ - 20, now_ - 10, now_}));
}

TEST_F(SegmentTimeCheckTest, WhatCannotBeReadIsKept) {
  segment({batch(now_, -1), batch(now_, -1)});
  const std::string path = "/log/" + partition_folder_name(id_) + "/" + segment_file_name(0, 0);
  as_an_earlier_version_left_it();
  {
    auto file = sim_.disk().open(path, {.write = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(BatchHeader::kMagicOffset, Bytes(std::vector<uint8_t>{9})));
  }
  open();
  mover_->start();
  sim_.run_for(100 * runtime::kSecond);
  EXPECT_FALSE(all_known());
  EXPECT_FALSE(partition().offline()) << partition().offline_reason();
  EXPECT_GE(mover_->stats().failures, 1u);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
}

// One damaged old segment must not keep all that comes after it for good, nor go unnoticed.
TEST_F(SegmentTimeCheckTest, ADamagedSegmentIsToldOfAndExpiresAsOldAsTheFirstLook) {
  segment({batch(now_ - 9'000'000, now_), batch(now_ - 9'000'000, now_)});
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_ + 8'000'000, now_ - 9'000'000)});
  damage(0, batch_bytes_ + BatchHeader::kMagicOffset);
  as_an_earlier_version_left_it();
  open();
  start_and_wait_for_ages();
  EXPECT_FALSE(segments()[0].times_known);
  EXPECT_TRUE(segments()[1].times_known && segments()[2].times_known) << "what follows is looked at";
  ASSERT_EQ(shards_[0]->unreadable_segments(), 1u);
  EXPECT_NE(shards_[0]->list_unreadable()[0].reason.find(segment_file_name(0, 0)), std::string::npos)
      << shards_[0]->list_unreadable()[0].reason;
  sim_.run_for(2'000 * runtime::kSecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  restart();  // a later look does not make it younger
  mover_->start();
  wait([&] { return shards_[0]->unreadable_segments() == 1; });
  sim_.run_for(1'500 * runtime::kSecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 0);
  sim_.run_for(200 * runtime::kSecond);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 9);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 0u);
}

// As Kafka, which takes the file's time where a segment has none. Imports have it.
TEST_F(SegmentTimeCheckTest, AnImportedSegmentThatIsDamagedIsAsOldAsItsFileOrWhatCanBeReadOfIt) {
  segment({batch(now_ - 9'000'000, now_), batch(now_, now_)});
  segment({batch(now_ - 10, now_ - 10), batch(now_ - 9'000'000, now_)});
  segment({batch(now_, now_)});
  damage(0, batch_bytes_ + BatchHeader::kMagicOffset);
  damage(6, batch_bytes_ + BatchHeader::kMagicOffset);
  as_it_was_imported(now_ - 8'000'000);
  open();
  start_and_wait_for_ages();
  EXPECT_EQ(shards_[0]->unreadable_segments(), 2u);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 6);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 1u);
  shards_[0]->drop(id_);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 0u);
}

TEST_F(SegmentTimeCheckTest, WhatTheDiskDoesNotGiveAgainAndAgainHoldsUpNoOthers) {
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_ - 9'000'000, now_)});
  as_an_earlier_version_left_it();
  open();
  ASSERT_TRUE(sim_.disk().remove(path(0)));
  mover_->start();
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(shards_[0]->unreadable_segments(), 0u) << "once is no more than bad luck";
  start_and_wait_for_ages();
  EXPECT_EQ(shards_[0]->unreadable_segments(), 1u);
  EXPECT_TRUE(segments()[1].times_known);
  EXPECT_EQ(mover_->stats().failures, 3u);
}

// What frees a full disk must not wait for space.
TEST_F(SegmentTimeCheckTest, AFullDiskIsFreedByAgeThoughNothingCanBeWrittenAnew) {
  segment({batch(now_ - 9'000'000, now_ - 9'000'000)});
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_, now_ - 9'000'000)});
  as_an_earlier_version_left_it();
  open();
  shards_[0]->set_disk_full(true);
  start_and_wait_for_ages();
  EXPECT_TRUE(std::ranges::all_of(segments(), [](const SegmentInfo& info) { return info.generation == 0; }));
  EXPECT_TRUE(segments()[0].times_known);
  EXPECT_FALSE(segments()[1].times_known || segments()[2].times_known) << "their headers still lie";
  EXPECT_EQ(find(now_), 8);
  retain();
  EXPECT_EQ(partition().log_start_offset(), 6);
  restart();
  EXPECT_TRUE(segments()[0].age_known);
  shards_[0]->set_disk_full(true);
  mover_->start();
  sim_.run_for(100 * runtime::kSecond);
  EXPECT_FALSE(all_known());
  shards_[0]->set_disk_full(false);
  wait([&] { return all_known(); });
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_}));
}

TEST_F(SegmentTimeCheckTest, WithoutRoomForARewriteAtLeastTheAgeIsFoundOut) {
  segment({batch(now_ - 9'000'000, now_)});
  segment({batch(now_, now_)});
  as_an_earlier_version_left_it();
  open();
  sim_.disk().inject(
      {.pattern = "*.log", .operation = weir::testing::DiskOperation::kCreate, .times = 1'000, .os_errno = ENOSPC});
  start_and_wait_for_ages();
  retain();
  EXPECT_EQ(partition().log_start_offset(), 3);
}

TEST_F(SegmentTimeCheckTest, ALookUpGoesThroughManySegments) {
  for (int i = 0; i < 40; ++i) segment({batch(now_ + i, -1)});
  as_an_earlier_version_left_it();
  open();
  EXPECT_EQ(find(now_ + 39), 119);
  EXPECT_EQ(find(now_ + 40), -1);
  EXPECT_EQ(find(LogShard::kLargestTimestamp), 119);
}

TEST_F(SegmentTimeCheckTest, NewRecordsGoToASegmentOfTheirOwnMeanwhile) {
  segment({batch(now_, -1)});
  as_an_earlier_version_left_it();
  open();
  append(now_ + 1);
  retain();
  ASSERT_EQ(segments().size(), 2u);
  find_out();
  EXPECT_EQ(header_times(), (std::vector<int64_t>{now_, now_ + 1}));
}

}  // namespace
}  // namespace weir::storage::testing
