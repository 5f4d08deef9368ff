// Shared by the tests of the write-ahead log: record batches, a shard's log on a simulated disk, and a visitor that collects.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "base/log.h"
#include "storage/wal/local_wal.h"
#include "storage/wal/replay.h"
#include "testing/sim_runtime.h"

namespace weir::storage {

inline constexpr const char* kWalTestDirectory = "/data/wal/3";
inline constexpr uint32_t kWalTestShard = 3;

struct TestBatch {
  BatchInfo info;
  Slice bytes;
};

// A record batch of `size` bytes for partition `index` of one topic. Its contents follow from its offset and size. With `frame`
// the batch lies in that buffer at `at`, else in memory of its own.
inline TestBatch make_batch(int32_t index, int64_t base_offset, uint32_t size, Buffer frame = {}, size_t at = 0) {
  TestBatch batch;
  for (size_t i = 0; i < 16; ++i) batch.info.partition.topic.bytes[i] = static_cast<uint8_t>(i + 1);
  batch.info.partition.index = index;
  batch.info.leader_epoch = 7;
  batch.info.base_offset = base_offset;
  batch.info.last_offset_delta = 2;
  batch.info.size = size;
  const int64_t later = base_offset % 1'000'000;
  batch.info.max_timestamp = 1'700'000'000'000 + later;
  batch.info.appended_ms = 1'700'000'100'000 + later;
  batch.info.producer_id = 4000 + index;
  batch.info.producer_epoch = 1;
  batch.info.base_sequence = static_cast<int32_t>(base_offset);
  if (!frame) frame = Buffer::allocate(at + size);
  uint8_t* p = frame.data() + at;
  for (uint32_t i = 0; i < size; ++i) p[i] = static_cast<uint8_t>((i * 31 + static_cast<uint64_t>(base_offset) * 7) >> 2);
  store_be(p, base_offset);
  store_be(p + 8, size - 12);
  store_be(p + 12, batch.info.leader_epoch);
  p[16] = 2;
  store_be(p + 17, crc32c({p + kRecordBatchCrcStart, size - kRecordBatchCrcStart}));
  batch.bytes = {frame, p, size};
  return batch;
}

struct ReplayedBatch {
  ChunkNumber chunk;
  BatchInfo info;
  std::vector<uint8_t> bytes;
  bool operator==(const ReplayedBatch&) const = default;
  friend void PrintTo(const ReplayedBatch& batch, std::ostream* out) {
    *out << "chunk " << batch.chunk << " partition " << batch.info.partition.index << " offset " << batch.info.base_offset
         << " size " << batch.info.size;
  }
};

class CollectingVisitor : public WalReplayVisitor {
 public:
  void on_batch(ChunkNumber chunk, const BatchInfo& info, Slice bytes) override {
    batches.push_back({chunk, info, {bytes.data, bytes.data + bytes.size}});
  }
  void on_corruption(const WalCorruption& corruption) override { corruptions.push_back(corruption); }

  bool unknown() const {
    for (const auto& corruption : corruptions) {
      if (corruption.unknown_partitions) return true;
    }
    return false;
  }

  std::vector<ReplayedBatch> batches;
  std::vector<WalCorruption> corruptions;
};

// Stands for the rows in the manifest database. A note is durable at once.
struct TestFileRegister final : WalFileRegister {
  Result<void> note_wal_file(uint32_t, uint64_t generation) override {
    if (failures > 0) {
      --failures;
      if (takes_failed) noted.insert(generation);
      return fail(ErrorCode::kIo, "the register failed");
    }
    noted.insert(generation);
    return {};
  }
  Result<void> forget_wal_file(uint32_t, uint64_t generation) override {
    noted.erase(generation);
    return {};
  }
  std::set<uint64_t> noted;
  int failures = 0;           // of the next notes
  bool takes_failed = false;  // a failed note has its effect all the same
};

// A log of one shard over restarts. Keeps the session rows as the broker does.
class WalWorld {
 public:
  explicit WalWorld(uint64_t seed = 1) : sim(seed) {
    set_log_level(LogLevel::kError);
    (void)sim.disk().create_directories("/data");
    (void)sim.disk().sync_directory("/");
  }
  ~WalWorld() { set_log_level(LogLevel::kInfo); }
  WalWorld(const WalWorld&) = delete;
  WalWorld& operator=(const WalWorld&) = delete;

