// The contract of SegmentStore, over each implementation. These tests know the seam only.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "base/buffer.h"
#include "protocol/record_batch.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/memory_segment_store.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/manual_loop.h"

namespace weir::storage::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct LocalBackend {
  explicit LocalBackend(weir::testing::ManualLoop& given) : world(given) {
    EXPECT_TRUE(world.files().create_directories("/log"));
  }
  SegmentStore& open() {
    store.reset();
    auto opened = LocalSegmentStore::open(world.files(), world.pool(), clock, {.log_dir = "/log"});
    EXPECT_TRUE(opened) << opened.error().message;
    store = std::move(*opened);
    return *store;
  }
  void let_time_pass() { clock.advance_ms(3'600'000); }
  weir::testing::ManualLoop& world;
  weir::testing::FakeClock clock;
  std::unique_ptr<LocalSegmentStore> store;
};

struct MemoryBackend {
  explicit MemoryBackend(weir::testing::ManualLoop&) {}
  SegmentStore& open() { return store; }
  void let_time_pass() {}
  MemorySegmentStore store;
};

template <typename Backend>
class SegmentStoreContract : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    world_.run();  // what was begun ends
    store_ = &backend_.open();
    auto loaded = store_->load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    loaded_ = std::move(*loaded);
  }
  // Calls `start` with a completion and waits for it.
  template <typename T, typename Start>
  T wait(Start start) {
    std::optional<T> result;
    start([&result](T arrived) { result = std::move(arrived); });
    EXPECT_FALSE(result) << "never inline";
    world_.run_until([&] { return result.has_value(); });
    return std::move(*result);
  }
  Result<std::vector<PartitionManifest>> try_checkpoint(std::vector<CheckpointPartition> partitions) {
    return wait<Result<std::vector<PartitionManifest>>>(
        [&](auto done) { store_->checkpoint(std::move(partitions), world_.loop(), std::move(done)); });
  }
  PartitionManifest checkpoint(CheckpointPartition one) {
    auto checkpointed = try_checkpoint(checkpoints(std::move(one)));
    EXPECT_TRUE(checkpointed) << checkpointed.error().message;
    return checkpointed ? checkpointed->front() : PartitionManifest();
  }
  Result<SegmentRead> read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit) {
    return wait<Result<SegmentRead>>([&](auto done) { store_->read(manifest, offset, limit, world_.loop(), std::move(done)); });
  }
  std::vector<uint8_t> read_all(const PartitionManifest& manifest, uint32_t max_bytes) {
    std::vector<uint8_t> all;
    int64_t offset = manifest.segments.empty() ? manifest.end_offset : manifest.segments.front().base_offset;
    while (offset < manifest.end_offset) {
      auto found = read(manifest, offset, max_bytes);
      EXPECT_TRUE(found) << found.error().message;
      if (!found || found->next_offset <= offset) break;
      const auto bytes = bytes_of(found->bytes);
      all.insert(all.end(), bytes.begin(), bytes.end());
      offset = found->next_offset;
    }
    return all;
  }
  Result<PartitionManifest> replace(const SegmentReplacement& replacement) {
    return wait<Result<PartitionManifest>>([&](auto done) { store_->replace(replacement, world_.loop(), std::move(done)); });
  }
  TimestampPosition find(const PartitionManifest& manifest, int64_t timestamp) {
    auto found = wait<Result<TimestampPosition>>(
        [&](auto done) { store_->find_timestamp(manifest, timestamp, world_.loop(), std::move(done)); });
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(TimestampPosition());
  }
  // Checkpoints batches of one record, each in a segment of its own.
  PartitionManifest segments(int count) {
    auto one = make_checkpoint(id_, end_, count);
    one.segment_bytes = 1;
    return checkpoint(std::move(one));
  }
  // Writes the segment's batches anew.
  SegmentReplacement copy_of(const SegmentInfo& source) {
    SegmentReplacement outcome;
    outcome.partition = id_;
    auto generation = store_->begin_rewrite(id_);
    EXPECT_TRUE(generation);
    auto from = store_->open_segment(id_, source);
    auto to = store_->create_segment(id_, source.base_offset, generation.value_or(0));
    EXPECT_TRUE(from && to);
    const Buffer memory = Buffer::allocate(source.length);
    auto got = (*from)->read_at(0, memory.bytes());
    EXPECT_TRUE(got && *got >= source.length);
    protocol::BatchSplitter batches(Bytes(memory.bytes()).first(source.length));
    while (batches.next()) EXPECT_TRUE((*to)->append(batches.batch()));
    const auto aborted = store_->aborted_transactions(id_, source);
    EXPECT_TRUE(aborted);
    for (const auto& entry : *aborted) (*to)->add_aborted(entry);
    auto info = (*to)->finish();
    EXPECT_TRUE(info);
    outcome.groups = {{{source}, {*info}}};
    return outcome;
  }

  weir::testing::ManualLoop world_;
  Backend backend_{world_};
  SegmentStore* store_ = nullptr;
  std::vector<LoadedPartition> loaded_;
  const PartitionId id_ = partition_id(1);
  int64_t end_ = 0;
};

