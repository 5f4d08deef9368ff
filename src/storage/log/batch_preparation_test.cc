#include "storage/log/batch_preparation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "base/varint.h"
#include "protocol/compressed_batch_fixture.h"
#include "protocol/compression.h"
#include "protocol/record_batch_builder.h"
#include "testing/manual_loop.h"
#include "testing/peak_memory.h"

namespace weir::storage {
namespace {

using protocol::BatchHeader;
using protocol::CompressionType;
using protocol::ErrorCode;

Bytes bytes_of(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

struct TestRecord {
  std::optional<std::string> key;
  std::string value;
  int64_t timestamp = 1000;
};

// Makes a batch as a producer sends it.
Slice make_batch(const std::vector<TestRecord>& records, CompressionType type = CompressionType::kNone) {
  protocol::BatchOptions options;
  options.producer_id = 77;
  options.producer_epoch = 3;
  options.base_sequence = 12;
  protocol::RecordBatchBuilder builder(options);
  for (const TestRecord& record : records) {
    std::optional<Bytes> key;
    if (record.key) key = bytes_of(*record.key);
    builder.append(record.timestamp, key, bytes_of(record.value));
  }
  const Bytes plain = builder.finish();
  if (type == CompressionType::kNone) return Slice::copy_of(plain);
  return Slice::copy_of(protocol::compressed_batch(plain, type));
}

std::vector<TestRecord> some_records() {
  return {{"a", std::string(200, 'x'), 1000}, {"b", std::string(300, 'y'), 1500}, {"c", "z", 1200}};
}

std::vector<std::string> keys_and_values(Bytes batch) {
  BatchHeader header;
  EXPECT_EQ(protocol::check_batch(batch, {}, header), protocol::BatchFault::kNone);
  std::vector<uint8_t> plain;
  protocol::Decompressor decompressor;
  EXPECT_EQ(decompressor.decompress(header.compression(), batch.subspan(BatchHeader::kSize), 1 << 20, plain),
            protocol::CompressionFault::kNone);
  protocol::RecordIterator records(header, plain);
  std::vector<std::string> out;
  for (protocol::Record record; records.next(record);) {
    const auto text = [](const std::optional<Bytes>& bytes) {
      return bytes ? std::string(bytes->begin(), bytes->end()) : std::string("null");
    };
    out.push_back(text(record.key) + "=" + text(record.value) + "@" + std::to_string(record.timestamp));
  }
  EXPECT_EQ(records.fault(), protocol::BatchFault::kNone);
  return out;
}

constexpr int64_t kNow = 2000;

class FromTo : public ::testing::TestWithParam<std::tuple<CompressionType, CompressionType>> {};

TEST_P(FromTo, RecordsAndProducerStayTheSame) {
  const auto [from, to] = GetParam();
  const Slice sent = make_batch(some_records(), from);
  LogConfig config;
  config.compression = to;
  EXPECT_EQ(needs_preparation(sent.bytes(), config), from != to || from != CompressionType::kNone);
  Slice stored = sent;
  AppendResult refusal;
  ASSERT_TRUE(prepare_batch(stored, config, kNow, refusal)) << refusal.message;
  const BatchHeader header = BatchHeader::parse(stored.data);
  EXPECT_EQ(header.compression(), to);
  EXPECT_EQ(header.producer_id, 77);
  EXPECT_EQ(header.producer_epoch, 3);
  EXPECT_EQ(header.base_sequence, 12);
  EXPECT_EQ(header.record_count, 3);
  EXPECT_EQ(header.max_timestamp, 1500);
  EXPECT_EQ(keys_and_values(stored.bytes()), keys_and_values(make_batch(some_records()).bytes()));
}

INSTANTIATE_TEST_SUITE_P(
    Codecs, FromTo,
    ::testing::Combine(::testing::Values(CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy,
                                         CompressionType::kLz4, CompressionType::kZstd),
                       ::testing::Values(CompressionType::kNone, CompressionType::kGzip, CompressionType::kSnappy,
                                         CompressionType::kLz4, CompressionType::kZstd)));

TEST(BatchPreparation, LevelsAreUsed) {
  std::vector<TestRecord> records;
  for (int i = 0; i < 2000; ++i) records.push_back({std::to_string(i), std::to_string(i * 7919) + " is a number"});
  const auto size_with = [&](CompressionType type, int gzip, int lz4, int zstd) {
    LogConfig config;
    config.compression = type;
    config.compression_gzip_level = gzip;
    config.compression_lz4_level = lz4;
    config.compression_zstd_level = zstd;
    Slice stored = make_batch(records);
    AppendResult refusal;
    EXPECT_TRUE(prepare_batch(stored, config, kNow, refusal)) << refusal.message;
    return stored.size;
  };
  EXPECT_LT(size_with(CompressionType::kGzip, 9, 9, 3), size_with(CompressionType::kGzip, 1, 9, 3));
  EXPECT_LT(size_with(CompressionType::kLz4, -1, 17, 3), size_with(CompressionType::kLz4, -1, 9, 3));
  EXPECT_LT(size_with(CompressionType::kZstd, -1, 9, 19), size_with(CompressionType::kZstd, -1, 9, -50));
}

TEST(BatchPreparation, CompressedRecordsWithoutKeyAreNamedOneByOne) {
  LogConfig config;
  config.cleanup_compact = true;
  Slice records = make_batch({{"a", "1"}, {std::nullopt, "2"}, {std::nullopt, "3"}, {"b", "4"}}, CompressionType::kZstd);
  EXPECT_TRUE(needs_preparation(records.bytes(), config));
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, config, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kInvalidRecord);
  ASSERT_EQ(refusal.record_errors.size(), 2u);
  EXPECT_EQ(refusal.record_errors[0].index, 1);
  EXPECT_EQ(refusal.record_errors[1].index, 2);
}

TEST(BatchPreparation, CompressedRecordsThatAreTooOldAreNamed) {
  LogConfig config;
  config.timestamp_before_max_ms = 700;
  Slice records = make_batch(some_records(), CompressionType::kLz4);
  EXPECT_TRUE(needs_preparation(records.bytes(), config));
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, config, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kInvalidTimestamp);
  ASSERT_EQ(refusal.record_errors.size(), 2u);  // 1000 and 1200
  EXPECT_EQ(refusal.record_errors[1].index, 2);
}

TEST(BatchPreparation, CompressedBatchesAreOpenedWhateverTheRules) {
  EXPECT_TRUE(needs_preparation(make_batch(some_records(), CompressionType::kGzip).bytes(), LogConfig{}));
  EXPECT_FALSE(needs_preparation(make_batch(some_records()).bytes(), LogConfig{}));
}

// Nobody checks the records of a stored batch against the limit again.
TEST(BatchPreparation, WhatIsTooLargeIsRefusedHere) {
  LogConfig config;
  config.max_message_bytes = 100;
  Slice records = make_batch(some_records(), CompressionType::kLz4);
  ASSERT_GT(records.size, 100u);
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, config, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kMessageTooLarge);
}

