#include "storage/log/batch_preparation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "protocol/compression.h"
#include "protocol/record_batch_builder.h"

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

// As a producer sends it.
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
  std::vector<uint8_t> out(plain.begin(), plain.begin() + BatchHeader::kSize);
  EXPECT_TRUE(protocol::compress(type, plain.subspan(BatchHeader::kSize), out));
  BatchHeader header = BatchHeader::parse(out.data());
  header.attributes = static_cast<int16_t>(type);
  header.batch_length = static_cast<int32_t>(out.size() - BatchHeader::kLengthEnd);
  header.store(out.data());
  protocol::patch_crc(out);
  return Slice::copy_of(out);
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

INSTANTIATE_TEST_SUITE_P(Codecs, FromTo,
                         ::testing::Combine(::testing::Values(CompressionType::kNone, CompressionType::kGzip,
                                                              CompressionType::kSnappy, CompressionType::kLz4,
                                                              CompressionType::kZstd),
                                            ::testing::Values(CompressionType::kNone, CompressionType::kGzip,
                                                              CompressionType::kSnappy, CompressionType::kLz4,
                                                              CompressionType::kZstd)));

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

// Nobody looks at its records again, whatever the limit is by then.
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

// As some producers send them: none, zero, the last record's, far too high.
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

TEST(BatchPreparation, ABombIsRefused) {
  // 200 MB of zeros in one record.
  std::vector<uint8_t> bomb(BatchHeader::kSize);
  const std::vector<uint8_t> zeros(200 << 20);
  ASSERT_TRUE(protocol::compress(CompressionType::kZstd, zeros, bomb));
  BatchHeader header;
  header.attributes = static_cast<int16_t>(CompressionType::kZstd);
  header.base_offset = 0;
  header.last_offset_delta = 0;
  header.record_count = 1;
  header.base_timestamp = header.max_timestamp = 1000;
  header.batch_length = static_cast<int32_t>(bomb.size() - BatchHeader::kLengthEnd);
  header.store(bomb.data());
  protocol::patch_crc(bomb);
  ASSERT_LT(bomb.size(), 1u << 20);
  LogConfig config;
  config.cleanup_compact = true;
  Slice records = Slice::copy_of(bomb);
  AppendResult refusal;
  EXPECT_FALSE(prepare_batch(records, config, kNow, refusal));
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