using Backends = ::testing::Types<LocalBackend, MemoryBackend>;
TYPED_TEST_SUITE(SegmentStoreContract, Backends);

TYPED_TEST(SegmentStoreContract, WhatWasCheckpointedIsReadAndLoaded) {
  std::vector<uint8_t> wrote;
  PartitionManifest manifest;
  for (int round = 0; round < 4; ++round) {
    auto one = make_checkpoint(this->id_, this->end_, 3, {.records = 2});
    one.epochs = {{0, 0}, {7, 5}};
    const auto bytes = bytes_of(one.batches);
    wrote.insert(wrote.end(), bytes.begin(), bytes.end());
    manifest = this->checkpoint(std::move(one));
  }
  EXPECT_EQ(manifest.end_offset, this->end_);
  for (const uint32_t bytes : {1u, 400u, 1u << 20}) EXPECT_EQ(this->read_all(manifest, bytes), wrote) << bytes;
  this->reopen();
  ASSERT_EQ(this->loaded_.size(), 1u);
  EXPECT_EQ(this->loaded_[0].manifest, manifest);
  EXPECT_EQ(this->read_all(this->loaded_[0].manifest, 500), wrote);
}

TYPED_TEST(SegmentStoreContract, AReadIsWholeBatchesWithinItsLimit) {
  const auto manifest = this->checkpoint(make_checkpoint(this->id_, this->end_, 4, {.records = 2}));
  auto first = this->read(manifest, 0, 1);
  ASSERT_TRUE(first);
  const uint64_t size = size_of(first->bytes);
  EXPECT_EQ(first->next_offset, 2) << "one batch at least";
  auto inside = this->read(manifest, 3, static_cast<uint32_t>(2 * size));
  EXPECT_EQ(inside->first_offset, 2);
  EXPECT_EQ(inside->next_offset, 6);
  EXPECT_EQ(size_of(inside->bytes), 2 * size);
  auto limited = this->read(manifest, 0, {1 << 20, 5});
  EXPECT_EQ(limited->next_offset, 4) << "a batch that ends beyond the limit is not there";
  auto beyond = this->read(manifest, 4, {1 << 20, 5});
  ASSERT_TRUE(beyond);
  EXPECT_EQ(size_of(beyond->bytes), 0u);
  EXPECT_EQ(beyond->next_offset, 4);
  EXPECT_EQ(this->read(manifest, 8, 100).error().code, ErrorCode::kNotFound);
}

TYPED_TEST(SegmentStoreContract, SegmentsBelowTheLogStartGo) {
  auto manifest = this->segments(5);
  ASSERT_EQ(manifest.segments.size(), 5u);
  EXPECT_EQ(this->read(manifest, 1, 1 << 20)->next_offset, 2) << "a read stays in a segment";
  CheckpointPartition trim;
  trim.partition = this->id_;
  trim.log_start_offset = 3;
  manifest = this->checkpoint(std::move(trim));
  EXPECT_EQ(manifest.segments.size(), 2u);
  EXPECT_EQ(this->read(manifest, 2, 100).error().code, ErrorCode::kNotFound);
  this->reopen();
  EXPECT_EQ(this->loaded_[0].manifest, manifest);
}

TYPED_TEST(SegmentStoreContract, ACheckpointIsAllOrNothing) {
  int64_t other_end = 0;
  auto good = make_checkpoint(partition_id(2), other_end, 2);
  auto bad = make_checkpoint(this->id_, this->end_, 2);
  bad.batches[1].info.base_offset = 77;
  EXPECT_EQ(this->try_checkpoint(checkpoints(std::move(good), std::move(bad))).error().code, ErrorCode::kInvalid);
  this->reopen();
  EXPECT_THAT(this->loaded_, IsEmpty());
}

