// Transactions of several producers in one partition, with checkpoints, restarts and power cuts at any write, against a model:
// what is durable alone says what is open, what readers of committed records see, and what they skip.
#include <map>
#include <optional>
#include <set>

#include "protocol/record_batch.h"
#include "storage/batch_info.h"
#include "storage/log/log_on_disk_fixture.h"
#include "storage/log/transaction_fixture.h"
#include "testing/seeded_random.h"

namespace weir::storage::testing {
namespace {

using weir::testing::SeededRandom;

enum class Kind : uint8_t { kPlain, kTransactional, kCommit, kAbort };

// A batch of one record, so its offset is its place in the model.
struct Batch {
  Kind kind = Kind::kPlain;
  int64_t producer = kNoProducerId;
  int16_t epoch = -1;
  bool marker() const { return kind == Kind::kCommit || kind == Kind::kAbort; }
};

class LogTransactionsProperty : public LogOnDisk {
 protected:
  static constexpr int64_t kProducers = 4;

  Partition& partition() { return *shard(topics_[0]).find(topics_[0]); }
  uint64_t below(uint64_t bound) { return random_->next() % bound; }

  static Slice bytes_of_batch(const Batch& batch) {
    protocol::BatchOptions options;
    if (batch.kind != Kind::kPlain) {
      options.producer_id = batch.producer;
      options.producer_epoch = batch.epoch;
      options.transactional = true;
    }
    options.control = batch.marker();
    if (batch.kind == Kind::kTransactional) options.base_sequence = 0;
    protocol::RecordBatchBuilder builder(options);
    if (options.control) {
      builder.append_end_marker(1000, batch.kind == Kind::kCommit, 0);
    } else {
      const std::vector<uint8_t> value(200, 'v');
      builder.append(1000, std::nullopt, Bytes(value));
    }
    return Slice::copy_of(builder.finish());
  }

  // Does not wait for it.
  void append(Batch batch) {
    if (batch.kind != Kind::kPlain) {
      batch.epoch = std::max<int16_t>(epoch_of(batch.producer), 0);
      if (batch.marker() && version_ == 2) ++batch.epoch;
    }
    const auto offset = static_cast<int64_t>(model_.size());
    model_.push_back(batch);
    const Slice bytes = bytes_of_batch(batch);
    const auto appended = [this, offset](AppendResult result) {
      if (result.error != protocol::ErrorCode::kNone) return;
      EXPECT_EQ(result.base_offset, offset);
      acknowledged_ = std::max(acknowledged_, offset + 1);
    };
    LogShard& log = shard(topics_[0]);
    log.append(partition(), bytes, false, appended, as_verified(log, partition(), bytes.bytes(), version_));
  }
  // -1: the producer has not written.
  int16_t epoch_of(int64_t producer) const {
    int16_t epoch = -1;
    for (const Batch& batch : model_) {
      if (batch.producer == producer) epoch = batch.epoch;
    }
    return epoch;
  }

  void act() {
    const auto producer = static_cast<int64_t>(below(kProducers)) + 1;
    switch (below(8)) {
      case 0:
      case 1:
        return append({});
      case 2:
      case 3:
      case 4:
        return append({Kind::kTransactional, producer});
      case 5:
        return append({Kind::kCommit, producer});
      case 6:
        return append({Kind::kAbort, producer});
      default:
        return shard(topics_[0]).checkpoint_all([](Result<void>) {});
    }
  }

  // Until everything is durable and checkpointed as far as it was asked for; false if the machine went down.
  bool all_durable() {
    const int64_t all = static_cast<int64_t>(model_.size());
    sim_.run_until([&] { return acknowledged_ == all; }, 60 * runtime::kSecond);
    return !died();
  }
  bool died() { return sim_.run_for(runtime::kMillisecond) == SimRuntime::Stop::kDied; }

  void restart_after(Death death) {
    end(death);
    sim_.disk().cut_at_write(0);
    ASSERT_EQ(open(1), "");
    const int64_t end = partition().log_end_offset();
    ASSERT_GE(end, acknowledged_);
    ASSERT_LE(end, static_cast<int64_t>(model_.size()));
    model_.resize(static_cast<size_t>(end));
    acknowledged_ = end;
  }

  // What the model says of [0, size).
  struct Expected {
    std::map<int64_t, int64_t> open;  // first offset -> producer
    std::set<int64_t> visible;        // offsets of data outside of transactions, and in committed ones
    int64_t stable = 0;
  };
  Expected expected() const {
    Expected all;
    std::map<int64_t, std::vector<int64_t>> of;  // producer -> data of its open transaction
    for (size_t i = 0; i < model_.size(); ++i) {
      const auto offset = static_cast<int64_t>(i);
      const auto& [kind, producer, epoch] = model_[i];
      if (kind == Kind::kPlain) {
        all.visible.insert(offset);
      } else if (kind == Kind::kTransactional) {
        of[producer].push_back(offset);
      } else {
        if (kind == Kind::kCommit) all.visible.insert(of[producer].begin(), of[producer].end());
        of.erase(producer);
      }
    }
    for (const auto& [producer, data] : of) all.open[data.front()] = producer;
    all.stable = all.open.empty() ? static_cast<int64_t>(model_.size()) : all.open.begin()->first;
    return all;
  }

