#include "protocol/record_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>

#include "protocol/compression.h"
#include "protocol/record_batch_builder.h"
#include "protocol/record_window.h"

namespace weir::protocol {
namespace {

using Raw = std::vector<uint8_t>;

struct Foreign {
  std::string compression, kind;
  Raw bytes;
};

std::vector<Foreign> foreign_batches() {
  std::ifstream file(WEIR_PROTOCOL_TESTDATA "/batches.txt");
  std::vector<Foreign> all;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    Foreign one;
    std::string hex;
    std::istringstream(line) >> one.compression >> one.kind >> hex;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
      one.bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    all.push_back(one);
  }
  EXPECT_EQ(all.size(), 12u);
  return all;
}

int64_t expected_timestamp(int i) { return 1700000000000 + (i * 7919) % 23 - 5; }

void expect_sample_records(const BatchHeader& header, Bytes records) {
  RecordIterator iterator(header, records);
  Record record;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(iterator.next(record)) << i;
    EXPECT_EQ(record.offset, 1000 + i);
    EXPECT_EQ(record.timestamp, header.log_append_time() ? 1700000009999 : expected_timestamp(i));
    ASSERT_EQ(record.key.has_value(), i % 3 != 0);
    if (record.key) {
      EXPECT_EQ(as_string(*record.key), "key" + std::to_string(i));
    }
    ASSERT_EQ(record.value.has_value(), i != 4);
    if (record.value) {
      EXPECT_EQ(as_string(*record.value), "value" + std::to_string(i) + std::string(static_cast<size_t>(i) * 40, 'x'));
    }
    ASSERT_EQ(record.header_count, i == 2 ? 2 : 0);
    HeaderIterator headers(record);
    RecordHeader one;
    if (i == 2) {
      ASSERT_TRUE(headers.next(one));
      EXPECT_EQ(one.key, "h1");
      EXPECT_EQ(as_string(*one.value), "one");
      ASSERT_TRUE(headers.next(one));
      EXPECT_EQ(one.key, "h2");
      EXPECT_FALSE(one.value.has_value());
    }
    EXPECT_FALSE(headers.next(one));
  }
  EXPECT_FALSE(iterator.next(record));
  EXPECT_EQ(iterator.fault(), BatchFault::kNone);
  EXPECT_TRUE(iterator.rest().empty());
}

