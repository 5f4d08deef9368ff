// Batches before and after two cleanings, for tests/compatibility/compaction.sh: Kafka's own filter must have the same outcome.
// The test writes them to the folder that WEIR_COMPACTION_SAMPLE names. Without it the test only checks that the sample shows
// something.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "storage/compaction/compaction_fixture.h"
#include "testing/seeded_random.h"

namespace weir::storage::testing {
namespace {

using weir::testing::SeededRandom;

struct Pass {
  int64_t now_ms = 0;
  std::vector<uint8_t> before, after;
};

constexpr int64_t kDeleteRetentionMs = 1000;

std::vector<uint8_t> random_log(SeededRandom& random, ActiveProducers& producers, int64_t& end) {
  std::vector<uint8_t> log;
  std::map<int64_t, int32_t> sequences;
  for (int i = 0; i < 300; ++i) {
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
    if (random.one_in(2)) {
      batch.producer_id = static_cast<int64_t>(random.below(8));
      batch.producer_epoch = 1;
      batch.base_sequence = sequences[batch.producer_id];
      sequences[batch.producer_id] += static_cast<int32_t>(records);
    }
    const auto bytes = encode(batch, end);
    log.insert(log.end(), bytes.begin(), bytes.end());
    end += static_cast<int64_t>(records);
    if (batch.producer_id >= 0) producers[batch.producer_id] = {end - 1, 1};
  }
  return log;
}

std::vector<uint8_t> cleaned(const Pass& pass, const ActiveProducers& producers, int64_t high_watermark) {
  OffsetMap map(1 << 20, 1000, {1, 2});
  BatchCleaner cleaner({&map, &producers, high_watermark, pass.now_ms, kDeleteRetentionMs});
  std::vector<uint8_t> out;
  for (const bool mapping : {true, false}) {
    protocol::BatchSplitter splitter(pass.before);
    while (splitter.next()) {
      if (mapping) {
        EXPECT_TRUE(cleaner.map_keys(splitter.batch(), 0, map).value_or(false));
        continue;
      }
      const auto fate = cleaner.clean(splitter.batch());
      EXPECT_TRUE(fate);
      if (!fate || *fate == BatchFate::kDrop) continue;
      const Bytes kept = *fate == BatchFate::kKeep ? splitter.batch() : cleaner.rewritten();
      out.insert(out.end(), kept.begin(), kept.end());
    }
    EXPECT_EQ(splitter.fault(), protocol::BatchFault::kNone);
  }
  return out;
}

void write(const std::string& path, Bytes bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TEST(CompactionSample, TwoCleanings) {
  const char* folder = std::getenv("WEIR_COMPACTION_SAMPLE");
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SeededRandom random(seed);
    ActiveProducers producers;
    int64_t end = 0;
    Pass passes[2] = {{1000, {}, {}}, {2000, {}, {}}};  // in the second, the horizons of the first have passed
    passes[0].before = random_log(random, producers, end);
    producers.erase(7);  // expired
    passes[0].after = cleaned(passes[0], producers, end);
    passes[1].before = passes[0].after;
    passes[1].after = cleaned(passes[1], producers, end);
    ASSERT_LT(passes[1].after.size(), passes[1].before.size());
    ASSERT_LT(passes[1].before.size(), passes[0].before.size());
    for (int i = 0; folder != nullptr && i < 2; ++i) {
      const std::string name = std::string(folder) + "/" + std::to_string(seed) + "-" + std::to_string(i);
      write(name + ".before", passes[i].before);
      write(name + ".after", passes[i].after);
      std::ofstream rules(name + ".rules");
      rules << passes[i].now_ms << ' ' << kDeleteRetentionMs << ' ' << end << '\n';
      for (const auto& [id, last] : producers) rules << id << ' ' << last.batch << '\n';
    }
  }
}

}  // namespace
}  // namespace weir::storage::testing
