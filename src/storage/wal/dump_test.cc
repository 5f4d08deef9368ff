#include "storage/wal/dump.h"

#include <gtest/gtest.h>

#include "storage/wal/wal_fixture.h"

namespace weir::storage {
namespace {

class WalDump : public ::testing::Test {
 protected:
  WalDump() {
    EXPECT_TRUE(world_.start());
    world_.append_and_flush(0, 100);
    world_.append(1, 200);
    world_.append(2, 300);
    world_.flush();
    world_.append_and_flush(0, 400);
  }
  Result<WalDumpSummary> dump(WalDumpOptions options = {}) {
    lines_.clear();
    return dump_wal_file(world_.sim.disk(), world_.path(1), options,
                         [this](std::string_view line) { lines_.emplace_back(line); });
  }
  void flip(uint64_t offset) { world_.sim.disk().flip_bits(world_.path(1), offset, 1); }

  WalWorld world_;
  std::vector<std::string> lines_;
};

TEST_F(WalDump, ShowsEveryChunkAndBatch) {
  const auto summary = dump();
  ASSERT_TRUE(summary);
  EXPECT_FALSE(summary->damaged());
  EXPECT_EQ(summary->first_chunk, 1u);
  EXPECT_EQ(summary->last_chunk, 3u);
  EXPECT_EQ(summary->batches, 4u);
  EXPECT_EQ(summary->end, 4 * kWalBlock);
  ASSERT_EQ(lines_.size(), 1u + 3 + 4 + 1);
  EXPECT_EQ(lines_[0], "file: shard 3, generation 1, incarnation 101, 65536 bytes, durable before 0");
  EXPECT_EQ(lines_[3], "chunk 2 at 8192: 4096 bytes, 2 batches: ok");
  EXPECT_EQ(lines_[4],
            "  at 8256: topic AQIDBAUGBwgJCgsMDQ4PEA, partition 1, offsets 0 to 2, 200 bytes, epoch 7, time 1700000000000, "
            "appended 1700000100000, producer 4001 epoch 1 sequence 0");
  EXPECT_EQ(lines_.back(), "end at 16384: 3 chunks, 4 batches; damaged: 0 chunks, 0 batches; missing: 0 chunks");
}

TEST_F(WalDump, AsJson) {
  ASSERT_TRUE(dump({.json = true}));
  EXPECT_TRUE(lines_[0].starts_with(R"({"type":"file","path":"/data/)")) << lines_[0];
  EXPECT_EQ(lines_[3], R"({"type":"chunk","chunk":2,"offset":8192,"bytes":4096,"batches":2,"state":"ok"})");
  for (const std::string& line : lines_) {
    EXPECT_TRUE(line.starts_with(R"({"type":")") && line.ends_with("}")) << line;
  }
}

TEST_F(WalDump, WithoutBatches) {
  ASSERT_TRUE(dump({.batches = false}));
  EXPECT_EQ(lines_.size(), 5u);
}

TEST_F(WalDump, ShowsDamage) {
  flip(8192 + 64 + 100);
  auto summary = dump();
  EXPECT_TRUE(summary->damaged());
  EXPECT_EQ(summary->damaged_batches, 1u);
  EXPECT_EQ(lines_[3], "chunk 2 at 8192: 4096 bytes, 2 batches: batches damaged");
  flip(8192 + 64 + 100);

  flip(8192 + 10);  // a header
  summary = dump();
  EXPECT_TRUE(summary->damaged());
  EXPECT_EQ(summary->missing_chunks, 1u);
  EXPECT_EQ(lines_[3], "DAMAGED at 8192: 4096 bytes are no readable chunk; 1 or more chunks are missing");
  flip(8192 + 10);

  flip(12288 + 64 + 100);  // the last chunk: may have been cut off
  summary = dump();
  EXPECT_FALSE(summary->damaged());
  EXPECT_EQ(summary->damaged_chunks, 1u);
  flip(12288 + 64 + 100);

  flip(20);  // the file's header
  summary = dump();
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->batches, 4u);
  EXPECT_EQ(lines_[1], "DAMAGED: the file's header");
  EXPECT_TRUE(summary->damaged());
}

TEST_F(WalDump, AFileCutShortIsDamagedEvenWhereOnlyEmptySpaceIsGone) {
  for (const uint64_t bytes : {uint64_t{60 * 1024}, 4 * kWalBlock, 3 * kWalBlock}) {
    auto file = world_.sim.disk().open(world_.path(1), {.write = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->truncate(bytes));
    const auto summary = dump();
    ASSERT_TRUE(summary);
    EXPECT_TRUE(summary->damaged()) << bytes;
    EXPECT_EQ(lines_[1], "DAMAGED: the file was cut short, " + std::to_string(bytes) + " bytes of 65536 are there");
  }
  ASSERT_TRUE(dump({.json = true}));
  EXPECT_EQ(lines_[1], R"({"type":"damage","what":"file cut short","bytes":12288,"of":65536})");
}

TEST_F(WalDump, RefusesOtherFiles) {
  const std::vector<uint8_t> zeros(2 * kWalBlock, 0);
  world_.sim.disk().overwrite_raw(world_.path(1), 0, zeros);
  EXPECT_FALSE(dump());
  EXPECT_FALSE(dump_wal_file(world_.sim.disk(), "/data/none", {}, [](std::string_view) {}));
}

}  // namespace
}  // namespace weir::storage