  ReadResult read(int64_t offset, uint64_t max_bytes, bool committed) {
    ReadResult result;
    bool done = false;
    const ReadRequest request{offset, max_bytes, true, committed};
    done = shard(topics_[0]).read(partition(), request, result, [&](ReadResult late) {
      result = std::move(late);
      done = true;
    });
    EXPECT_EQ(sim_.run_until([&] { return done; }, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
    EXPECT_EQ(result.error, protocol::ErrorCode::kNone);
    return result;
  }

  // As a consumer does: skips what the answer says was aborted. Returns the data it keeps; `offset` moves on.
  std::vector<int64_t> consume(int64_t& offset, bool committed) {
    const ReadResult result = read(offset, 1 + below(4000), committed);
    std::multimap<int64_t, int64_t> aborted;  // first offset -> producer
    for (const AbortedTransaction& one : result.aborted) aborted.emplace(one.first_offset, one.producer_id);
    EXPECT_TRUE(committed || aborted.empty());
    std::set<int64_t> skipped;
    std::vector<int64_t> kept;
    for (const FetchPiece& piece : result.pieces) {
      std::vector<uint8_t> bytes;
      if (const auto* slice = std::get_if<Slice>(&piece)) bytes.assign(slice->data, slice->data + slice->size);
      else bytes = bytes_of(std::get<FileRange>(piece));
      for (protocol::BatchSplitter batches(bytes); batches.next();) {
        const protocol::BatchHeader header = batches.header();
        while (!aborted.empty() && aborted.begin()->first <= header.last_offset()) {
          skipped.insert(aborted.begin()->second);
          aborted.erase(aborted.begin());
        }
        const BatchInfo info = info_of(header, batches.batch());
        if (info.control_type == BatchInfo::kAbort) skipped.erase(info.producer_id);
        const bool keep = !info.control() && !(info.transactional() && skipped.contains(info.producer_id));
        if (keep && info.base_offset >= offset) kept.push_back(info.base_offset);
        offset = std::max(offset, info.next_offset());
      }
    }
    return kept;
  }

  void check() {
    const Expected now = expected();
    EXPECT_EQ(partition().high_watermark(), static_cast<int64_t>(model_.size()));
    EXPECT_EQ(partition().last_stable_offset(), now.stable);
    EXPECT_EQ(partition().state().open_transactions(), now.open);
    for (int64_t producer = 1; producer <= kProducers; ++producer) {
      const ProducerEntry* const known = partition().producers().find(producer);
      EXPECT_EQ(known ? known->producer_epoch : -1, epoch_of(producer)) << "producer " << producer;
    }
    const auto begin = static_cast<int64_t>(below(model_.size() + 1));
    if (begin < now.stable) {
      std::vector<int64_t> kept;
      for (int64_t offset = begin; offset < now.stable && !HasFailure();) {
        const int64_t from = offset;
        const auto some = consume(offset, true);
        ASSERT_GT(offset, from);
        kept.insert(kept.end(), some.begin(), some.end());
      }
      EXPECT_EQ(kept, std::vector<int64_t>(now.visible.lower_bound(begin), now.visible.lower_bound(now.stable)));
    }
    int64_t data = 0;
    for (int64_t offset = begin; offset < partition().high_watermark() && !HasFailure();) {
      data += static_cast<int64_t>(consume(offset, false).size());
    }
    EXPECT_EQ(data, std::count_if(model_.begin() + begin, model_.end(), [](const Batch& batch) {
                return batch.kind == Kind::kPlain || batch.kind == Kind::kTransactional;
              }));
  }

  void run(uint64_t seed) {
    random_.emplace(seed);
    config_.segment_bytes = 2000;
    tail_cache_bytes_ = below(2) == 0 ? 0 : 64 << 20;
    version_ = static_cast<int16_t>(1 + below(2));
    model_.clear();
    acknowledged_ = 0;
    ASSERT_EQ(open(1), "");
    for (int round = 0; round < 12 && !HasFailure(); ++round) {
      if (below(3) == 0) sim_.disk().cut_at_write(1 + below(40));
      for (uint64_t steps = 1 + below(20); steps > 0; --steps) {
        act();
        if (below(3) == 0) sim_.run_for(static_cast<int64_t>(below(2'000'000)));
      }
      if (!all_durable()) restart_after(Death::kPowerCut);
      else if (below(4) == 0) restart_after(below(2) == 0 ? Death::kKill : Death::kPowerCut);
      sim_.disk().cut_at_write(0);
      if (!HasFatalFailure()) check();
    }
    end(Death::kKill);
    (void)sim_.disk().remove_all("/log");
    ASSERT_TRUE(sim_.disk().create_directories("/log"));
    ASSERT_TRUE(sim_.disk().sync_directory("/"));
  }

  std::optional<SeededRandom> random_;
  int16_t version_ = 1;  // of transactions
  std::vector<Batch> model_;
  int64_t acknowledged_ = 0;
};

TEST_F(LogTransactionsProperty, AgreesWithTheModel) {
  for (uint64_t seed = 1; seed <= 60 && !HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    run(seed);
  }
}

}  // namespace
}  // namespace weir::storage::testing
