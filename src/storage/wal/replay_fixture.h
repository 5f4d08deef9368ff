// A log of one file. A test damages or moves a part of it before the replay.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "storage/wal/wal_fixture.h"

namespace weir::storage {

using Chunks = std::vector<std::vector<uint32_t>>;  // sizes of the batches

// A session of `sizes.size()` chunks, one per entry, in one file; then the process is killed.
struct OneFile {
  static constexpr uint64_t kFileBytes = 4 << 20;
  explicit OneFile(const Chunks& chunks) {
    LocalWalOptions options = world.small_files();
    options.file_bytes = options.first_file_bytes = kFileBytes;
    options.chunk_bytes = 1 << 20;
    EXPECT_TRUE(world.start(options));
    for (const auto& sizes : chunks) {
      starts.push_back(place());
      for (size_t i = 0; i < sizes.size(); ++i) world.append(static_cast<int32_t>(i), sizes[i]);
      world.flush();
    }
    starts.push_back(place());
    world.end(testing::Death::kKill);
    path = world.path(1);
  }
  uint64_t place() const { return starts.empty() ? kWalBlock : kWalBlock + world.wal->measures().written_bytes; }
  std::vector<ReplayedBatch> upto(ChunkNumber last) const {
    std::vector<ReplayedBatch> batches;
    for (const auto& batch : world.appended_batches) {
      if (batch.chunk <= last) batches.push_back(batch);
    }
    return batches;
  }
  std::vector<ReplayedBatch> without(ChunkNumber chunk, int32_t partition = -1) const {
    std::vector<ReplayedBatch> batches;
    for (const auto& batch : world.appended_batches) {
      if (batch.chunk != chunk || (partition >= 0 && batch.info.partition.index != partition)) batches.push_back(batch);
    }
    return batches;
  }
  PartitionId partition(int32_t index) const { return make_batch(index, 0, 61).info.partition; }
  void flip(uint64_t offset, uint8_t mask = 0x10) { world.sim.disk().flip_bits(path, offset, mask); }
  void seal(ChunkNumber last) {
    world.rows.back().sealed = true;
    world.rows.back().last_chunk = last;
  }
  WalReplayResult look() {
    seen = CollectingVisitor();
    auto result = world.look(seen);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *result : WalReplayResult{};
  }

  WalWorld world;
  std::vector<uint64_t> starts;  // of the chunks, and the end
  std::string path;
  CollectingVisitor seen;
};

}  // namespace weir::storage