TEST(RecordBatch, ReadsForeignBatchesOfEveryCompression) {
  Decompressor decompressor;
  for (const Foreign& foreign : foreign_batches()) {
    SCOPED_TRACE(foreign.compression + " " + foreign.kind);
    BatchHeader header;
    ASSERT_EQ(check_batch(foreign.bytes, {}, header), BatchFault::kNone);
    EXPECT_EQ(header.size(), foreign.bytes.size());
    EXPECT_EQ(header.partition_leader_epoch, 9);
    if (header.control()) continue;
    EXPECT_EQ(header.last_offset(), 1004);
    EXPECT_EQ(header.log_append_time(), foreign.kind == "append");
    EXPECT_EQ(header.transactional(), foreign.kind == "create");
    EXPECT_EQ(header.producer_id, foreign.kind == "create" ? 4711 : -1);
    EXPECT_EQ(header.last_sequence(), foreign.kind == "create" ? 21 : -1);
    Raw records;
    const auto fault =
        decompressor.decompress(header.compression(), Bytes(foreign.bytes).subspan(BatchHeader::kSize), 10'000, records);
    ASSERT_EQ(fault, CompressionFault::kNone);
    int64_t max_timestamp = 0;
    EXPECT_EQ(check_records(header, records, {}, &max_timestamp), BatchFault::kNone);
    EXPECT_EQ(max_timestamp, header.max_timestamp);
    expect_sample_records(header, records);
  }
}

TEST(RecordBatch, BuilderWritesTheSameBytesAsOthers) {
  for (const Foreign& foreign : foreign_batches()) {
    if (foreign.compression != "none") continue;
    SCOPED_TRACE(foreign.kind);
    if (foreign.kind == "commit" || foreign.kind == "abort") {
      const bool commit = foreign.kind == "commit";
      RecordBatchBuilder builder({.base_offset = commit ? 77 : 78,
                                  .partition_leader_epoch = 9,
                                  .producer_id = 4711,
                                  .producer_epoch = 3,
                                  .transactional = true,
                                  .control = true});
      builder.append_end_marker(1700000000000, commit, commit ? 12 : 13);
      EXPECT_EQ(as_string(builder.finish()), as_string(foreign.bytes));
      RecordIterator iterator(builder.finish());
      Record record;
      ASSERT_TRUE(iterator.next(record));
      const auto marker = parse_end_marker(record);
      ASSERT_TRUE(marker.has_value());
      EXPECT_EQ(marker->commit, commit);
      EXPECT_EQ(marker->coordinator_epoch, commit ? 12 : 13);
      continue;
    }
    const bool append_time = foreign.kind == "append";
    BatchOptions options{.base_offset = 1000, .partition_leader_epoch = 9};
    if (!append_time) {
      options.producer_id = 4711;
      options.producer_epoch = 3;
      options.base_sequence = 17;
      options.transactional = true;
    }
    RecordBatchBuilder builder(options);
    const RecordHeader headers[] = {{"h1", as_bytes("one")}, {"h2", std::nullopt}};
    for (int i = 0; i < 5; ++i) {
      const std::string key = "key" + std::to_string(i);
      const std::string value = "value" + std::to_string(i) + std::string(static_cast<size_t>(i) * 40, 'x');
      builder.append(expected_timestamp(i), i % 3 == 0 ? std::optional<Bytes>() : as_bytes(key),
                     i == 4 ? std::optional<Bytes>() : as_bytes(value),
                     i == 2 ? std::span<const RecordHeader>(headers) : std::span<const RecordHeader>());
    }
    const Bytes built = builder.finish();
    Raw patched(built.begin(), built.end());
    if (append_time) patch_timestamps(patched, true, 1700000009999);
    EXPECT_EQ(as_string(patched), as_string(foreign.bytes));
  }
}

Raw sample_batch(const BatchOptions& options = {}, int records = 3) {
  RecordBatchBuilder builder(options);
  for (int i = 0; i < records; ++i) builder.append(1000 + i, as_bytes("k"), as_bytes("value"));
  const Bytes built = builder.finish();
  return {built.begin(), built.end()};
}

BatchFault check(const Raw& batch, BatchRules rules = {}) {
  BatchHeader header;
  return check_batch(batch, rules, header);
}

// Changes a header field and makes the CRC right again.
template <typename Change>
Raw changed(Change change, const BatchOptions& options = {}) {
  Raw batch = sample_batch(options);
  BatchHeader header = BatchHeader::parse(batch.data());
  change(header);
  header.store(batch.data());
  patch_crc(batch);
  return batch;
}

TEST(RecordBatch, EachFaultIsNamed) {
  EXPECT_EQ(check(sample_batch()), BatchFault::kNone);
  EXPECT_EQ(check(changed([](auto& h) { h.attributes = 0x80; })), BatchFault::kBadAttributes);
  EXPECT_EQ(check(changed([](auto& h) { h.attributes = 5; })), BatchFault::kUnknownCompression);
  EXPECT_EQ(check(changed([](auto& h) { h.last_offset_delta = -1; })), BatchFault::kBadOffsetDelta);
  EXPECT_EQ(check(changed([](auto& h) { h.base_offset = std::numeric_limits<int64_t>::max() - 1; })),
            BatchFault::kBadOffsetDelta);
  EXPECT_EQ(check(changed([](auto& h) { h.record_count = 4; })), BatchFault::kBadCount);
  EXPECT_EQ(check(changed([](auto& h) { h.record_count = 2; })), BatchFault::kBadCount);
  EXPECT_EQ(check(changed([](auto& h) { h.record_count = 1000, h.last_offset_delta = 999; })), BatchFault::kTooManyRecords);
  EXPECT_EQ(check(changed([](auto& h) { h.record_count = 2, h.last_offset_delta = 1; })), BatchFault::kTrailingBytes);
  EXPECT_EQ(check(changed([](auto& h) { h.record_count = 4, h.last_offset_delta = 3; })), BatchFault::kBadRecord);
  EXPECT_EQ(check(changed([](auto& h) { h.base_timestamp = -2; })), BatchFault::kBadTimestamp);
  EXPECT_EQ(check(changed([](auto& h) { h.base_timestamp = h.max_timestamp = -62'135'596'800'000; }), {.contiguous = false}),
            BatchFault::kNone)
      << "Kafka's logs may hold it";
  EXPECT_EQ(check(changed([](auto& h) { h.base_timestamp = std::numeric_limits<int64_t>::max(); })), BatchFault::kBadTimestamp);
  EXPECT_EQ(check(changed([](auto& h) { h.producer_id = 1; })), BatchFault::kBadSequence);
  EXPECT_EQ(check(changed([](auto& h) { h.base_sequence = -2; })), BatchFault::kBadSequence);
  EXPECT_EQ(check(changed([](auto& h) { h.producer_epoch = h.base_sequence = 0; })), BatchFault::kNone) << "as kafkajs sends";
  EXPECT_EQ(check(changed([](auto& h) { h.attributes = BatchHeader::kTransactional; })), BatchFault::kBadSequence);
  Raw bad_magic = sample_batch();
  bad_magic[BatchHeader::kMagicOffset] = 1;
  EXPECT_EQ(check(bad_magic), BatchFault::kUnsupportedMagic);
  Raw bad_crc = sample_batch();
  bad_crc.back() ^= 1;
  EXPECT_EQ(check(bad_crc), BatchFault::kBadCrc);
  EXPECT_EQ(check(bad_crc, {.check_crc = false}), BatchFault::kBadRecord);
  EXPECT_EQ(check(bad_crc, {.check_crc = false, .walk_records = false}), BatchFault::kNone);
  Raw longer = sample_batch();
  longer.push_back(0);
  EXPECT_EQ(check(longer), BatchFault::kTrailingBytes);
  Raw small = sample_batch();
  store_be<int32_t>(small.data() + 8, 48);
  EXPECT_EQ(check(small), BatchFault::kBadLength);
  store_be<int32_t>(small.data() + 8, -1);
  EXPECT_EQ(check(small), BatchFault::kBadLength);
}

TEST(RecordBatch, KeysCanBeRequired) {
  RecordBatchBuilder builder;
  builder.append(0, std::nullopt, as_bytes("v"));
  const Bytes built = builder.finish();
  const Raw batch(built.begin(), built.end());
  EXPECT_EQ(check(batch), BatchFault::kNone);
  EXPECT_EQ(check(batch, {.keys_required = true}), BatchFault::kMissingKey);
  EXPECT_EQ(check(sample_batch(), {.keys_required = true}), BatchFault::kNone);
}

TEST(RecordBatch, CompactedBatchesHaveGaps) {
  RecordBatchBuilder builder({.base_offset = 100});
  builder.append_at(103, 5, as_bytes("a"), as_bytes("1"));
  builder.append_at(110, 6, as_bytes("b"), std::nullopt);
  builder.set_last_offset(120);
  const Bytes built = builder.finish();
  const Raw batch(built.begin(), built.end());
  EXPECT_EQ(check(batch), BatchFault::kBadCount);
  EXPECT_EQ(check(batch, {.contiguous = false}), BatchFault::kNone);
  const BatchHeader header = BatchHeader::parse(batch.data());
  EXPECT_EQ(header.last_offset(), 120);
  EXPECT_EQ(header.next_offset(), 121);
}

TEST(RecordBatch, EmptyCompactedBatch) {
  RecordBatchBuilder builder({.base_offset = 100, .producer_id = 4, .producer_epoch = 0, .base_sequence = 0});
  builder.set_last_offset(105);
  const Bytes built = builder.finish();
  const Raw batch(built.begin(), built.end());
  EXPECT_EQ(check(batch, {.contiguous = false}), BatchFault::kNone);
  EXPECT_NE(check(batch), BatchFault::kNone);
}

// Found by a fuzzer: readers of stored bytes iterate without the checks of append.
TEST(RecordBatch, IteratorRefusesOffsetsOutsideTheBatch) {
  const Raw outside = changed([](auto& h) { h.last_offset_delta = 1; });
  RecordIterator iterator(outside);
  Record record;
  EXPECT_TRUE(iterator.next(record));
  EXPECT_TRUE(iterator.next(record));
  EXPECT_FALSE(iterator.next(record));
  EXPECT_EQ(iterator.fault(), BatchFault::kBadOffsetDelta);
  const Raw wrapping = changed([](auto& h) { h.base_offset = std::numeric_limits<int64_t>::max() - 1; });
  RecordIterator at_the_end(wrapping);
  EXPECT_TRUE(at_the_end.next(record));
  EXPECT_TRUE(at_the_end.next(record));
  EXPECT_FALSE(at_the_end.next(record));
  EXPECT_EQ(at_the_end.fault(), BatchFault::kBadOffsetDelta);
  EXPECT_LT(BatchHeader::parse(wrapping.data()).last_offset(), 0);
}

TEST(RecordBatch, SequencesWrap) {
  BatchHeader header;
  header.last_offset_delta = 4;
  header.base_sequence = std::numeric_limits<int32_t>::max() - 1;
  EXPECT_EQ(header.last_sequence(), 2);
  header.base_sequence = 7;
  EXPECT_EQ(header.last_sequence(), 11);
}

TEST(RecordBatch, PatchesOutsideTheCrcLeaveItValid) {
  Raw batch = sample_batch();
  patch_base_offset(batch.data(), 123456789);
  patch_leader_epoch(batch.data(), 42);
  BatchHeader header;
  EXPECT_EQ(check_batch(batch, {}, header), BatchFault::kNone);
  EXPECT_EQ(header.base_offset, 123456789);
  EXPECT_EQ(header.partition_leader_epoch, 42);
  patch_timestamps(batch, true, 777);
  EXPECT_EQ(check_batch(batch, {}, header), BatchFault::kNone);
  RecordIterator iterator(batch);
  Record record;
  ASSERT_TRUE(iterator.next(record));
  EXPECT_EQ(record.timestamp, 777);
  EXPECT_EQ(record.offset, 123456789);
}

TEST(BatchSplitter, WalksBatchesAndStopsAtATornOne) {
  Raw blob;
  for (int i = 0; i < 3; ++i) {
    const Raw batch = sample_batch({.base_offset = i * 10}, i + 1);
    blob.insert(blob.end(), batch.begin(), batch.end());
  }
  const size_t last_start = blob.size() - sample_batch({}, 3).size();
  for (size_t size = 0; size <= blob.size(); ++size) {
    BatchSplitter splitter(Bytes(blob).first(size));
    int count = 0;
    size_t total = 0;
    while (splitter.next()) {
      EXPECT_EQ(splitter.header().base_offset, count * 10);
      total += splitter.batch().size();
      ++count;
    }
    EXPECT_EQ(total + splitter.rest().size(), size);
    EXPECT_EQ(splitter.fault(), splitter.rest().empty() ? BatchFault::kNone : BatchFault::kTruncated);
    if (size > last_start && size < blob.size()) {
      EXPECT_EQ(count, 2);
    }
  }
}

TEST(RecordBatch, DamagedRecordsNeverCrash) {
  for (const Foreign& foreign : foreign_batches()) {
    for (size_t i = 0; i < foreign.bytes.size(); ++i) {
      for (const uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
        Raw damaged = foreign.bytes;
        damaged[i] = value;
        BatchHeader header;
        check_batch(damaged, {.check_crc = false}, header);
        check_batch(damaged, {.check_crc = false, .contiguous = false, .keys_required = true}, header);
      }
    }
  }
}

// Whatever is wrong, and however records lie in the windows: what is said of them is the same.
TEST(RecordBatch, AWindowTellsTheSameOfTheRecordsAsAllOfThem) {
  std::mt19937 random(11);
  Decompressor decompressor;
  Raw memory;
  int faults = 0;
  for (int round = 0; round < 600; ++round) {
    RecordBatchBuilder builder{BatchOptions{}};
    const size_t records = 1 + random() % 6;
    for (size_t i = 0; i < records; ++i) {
      const size_t size = random() % 8 == 0 ? random() % 200'000 : random() % 100;
      const Raw value(size, static_cast<uint8_t>(random()));
      const Raw key(random() % 50 == 0 ? 70'000 : random() % 5, 'k');
      const std::vector<RecordHeader> headers(random() % 3, {"name", Bytes(key)});
      builder.append(1000 + random() % 100, random() % 3 == 0 ? std::nullopt : std::optional<Bytes>(key), Bytes(value), headers);
    }
    const Bytes batch = builder.finish();
    const BatchHeader header = BatchHeader::parse(batch.data());
    Raw plain(batch.begin() + BatchHeader::kSize, batch.end());
    switch (random() % 4) {
      case 0:
        plain[random() % std::min<size_t>(plain.size(), 40)] ^= static_cast<uint8_t>(1u << random() % 8);
        break;
      case 1:
        plain[random() % plain.size()] ^= static_cast<uint8_t>(1u << random() % 8);
        break;
      case 2:
        plain.resize(random() % 2 == 0 ? plain.size() - random() % plain.size() : plain.size() + 1);
        break;
      default:
        break;
    }
    BatchRules rules;
    rules.keys_required = random() % 4 == 0;
    int64_t expected_time = 0, time = 0;
    BatchFault expected = check_records(header, plain, rules, &expected_time);
    if (expected == BatchFault::kTooManyRecords) expected = BatchFault::kBadRecord;  // found when they end
    decompressor.open(CompressionType::kNone, plain, UINT64_MAX);
    RecordWindow window(decompressor, memory);
    ASSERT_EQ(check_records(header, window, rules, &time), expected) << round;
    ASSERT_LE(memory.size(), RecordWindow::kBytes);
    faults += expected != BatchFault::kNone;
    if (expected != BatchFault::kNone) continue;
    EXPECT_EQ(time, expected_time);

    decompressor.open(CompressionType::kNone, plain, UINT64_MAX);
    Raw larger, joined;
    RecordWindow pieces(decompressor, larger);
    int32_t count = 0, counted = 0;
    for (Bytes some = pieces.whole_records(count); count > 0; some = pieces.whole_records(count)) {
      joined.insert(joined.end(), some.begin(), some.end());
      counted += count;
    }
    EXPECT_EQ(counted, header.record_count);
    EXPECT_EQ(joined, plain);
  }
  EXPECT_GT(faults, 100);
}

}  // namespace
}  // namespace weir::protocol