TEST(BatchPreparation, UnreadableRecordsAreRefused) {
  Slice records = make_batch(some_records(), CompressionType::kGzip);
  std::memset(records.owner.data() + BatchHeader::kSize + 12, 0x5a, 8);
  protocol::patch_crc({records.owner.data(), records.size});
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, {}, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kInvalidRecord);
  Slice sound = make_batch(some_records(), CompressionType::kGzip);
  EXPECT_TRUE(prepare_batch(sound, {}, kNow, refusal)) << refusal.message;
}

// Max timestamps as some producers send them: none, zero, the last record's, far too high.
class LyingHeader : public ::testing::TestWithParam<std::tuple<CompressionType, int64_t>> {};

TEST_P(LyingHeader, SaysWhatTheRecordsSayAndNothingElseChanges) {
  const auto [type, claimed] = GetParam();
  const Slice honest = make_batch(some_records(), type);
  Slice records = Slice::copy_of(honest.bytes());
  protocol::patch_timestamps({records.owner.data(), records.size}, false, claimed);
  AppendResult refusal;
  ASSERT_TRUE(prepare_batch(records, {}, kNow, refusal)) << refusal.message;
  EXPECT_EQ(as_string(records.bytes()), as_string(honest.bytes()));
}

INSTANTIATE_TEST_SUITE_P(Codecs, LyingHeader,
                         ::testing::Combine(::testing::Values(CompressionType::kGzip, CompressionType::kSnappy,
                                                              CompressionType::kLz4, CompressionType::kZstd),
                                            ::testing::Values(-1, 0, 1200, 1'000'000'000'000)));

TEST(BatchPreparation, CompressedRecordsFromTheFutureAreRefusedWhateverTheHeaderSays) {
  LogConfig config;
  Slice records = make_batch({{"a", "1", kNow}, {"b", "2", kNow + config.timestamp_after_max_ms + 1}}, CompressionType::kZstd);
  protocol::patch_timestamps({records.owner.data(), records.size}, false, kNow);
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, config, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kInvalidTimestamp);
  ASSERT_EQ(refusal.record_errors.size(), 1u);
  EXPECT_EQ(refusal.record_errors[0].index, 1);
}