TYPED_TEST(SegmentStoreContract, ProducersComeBackAndExpire) {
  auto one = make_checkpoint(this->id_, this->end_, 1);
  one.producers = {{5, 1, 2, 3, -1, {{0, 0, 0, 0, 1000}}}, {6, 0, -1, 3, -1, {}}};
  this->checkpoint(std::move(one));
  this->reopen();
  EXPECT_THAT(this->loaded_[0].producers,
              ElementsAre(ProducerEntry{5, 1, 2, 3, -1, {{0, 0, 0, 0, 1000}}}, ProducerEntry{6, 0, -1, 3, -1, {}}));
  CheckpointPartition expiry;
  expiry.partition = this->id_;
  expiry.expired_producers = {5};
  this->checkpoint(std::move(expiry));
  this->reopen();
  ASSERT_EQ(this->loaded_[0].producers.size(), 1u);
  EXPECT_EQ(this->loaded_[0].producers[0].producer_id, 6);
}

// A checkpoint writes whole rows, whatever was in the earlier ones.
TYPED_TEST(SegmentStoreContract, ProducerRowsAreAsTheCheckpointGivesThem) {
  const ProducerBatch first{0, 0, 0, 0, 1000}, second{1, 1, 1, 0, 1001};
  auto one = make_checkpoint(this->id_, this->end_, 1);
  one.producers = {{5, 1, 2, 3, 0, {first}}, {6, 1, 2, 3, 0, {first}}, {7, 1, 2, 3, 0, {first}}};
  this->checkpoint(std::move(one));
  auto other = make_checkpoint(this->id_, this->end_, 1);
  const std::vector<ProducerEntry> rows = {{5, 1, -1, 4, -1, {second}}, {6, 1, 2, 4, 1, {}}};
  other.producers = rows;
  other.expired_producers = {6, 7};  // 6 was forgotten, and wrote again
  this->checkpoint(std::move(other));
  this->reopen();
  EXPECT_EQ(this->loaded_[0].producers, rows);
}

TYPED_TEST(SegmentStoreContract, AbortedTransactionsGoWithTheirSegments) {
  const AbortedTransaction a{1, 0, 1, 1}, b{2, 1, 3, 4};
  CheckpointPartition one;
  one.partition = this->id_;
  one.segment_bytes = 1;
  for (int64_t at = 0; at < 5; ++at) {
    auto batch = make_batch(this->id_, {.base_offset = at});
    if (at == 1) add_abort(one, std::move(batch), a);
    else if (at == 3) add_abort(one, std::move(batch), b);
    else one.batches.push_back(std::move(batch));
  }
  auto manifest = this->checkpoint(std::move(one));
  EXPECT_THAT(this->read(manifest, 0, {1, INT64_MAX, true})->aborted, ElementsAre(a));
  EXPECT_THAT(this->read(manifest, 1, {1, INT64_MAX, true})->aborted, ElementsAre(a, b));
  EXPECT_THAT(this->read(manifest, 1, 1)->aborted, IsEmpty());
  EXPECT_THAT(*this->store_->aborted_transactions(this->id_, manifest.segments[3]), ElementsAre(b));
  auto replaced = this->replace(this->copy_of(manifest.segments[1]));
  ASSERT_TRUE(replaced);
  EXPECT_EQ(replaced->segments[1].aborted, 1u);
  EXPECT_THAT(this->read(*replaced, 1, {1, INT64_MAX, true})->aborted, ElementsAre(a, b));
}

TYPED_TEST(SegmentStoreContract, TimestampsAreFound) {
  auto one = make_checkpoint(this->id_, this->end_, 3, {.records = 2, .timestamp = 1000});
  one.segment_bytes = 1;
  const auto manifest = this->checkpoint(std::move(one));
  EXPECT_EQ(this->find(manifest, 0).offset, 0);
  EXPECT_EQ(this->find(manifest, 1003).offset, 3);
  EXPECT_EQ(this->find(manifest, 1003).timestamp, 1003);
  EXPECT_EQ(this->find(manifest, 1006).offset, -1);
  EXPECT_EQ(this->find(manifest, SegmentData::kLargestTimestamp).offset, 5);
}

