// Damages files at random and checks the promise of replay: it delivers only appended batches, in order, and it reports every
// batch that it does not deliver.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "storage/wal/wal_fixture.h"

namespace weir::storage {
namespace {

using testing::Death;
using testing::SeededRandom;

// A log of several files, some of them recycled, with small and large batches. The oldest files are released.
void fill(WalWorld& world, SeededRandom& random) {
  ASSERT_TRUE(world.start());
  const uint64_t count = 10 + random.next() % 60;
  for (uint64_t i = 0; i < count; ++i) {
    for (uint64_t batches = 1 + random.next() % 3; batches > 0; --batches) {
      const bool large = random.next() % 20 == 0;
      world.append(static_cast<int32_t>(random.next() % 6), 61 + static_cast<uint32_t>(random.next() % (large ? 80'000 : 4'000)));
    }
    world.flush();
    if (i == count / 2) world.wal->release(world.wal->durable() / 2);
    if (random.next() % 8 == 0) world.sim.run_for(runtime::kSecond);
  }
  world.sim.run_for(runtime::kSecond);
}

void damage(WalWorld& world, SeededRandom& random) {
  std::vector<std::string> logs;
  for (const std::string& path : world.sim.disk().all_files()) {
    if (path.ends_with(".wal")) logs.push_back(path);
  }
  const std::string& path = logs[random.next() % logs.size()];
  const std::vector<uint8_t> contents = world.sim.disk().contents(path);
  const uint64_t at = random.next() % contents.size();
  switch (random.next() % 6) {
    case 0:
    case 1:
      world.sim.disk().flip_bits(path, at, static_cast<uint8_t>(1 + random.next() % 255));
      break;
    case 2: {  // a lost write
      const uint64_t block = align_down(at, kWalBlock);
      world.sim.disk().overwrite_raw(
          path, block,
          std::vector<uint8_t>(kWalBlock * std::min<uint64_t>(1 + random.next() % 4, (contents.size() - block) / kWalBlock), 0));
      break;
    }
    case 3: {  // a misdirected write: a block of the same file somewhere else
      const uint64_t from = align_down(random.next() % contents.size(), kWalBlock);
      world.sim.disk().overwrite_raw(path, align_down(at, kWalBlock), Bytes(contents).subspan(from, kWalBlock));
      break;
    }
    case 4:
      world.sim.disk().truncate_raw(path, at);
      break;
    default: {
      std::vector<uint8_t> noise(std::min<uint64_t>(512, contents.size() - at));
      for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random.next());
      world.sim.disk().overwrite_raw(path, at, noise);
    }
  }
}

void check(uint64_t seed, bool sealed) {
  SCOPED_TRACE(::testing::Message() << "seed " << seed << (sealed ? " sealed" : ""));
  SeededRandom random(seed);
  WalWorld world(seed);
  fill(world, random);
  const ChunkNumber durable = world.wal->durable();
  world.end(Death::kKill);
  if (sealed) {
    world.rows.back().sealed = true;
    world.rows.back().last_chunk = durable;
  }
  CollectingVisitor whole;
  ASSERT_TRUE(world.look(whole));
  ASSERT_TRUE(whole.corruptions.empty());
  for (uint64_t hits = 1 + random.next() % 3; hits > 0; --hits) damage(world, random);

  CollectingVisitor seen;
  const auto result = world.look(seen);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->corruptions, seen.corruptions.size());
  std::set<int32_t> reported;
  for (const WalCorruption& corruption : seen.corruptions) {
    for (const PartitionId& partition : corruption.partitions) reported.insert(partition.index);
    EXPECT_FALSE(corruption.message.empty());
  }
  const ChunkNumber end = result->sessions[0].end_chunk;
  auto delivered = seen.batches.begin();
  for (const ReplayedBatch& batch : whole.batches) {
    if (delivered != seen.batches.end() && *delivered == batch) {
      ++delivered;
      continue;
    }
    const bool torn = !sealed && batch.chunk > end;
    EXPECT_TRUE(torn || seen.unknown() || reported.contains(batch.info.partition.index))
        << "chunk " << batch.chunk << " partition " << batch.info.partition.index << " is missing and not reported; end " << end
        << " of " << durable;
  }
  EXPECT_TRUE(delivered == seen.batches.end()) << "delivered what was not there before, or in another order";
  EXPECT_GE(result->next_chunk, end + 1);
}

TEST(ReplayDamage, SealedSessionsReportEverythingThatIsMissing) {
  for (uint64_t seed = 1; seed <= 300 && !::testing::Test::HasFailure(); ++seed) check(seed, true);
}

TEST(ReplayDamage, TheUnsealedSessionLosesAtMostItsEndUnreported) {
  for (uint64_t seed = 1000; seed <= 1300 && !::testing::Test::HasFailure(); ++seed) check(seed, false);
}

}  // namespace
}  // namespace weir::storage