TEST(BatchPreparation, TheProducersLogAppendTimeIsForgotten) {
  Slice records = make_batch(some_records(), CompressionType::kLz4);
  protocol::patch_timestamps({records.owner.data(), records.size}, true, 1999);
  AppendResult refusal;
  ASSERT_TRUE(prepare_batch(records, {}, kNow, refusal)) << refusal.message;
  EXPECT_EQ(as_string(records.bytes()), as_string(make_batch(some_records(), CompressionType::kLz4).bytes()));

  LogConfig append_time;
  append_time.log_append_time = true;
  protocol::patch_timestamps({records.owner.data(), records.size}, true, 1999);
  EXPECT_FALSE(prepare_batch(records, append_time, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(refusal.record_errors.size(), 3u);
}

// Makes one valid record of any size. Its value is zeros, and it has a header without a name and a value.
std::vector<uint8_t> one_large_record(size_t value_bytes) {
  const auto number = [](int64_t value) {
    uint8_t bytes[10];
    return std::vector<uint8_t>(bytes, bytes + write_varint64(bytes, value));
  };
  const auto value_length = number(static_cast<int64_t>(value_bytes));
  std::vector<uint8_t> plain = number(static_cast<int64_t>(5 + value_length.size() + value_bytes + 3));
  plain.insert(plain.end(), {0, 0, 0, 2, 'k'});
  plain.insert(plain.end(), value_length.begin(), value_length.end());
  plain.resize(plain.size() + value_bytes);
  plain.insert(plain.end(), {2, 0, 1});
  return plain;
}

// Compresses with a window of the whole size, so that a reader must keep all of it.
std::vector<uint8_t> with_largest_window(Bytes plain) {
  std::vector<uint8_t> out(ZSTD_compressBound(plain.size()));
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  out.resize(ZSTD_compress2(context, out.data(), out.size(), plain.data(), plain.size()));
  ZSTD_freeCCtx(context);
  return out;
}

Slice batch_of(CompressionType type, Bytes compressed, int32_t records = 1) {
  std::vector<uint8_t> batch(BatchHeader::kSize);
  batch.insert(batch.end(), compressed.begin(), compressed.end());
  BatchHeader header;
  header.attributes = static_cast<int16_t>(type);
  header.base_offset = 0;
  header.last_offset_delta = records - 1;
  header.record_count = records;
  header.base_timestamp = header.max_timestamp = 1000;
  header.batch_length = static_cast<int32_t>(batch.size() - BatchHeader::kLengthEnd);
  header.store(batch.data());
  protocol::patch_crc(batch);
  return Slice::copy_of(batch);
}

Slice compressed_batch(CompressionType type, Bytes plain) {
  std::vector<uint8_t> compressed;
  EXPECT_TRUE(protocol::compress(type, plain, compressed));
  return batch_of(type, compressed);
}

constexpr uint64_t kLeast = OpeningMemory::kLeastLargeBytes;
constexpr OpeningLimits kLeastLimits = {kLeast};

TEST(BatchPreparation, ARecordOfAnySizeIsCheckedWithLittleMemory) {
  LogConfig config;
  config.max_message_bytes = 8 << 20;
  const auto plain = one_large_record(100 << 20);
  for (const CompressionType type :
       {CompressionType::kGzip, CompressionType::kSnappy, CompressionType::kLz4, CompressionType::kZstd}) {
    Slice records = compressed_batch(type, plain);
    AppendResult refusal;
    const weir::testing::PeakMemory peak;
    EXPECT_TRUE(prepare_batch(records, config, kNow, refusal, kLeastLimits)) << refusal.message;  // snappy's in blocks of 32 KiB
    EXPECT_LE(peak.grown_bytes(), kLeast);
    // The preparation sees wrong bytes behind such a record.
    auto longer = plain;
    longer.push_back(0);
    Slice wrong = compressed_batch(type, longer);
    EXPECT_FALSE(prepare_batch(wrong, config, kNow, refusal, kLeastLimits));
    EXPECT_EQ(refusal.error, ErrorCode::kInvalidRecord);
  }
}

TEST(BatchPreparation, WhatHasToBeInMemoryAtOnceIsBounded) {
  const auto plain = one_large_record(100 << 20);
  const auto modest = one_large_record(6 << 20);
  LogConfig compacted;  // compaction has each record in memory
  compacted.cleanup_compact = true;
  LogConfig anew;
  anew.compression = CompressionType::kLz4;
  struct Case {
    const char* what;
    Slice too_large;
    Slice fits;
    LogConfig config;
  };
  std::vector<Case> cases;
  cases.push_back({"a codec that needs all of it",
                   batch_of(CompressionType::kZstd, with_largest_window(plain)),
                   batch_of(CompressionType::kZstd, with_largest_window(modest)),
                   {}});
  cases.push_back({"compaction", compressed_batch(CompressionType::kZstd, plain),
                   compressed_batch(CompressionType::kZstd, modest), compacted});
  cases.push_back({"compressing anew", compressed_batch(CompressionType::kZstd, plain),
                   compressed_batch(CompressionType::kZstd, modest), anew});
  const weir::testing::PeakMemory peak;
  for (Case& each : cases) {
    AppendResult refusal;
    EXPECT_FALSE(prepare_batch(each.too_large, each.config, kNow, refusal, kLeastLimits)) << each.what;
    EXPECT_EQ(refusal.error, ErrorCode::kMessageTooLarge) << each.what;
    EXPECT_TRUE(prepare_batch(each.fits, each.config, kNow, refusal, kLeastLimits)) << each.what << ": " << refusal.message;
  }
  EXPECT_LE(peak.grown_bytes(), kLeast + (8 << 20)) << "and results";
}

TEST(BatchPreparation, MemoryIsASixteenthButEnoughForOneOfEach) {
  for (const uint64_t mib : {16, 64, 256, 512, 1024, 4096, 65536, 1 << 20}) {
    const uint64_t total = mib << 20;
    const auto memory = OpeningMemory::of(total);
    EXPECT_GE(memory.turns, 1u);
    EXPECT_GE(memory.large, 1u);
    EXPECT_GE(memory.large_limits.memory_bytes, kLeast);
    const uint64_t turn = OpeningMemory::kTurn.memory_bytes;
    EXPECT_LE(memory.large * memory.large_limits.memory_bytes + memory.turns * turn, std::max(total / 16, kLeast + turn)) << mib;
  }
  EXPECT_GE(OpeningMemory::of(uint64_t{1} << 30).turns, 4u) << "shards do not wait for each other";
}

// A turn leaves a large batch, and the batches behind it.
TEST(BatchPreparation, ATurnLeavesWhatIsLarge) {
  std::vector<std::shared_ptr<PreparedAppend>> appends;
  const Slice small = make_batch(some_records(), CompressionType::kGzip);
  const Slice large = compressed_batch(CompressionType::kGzip, one_large_record(OpeningMemory::kTurn.decompressed_bytes));
  for (const Slice* records : {&small, &large, &small}) {
    appends.push_back(std::make_shared<PreparedAppend>());
    appends.back()->records = Slice::copy_of(records->bytes());
  }
  weir::testing::ManualLoop world;
  prepare_turn(appends, {}, world.clock());
  EXPECT_TRUE(appends[0]->ready);
  EXPECT_FALSE(appends[1]->ready);
  EXPECT_TRUE(appends[1]->large);
  EXPECT_EQ(appends[1]->refusal.error, ErrorCode::kNone);
  EXPECT_FALSE(appends[2]->ready || appends[2]->large);
  // Compressing anew takes longer than opening.
  LogConfig anew;
  anew.compression = CompressionType::kZstd;
  for (const auto& [level, bytes, fits] :
       {std::tuple{3, 200 << 10, true}, {3, 300 << 10, false}, {22, 3000, true}, {22, 6000, false}}) {
    auto append = std::make_shared<PreparedAppend>();
    append->records = make_batch({{"k", std::string(static_cast<size_t>(bytes), 'v')}});
    anew.compression_zstd_level = level;
    prepare_turn({&append, 1}, anew, world.clock());
    EXPECT_EQ(append->ready, fits) << level << " " << bytes;
    EXPECT_EQ(append->large, !fits);
  }
  prepare_one(*appends[1], {}, world.clock(), kLeastLimits);
  EXPECT_TRUE(appends[1]->ready);
  EXPECT_EQ(appends[1]->refusal.error, ErrorCode::kNone);
}

TEST(BatchPreparation, WhatIsCompressedAnewHasNoDeleteHorizon) {
  Slice records = make_batch(some_records());
  BatchHeader header = BatchHeader::parse(records.data);
  header.attributes = static_cast<int16_t>(header.attributes | BatchHeader::kDeleteHorizon);
  header.store(records.owner.data());
  protocol::patch_crc({records.owner.data(), records.size});
  LogConfig config;
  config.compression = CompressionType::kLz4;
  AppendResult refusal;
  ASSERT_TRUE(prepare_batch(records, config, kNow, refusal)) << refusal.message;
  EXPECT_FALSE(BatchHeader::parse(records.data).delete_horizon());
}

TEST(BatchPreparation, ABombIsRefused) {
  Slice records = compressed_batch(CompressionType::kZstd, one_large_record(200 << 20));
  ASSERT_LT(records.size, 1u << 20);
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, {}, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kMessageTooLarge);
}

TEST(BatchPreparation, WhatIsNoCodecsOutputIsRefused) {
  Slice records = make_batch(some_records(), CompressionType::kGzip);
  for (size_t i = BatchHeader::kSize; i < records.size; ++i) records.owner.data()[i] ^= 0x5a;
  protocol::patch_crc({records.owner.data(), records.size});
  LogConfig config;
  config.compression = CompressionType::kNone;
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, config, kNow, refusal));
  EXPECT_EQ(refusal.error, ErrorCode::kInvalidRecord);
}

}  // namespace
}  // namespace weir::storage