TYPED_TEST(SegmentStoreContract, ASegmentWrittenAnewTakesTheOldOnesPlace) {
  const auto before = this->segments(3);
  const auto wrote = this->read_all(before, 1 << 20);
  const SegmentReplacement copy = this->copy_of(before.segments[1]);
  EXPECT_EQ(this->read_all(before, 1 << 20), wrote) << "it is no part of the log yet";
  auto after = this->replace(copy);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->segments[1], copy.groups[0].outputs[0]);
  EXPECT_EQ(this->read_all(*after, 1 << 20), wrote);
  EXPECT_EQ(this->read_all(before, 1 << 20), wrote) << "who began with the old manifest goes on";
  this->backend_.let_time_pass();
  bool maintained = false;
  this->store_->maintain(this->world_.loop(), [&] { maintained = true; });
  this->world_.run_until([&] { return maintained; });
  EXPECT_FALSE(this->store_->open_segment(this->id_, before.segments[1])) << "it is gone some time later";
  this->reopen();
  EXPECT_EQ(this->loaded_[0].manifest, *after);
  EXPECT_GT(*this->store_->begin_rewrite(this->id_), copy.groups[0].outputs[0].generation) << "no name is used twice";
}

TYPED_TEST(SegmentStoreContract, AReplacementOfWhatIsGoneIsLeftOut) {
  const auto before = this->segments(3);
  const SegmentReplacement copy = this->copy_of(before.segments[0]);
  CheckpointPartition trim;
  trim.partition = this->id_;
  trim.log_start_offset = 2;
  const auto trimmed = this->checkpoint(std::move(trim));
  auto after = this->replace(copy);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->segments, trimmed.segments);
  this->store_->discard(copy, this->world_.loop());
  auto dropped = this->template wait<Result<void>>(
      [&](auto done) { this->store_->drop(this->id_, 0, this->world_.loop(), std::move(done)); });
  EXPECT_TRUE(dropped);
  EXPECT_EQ(this->replace(copy).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->store_->begin_rewrite(this->id_).error().code, ErrorCode::kNotFound);
  this->reopen();
  EXPECT_TRUE(this->loaded_.empty() || !this->loaded_[0].has_row);
}

TYPED_TEST(SegmentStoreContract, TheRegisterOfTheLogsIsKept) {
  SegmentStore& store = *this->store_;
  const std::vector<WalSession> sessions = {{0, 5, 1, 9, true}, {1, 6, 2, 0, false}};
  ASSERT_TRUE(store.put_wal_sessions(sessions));
  ASSERT_TRUE(store.note_wal_file(0, 3));
  ASSERT_TRUE(store.note_wal_file(0, 3));
  ASSERT_TRUE(store.note_wal_file(1, 4));
  ASSERT_TRUE(store.forget_wal_file(1, 4));
  this->reopen();
  EXPECT_EQ(*this->store_->wal_sessions(), sessions);
  EXPECT_THAT(*this->store_->wal_files(), ElementsAre(WalFile{0, 3}));
  ASSERT_TRUE(this->store_->put_wal_sessions_and_files({}, {}));
  EXPECT_THAT(*this->store_->wal_sessions(), IsEmpty());
  EXPECT_THAT(*this->store_->wal_files(), IsEmpty());
}

TYPED_TEST(SegmentStoreContract, GuestsOfALogStayAsLongAsTheirSessions) {
  const WalGuest here{1, partition_id(2)}, there{2, partition_id(2)}, other{2, {partition_id(3).topic, 7}};
  EXPECT_FALSE(this->store_->note_wal_guest(here)) << "there is no session";
  const WalSession first{1, 5, 1, 9, true}, second{1, 6, 10, 0, false}, beside{2, 6, 1, 0, false};
  ASSERT_TRUE(this->store_->put_wal_sessions({{1, 5, 1, 0, false}, beside}));
  for (const WalGuest& guest : {there, other, here, here}) ASSERT_TRUE(this->store_->note_wal_guest(guest));
  this->reopen();
  EXPECT_THAT(*this->store_->wal_guests(), UnorderedElementsAre(here, there, other));
  ASSERT_TRUE(this->store_->put_wal_sessions_and_files({first, second, beside}, {}));
  ASSERT_TRUE(this->store_->note_wal_guest(here));
  EXPECT_THAT(*this->store_->wal_guests(), UnorderedElementsAre(here, there, other)) << "each once";
  ASSERT_TRUE(this->store_->put_wal_sessions_and_files({second}, {}));
  this->reopen();
  EXPECT_THAT(*this->store_->wal_guests(), UnorderedElementsAre(here));
  ASSERT_TRUE(this->store_->put_wal_sessions({first}));
  EXPECT_THAT(*this->store_->wal_guests(), IsEmpty());
}

}  // namespace
}  // namespace weir::storage::testing