  LocalWalOptions small_files() {
    LocalWalOptions options;
    options.directory = kWalTestDirectory;
    options.shard = kWalTestShard;
    options.file_bytes = 64 * 1024;
    options.first_file_bytes = 64 * 1024;
    options.chunk_bytes = 32 * 1024;
    options.file_register = &file_register;
    return options;
  }

  // Replays, seals and starts the next session. False if the replay failed or the disk died meanwhile.
  bool start(LocalWalOptions options) {
    visitor = CollectingVisitor();
    auto result = replay_wal(sim.disk(), kWalTestDirectory, kWalTestShard, rows, visitor, with_noted());
    if (!result) {
      EXPECT_NE(result.error().code, ErrorCode::kCorrupt) << result.error().message;
      return false;
    }
    replayed = std::move(*result);
    std::vector<WalSession> next_rows;
    for (const auto& session : replayed.sessions) {
      if (!session.has_files) continue;
      next_rows.push_back(session.row);
      next_rows.back().sealed = true;
      next_rows.back().last_chunk = session.end_chunk;
    }
    options.incarnation = ++incarnation;
    options.first_chunk = replayed.next_chunk;
    options.next_generation = replayed.next_generation;
    options.earlier = replayed.files;
    options.leftovers = replayed.leftovers;
    next_rows.push_back({kWalTestShard, options.incarnation, options.first_chunk, 0, false});
    rows = std::move(next_rows);
    file_register.noted.clear();
    for (const EarlierWalFile& file : replayed.files) file_register.noted.insert(file.generation);
    wal = LocalWal::create(sim.disk(), sim.loop(), sim.pool(), std::move(options));
    wal->on_durable([this](ChunkNumber) { ++durable_calls; });
    wal->on_ended([this](const Error& error) {
      ++failed_calls;
      failure = error.message;
    });
    return true;
  }
  bool start() { return start(small_files()); }

  // Ends the process; the rows stay as they are.
  void end(testing::Death death) {
    sim.end_server(death);
    wal.reset();
    sim.start_server();
  }

  WalBackend::Appended append(int32_t index, uint32_t size, Buffer frame = {}, size_t at = 0) {
    TestBatch batch = make_batch(index, next_offset[index], size, std::move(frame), at);
    next_offset[index] += 3;
    const auto appended = wal->append(batch.info, batch.bytes);
    appended_batches.push_back({appended.chunk, batch.info, {batch.bytes.data, batch.bytes.data + size}});
    return appended;
  }
  // Until everything appended is durable (or the log failed).
  void flush() {
    wal->flush_now();
    sim.run_until([&] { return wal->idle() || wal->ended(); }, 60 * runtime::kSecond);
  }
  void append_and_flush(int32_t index, uint32_t size) {
    append(index, size);
    flush();
  }
  // Replays and changes nothing, like a start that goes no further.
  Result<WalReplayResult> look(CollectingVisitor& into) {
    return replay_wal(sim.disk(), kWalTestDirectory, kWalTestShard, rows, into, with_noted());
  }
  WalReplayOptions with_noted() const {
    WalReplayOptions how;
    how.noted.assign(file_register.noted.begin(), file_register.noted.end());
    return how;
  }
  std::string path(uint64_t generation) const {
    return std::string(kWalTestDirectory) + "/" + wal_file_name(generation, WalFileKind::kLog);
  }

  testing::SimRuntime sim;
  TestFileRegister file_register;
  std::unique_ptr<LocalWal> wal;
  std::vector<WalSession> rows;
  uint64_t incarnation = 100;
  CollectingVisitor visitor;  // of the last start
  WalReplayResult replayed;
  std::vector<ReplayedBatch> appended_batches;
  std::map<int32_t, int64_t> next_offset;
  int durable_calls = 0;
  int failed_calls = 0;
  std::string failure;
};

}  // namespace weir::storage
