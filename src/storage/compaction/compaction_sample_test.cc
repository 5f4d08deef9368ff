// Batches before and after some cleanings, with the entries of their aborted transactions, for tests/compatibility/compaction.sh:
// Kafka's own filter must have the same outcome. The test writes them to the folder that WEIR_COMPACTION_SAMPLE names. Without it
// the test only checks that the sample shows something.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "storage/compaction/cleaned_transactions.h"
#include "storage/compaction/compaction_fixture.h"
#include "storage/segment/aborted_index.h"
#include "testing/seeded_random.h"

namespace weir::storage::testing {
namespace {

using weir::testing::SeededRandom;

struct Log {
  std::vector<uint8_t> batches;
  std::vector<AbortedTransaction> aborted;
};

constexpr int64_t kDeleteRetentionMs = 1000;

constexpr int64_t kIdempotent = 8, kTransactional = 4;  // producers

Log random_log(SeededRandom& random, ActiveProducers& producers, int64_t& end) {
  Log log;
  PartitionState state;
  std::map<int64_t, std::pair<int16_t, int32_t>> next;  // epoch and sequence
  const auto add = [&](const KeyedBatch& batch) {
    const auto bytes = encode(batch, end);
    log.batches.insert(log.batches.end(), bytes.begin(), bytes.end());
    state.apply(info_of(BatchHeader::parse(bytes.data()), bytes), 0);
    end += batch.offsets();
  };
  const auto end_transaction = [&](int64_t id) {
    auto& [epoch, sequence] = next[id];
    if (random.one_in(2)) {
      ++epoch;
      sequence = 0;
    }
    add({.producer_id = id, .producer_epoch = epoch, .transactional = true, .commit = random.one_in(2)});
  };
  for (int i = 0; i < 400; ++i) {
    KeyedBatch batch;
    const size_t records = 1 + random.below(6);
    for (size_t r = 0; r < records; ++r) {
      KeyedRecord record{"key-" + std::to_string(random.below(120)), std::nullopt, 500 + static_cast<int64_t>(random.below(400))};
      if (random.one_in(40)) record.key.reset();
      if (!random.one_in(5)) record.value = std::string(random.below(80), static_cast<char>('a' + random.below(26)));
      batch.records.push_back(record);
    }
    batch.compression = static_cast<protocol::CompressionType>(random.one_in(3) ? random.below(5) : 0);
    batch.log_append_time = random.one_in(10);
    const bool transactional = random.one_in(2);
    if (transactional || random.one_in(2)) {
      batch.producer_id = static_cast<int64_t>(transactional ? kIdempotent + random.below(kTransactional) : random.below(kIdempotent));
      batch.transactional = transactional;
      auto& [epoch, sequence] = next[batch.producer_id];
      batch.producer_epoch = epoch;
      batch.base_sequence = std::exchange(sequence, sequence + static_cast<int32_t>(records));
    }
    add(batch);
    if (transactional && random.one_in(3)) end_transaction(batch.producer_id);
  }
  for (int64_t id = kIdempotent; id < kIdempotent + kTransactional; ++id) end_transaction(id);
  add({.records = {{"the last one", "x"}}});
  for (const ProducerEntry& entry : state.producers().entries()) {
    producers[entry.producer_id] = {entry.batches.empty() ? -1 : entry.batches.back().last_offset, entry.producer_epoch};
  }
  log.aborted = state.aborted();
  return log;
}

Log cleaned(const Log& log, int64_t now_ms, const ActiveProducers& producers, int64_t high_watermark) {
  OffsetMap map(1 << 20, 1000, {1, 2});
  BatchCleaner cleaner({&map, &producers, high_watermark, now_ms, kDeleteRetentionMs});
  CleanedTransactions transactions;
  transactions.begin_segment(log.aborted);
  Log out;
  for (const bool mapping : {true, false}) {
    protocol::BatchSplitter splitter(log.batches);
    while (splitter.next()) {
      if (mapping) {
        if (transactions.is_aborted(splitter.header())) continue;
        EXPECT_TRUE(cleaner.map_keys(splitter.batch(), 0, map).value_or(false));
        continue;
      }
      const bool needless = transactions.is_needless(splitter.header());
      const auto fate = cleaner.clean(splitter.batch(), needless);
      EXPECT_TRUE(fate);
      if (!fate || *fate == BatchFate::kDrop) continue;
      const Bytes kept = *fate == BatchFate::kKeep ? splitter.batch() : cleaner.rewritten();
      out.batches.insert(out.batches.end(), kept.begin(), kept.end());
      const AbortedTransaction* entry =
          splitter.header().control() && !needless ? transactions.entry_of(splitter.header()) : nullptr;
      if (entry) out.aborted.push_back(*entry);
    }
    EXPECT_EQ(splitter.fault(), protocol::BatchFault::kNone);
  }
  return out;
}

void write(const std::string& path, Bytes bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

int markers_in(const Log& log) {
  int markers = 0;
  for (protocol::BatchSplitter splitter(log.batches); splitter.next();) markers += splitter.header().control() ? 1 : 0;
  return markers;
}

TEST(CompactionSample, SomeCleanings) {
  const char* folder = std::getenv("WEIR_COMPACTION_SAMPLE");
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SeededRandom random(seed);
    ActiveProducers producers;
    int64_t end = 0;
    std::vector<Log> logs{random_log(random, producers, end)};
    for (const int64_t expired : {int64_t{7}, kIdempotent}) producers.erase(expired);
    // In each cleaning the horizons of the one before have passed.
    for (const int64_t now_ms : {1000, 2000, 3000, 4000}) {
      const std::string name = std::string(folder ? folder : "") + "/" + std::to_string(seed) + "-" + std::to_string(logs.size());
      logs.push_back(cleaned(logs.back(), now_ms, producers, end));
      if (folder == nullptr) continue;
      const Log &before = logs[logs.size() - 2], &after = logs.back();
      write(name + ".before", before.batches);
      write(name + ".before.txnindex", encode_aborted(before.aborted));
      write(name + ".after", after.batches);
      write(name + ".after.txnindex", encode_aborted(after.aborted));
      std::ofstream rules(name + ".rules");
      rules << now_ms << ' ' << kDeleteRetentionMs << ' ' << end << '\n';
      for (const auto& [id, last] : producers) rules << id << ' ' << last.batch << ' ' << last.epoch << '\n';
    }
    ASSERT_LT(logs[1].batches.size(), logs[0].batches.size());
    ASSERT_LT(logs[2].batches.size(), logs[1].batches.size()) << "tombstones";
    EXPECT_EQ(logs[1].aborted, logs[0].aborted);
    EXPECT_LT(logs[2].aborted.size(), logs[1].aborted.size());
    EXPECT_LT(markers_in(logs[3]), markers_in(logs[1]));
  }
}

}  // namespace
}  // namespace weir::storage::testing
