// Write-ahead logs in memory, for tests of the code above the seam. They do all that WalBackend allows: several chunks are on
// their way at a time and arrive in any order, and a test can stall, resume and end a log.
//
//   MemoryWalStore  the durable part: chunks that arrived, by shard
//   MemoryWal       the log of a session
//   MemoryWalSessions  its WalSessions; replay cuts off chunks behind a gap, as it does a torn end
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/lifetime.h"
#include "storage/wal/wal_sessions.h"

namespace weir::storage {

struct MemoryWalStore {
  struct Batch {
    BatchInfo info;
    Slice bytes;
  };
  using Chunk = std::vector<Batch>;
  struct Log {
    std::map<ChunkNumber, Chunk> arrived;
    ChunkNumber released = 0;
    bool sealed = true;
    // The end of the longest prefix without a gap: a reader of the log may take it for durable.
    ChunkNumber durable() const {
      ChunkNumber last = released;
      while (arrived.contains(last + 1)) ++last;
      return last;
    }
  };
  std::map<unsigned, Log> logs;
};

struct MemoryWalOptions {
  size_t chunks_in_flight = 4;
  size_t chunks_per_file = 4;
  // How long a chunk is on its way, at random; 0: until the test calls arrive().
  int64_t way_ns_max = 0;
};

class MemoryWal final : public WalBackend {
 public:
  MemoryWal(runtime::Loop& loop, MemoryWalStore::Log& log, MemoryWalOptions options = {})
      : loop_(loop), log_(log), options_(options), durable_(log.durable()), open_number_(durable_ + 1) {
    log_.sealed = false;
  }
  ~MemoryWal() override { lifetime_.end(); }

  Appended append(const BatchInfo& info, const Slice& batch) override {
    const Slice bytes = Slice::copy_of(batch.bytes());
    if (ended()) return {open_number_, bytes};
    open_.push_back({info, bytes});
    open_bytes_ += batch.size;
    flush_at_turn_end();
    return {open_number_, bytes};
  }
  void flush_now() override { flush_at_turn_end(); }
  ChunkNumber durable() const override { return durable_; }
  ChunkNumber open() const override { return open_number_; }
  void on_durable(Function<void(ChunkNumber)> callback) override { on_durable_ = std::move(callback); }
  void on_ended(Function<void(const Error&)> callback) override { on_ended_ = std::move(callback); }
  WalState state() const override { return state_; }
  std::optional<Error> trouble() const override { return trouble_; }
  uint64_t unreleased_bytes() const override {
    uint64_t total = open_bytes_;
    for (const auto& [number, bytes] : unreleased_) total += bytes;
    return total;
  }
  ChunkNumber last_chunk_of_oldest_file() const override {
    return unreleased_.size() <= options_.chunks_per_file ? 0 : unreleased_[options_.chunks_per_file - 1].first;
  }
  void release(ChunkNumber up_to) override {
    WEIR_CHECK(up_to <= durable_);
    log_.released = std::max(log_.released, up_to);
    std::erase_if(log_.arrived, [&](const auto& chunk) { return chunk.first <= log_.released; });
    while (!unreleased_.empty() && unreleased_.front().first <= log_.released) unreleased_.pop_front();
  }
  WalMeasures measures() const override { return {}; }

  // --- For the test
  std::vector<ChunkNumber> in_flight() const {
    std::vector<ChunkNumber> numbers;
    for (const auto& [number, chunk] : flight_) numbers.push_back(number);
    return numbers;
  }
  // The chunk reaches the store now, or once a stall is over. It is durable as soon as all chunks before it are.
  void arrive(ChunkNumber number) {
    if (ended()) return;
    if (stalled()) return late_.push_back(number);
    const auto chunk = flight_.find(number);
    WEIR_CHECK(chunk != flight_.end());
    log_.arrived[number] = std::move(chunk->second);
    flight_.erase(chunk);
    const ChunkNumber durable = log_.durable();
    send();
    if (durable == durable_) return;
    durable_ = durable;
    if (on_durable_) on_durable_(durable_);
  }
  void stall(Error why) {
    state_ = WalState::kStalled;
    trouble_ = std::move(why);
  }
  void resume() {
    state_ = WalState::kRunning;
    trouble_.reset();
    for (const ChunkNumber number : std::exchange(late_, {})) arrive(number);
    send();
  }
  void end(Error why) {
    state_ = WalState::kEnded;
    trouble_ = std::move(why);
    flight_.clear();
    open_.clear();
    if (on_ended_) std::exchange(on_ended_, {})(*trouble_);
  }

 private:
  void flush_at_turn_end() {
    if (std::exchange(asked_, true)) return;
    loop_.at_turn_end([this, alive = lifetime_.observe()] {
      if (!alive) return;
      asked_ = false;
      send();
    });
  }
  void send() {
    if (state_ != WalState::kRunning || open_.empty() || flight_.size() >= options_.chunks_in_flight) return;
    const ChunkNumber number = open_number_++;
    flight_[number] = std::exchange(open_, {});
    unreleased_.emplace_back(number, std::exchange(open_bytes_, 0));
    if (options_.way_ns_max == 0) return;
    const auto way_ns = static_cast<int64_t>(loop_.random().next() % static_cast<uint64_t>(options_.way_ns_max));
    loop_.schedule_after(way_ns, [this, alive = lifetime_.observe(), number] {
      if (alive) arrive(number);
    });
  }

  runtime::Loop& loop_;
  MemoryWalStore::Log& log_;
  const MemoryWalOptions options_;
  ChunkNumber durable_;
  ChunkNumber open_number_;
  MemoryWalStore::Chunk open_;
  uint64_t open_bytes_ = 0;
  std::map<ChunkNumber, MemoryWalStore::Chunk> flight_;
  std::vector<ChunkNumber> late_;  // that arrived in a stall
  std::deque<std::pair<ChunkNumber, uint64_t>> unreleased_;
  bool asked_ = false;
  WalState state_ = WalState::kRunning;
  std::optional<Error> trouble_;
  Function<void(ChunkNumber)> on_durable_;
  Function<void(const Error&)> on_ended_;
  Lifetime lifetime_;
};

class MemoryWalSessions final : public WalSessions {
 public:
  MemoryWalSessions(MemoryWalStore& store, MemoryWalOptions options) : store_(store), options_(options) {}

  Result<Earlier> earlier() override {
    Earlier earlier;
    for (const auto& [shard, log] : store_.logs) {
      earlier.shards = std::max(earlier.shards, shard + 1);
      earlier.clean = earlier.clean && log.sealed;
    }
    return earlier;
  }
  Result<Replayed> replay(unsigned shard, WalReplayVisitor& visitor) override {
    Replayed replayed;
    MemoryWalStore::Log& log = store_.logs[shard];
    for (ChunkNumber number = log.released + 1; number <= log.durable(); ++number, ++replayed.chunks) {
      for (const MemoryWalStore::Batch& batch : log.arrived.at(number)) visitor.on_batch(number, batch.info, batch.bytes);
    }
    return replayed;
  }
  Result<void> begin(unsigned shards, bool checkpointed) override {
    for (auto& [shard, log] : store_.logs) {
      const ChunkNumber end = log.durable();
      std::erase_if(log.arrived, [&](const auto& chunk) { return chunk.first > end || checkpointed; });
      if (checkpointed) log.released = end;
    }
    std::erase_if(store_.logs, [&](const auto& log) { return log.first >= shards; });
    return {};
  }
  std::unique_ptr<WalBackend> open(unsigned shard, runtime::Loop& loop, bool) override {
    return std::make_unique<MemoryWal>(loop, store_.logs[shard], options_);
  }
  Result<void> end(const std::vector<const WalBackend*>& logs) override {
    for (unsigned shard = 0; shard < logs.size(); ++shard) store_.logs[shard].sealed = !logs[shard]->ended();
    return {};
  }

 private:
  MemoryWalStore& store_;
  const MemoryWalOptions options_;
};

}  // namespace weir::storage
