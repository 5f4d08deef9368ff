// Rows of producers as checkpoints write them, against a model that applies all batches below the recovery point one after the
// other. Checkpoints fail, producers write during checkpoints and are forgotten, records are deleted, and the log restarts.
#include <map>
#include <optional>

#include "storage/log/log_shard_fixture.h"
#include "storage/log/recovered_partition.h"
#include "testing/seeded_random.h"

namespace weir::storage {
namespace {

class ProducerRowsProperty : public LogShardTest {
 protected:
  static constexpr int64_t kProducers = 6;

  uint64_t below(uint64_t bound) { return random_->next() % bound; }

  // Appends any batch. A coordinator's batches are not checked against sequences.
  void append_any() {
    const auto producer = static_cast<int64_t>(below(kProducers)) + 1;
    int16_t& epoch = epochs_[producer];
    if (below(12) == 0) ++epoch;
    protocol::BatchOptions options{.producer_id = producer, .producer_epoch = epoch, .transactional = below(3) == 0};
    options.control = options.transactional && below(2) == 0;
    if (!options.control) options.base_sequence = static_cast<int32_t>(below(1000));
    protocol::RecordBatchBuilder builder(options);
    if (options.control) builder.append_end_marker(1000, below(2) == 0, static_cast<int32_t>(below(5)));
    else
      for (uint64_t records = 1 + below(3); records > 0; --records) builder.append(1000, std::nullopt, std::nullopt);
    append(Slice::copy_of(builder.finish()), false);
    model_.push_back(partition_->tail().back().info);
  }

  void act() {
    switch (below(9)) {
      case 0:
        return wal_->complete();
      case 1:
        return wal_->end_file();
      case 2:
        store_.broken_ = below(2) == 0;
        return shard_->checkpoint_all([](const Result<void>&) {});
      case 3:
        shard_->delete_records(*partition_, static_cast<int64_t>(below(model_.empty() ? 1 : model_.back().next_offset())),
                               [](Result<int64_t>) {});
        return;
      case 4:
        world_.sim().run_for(static_cast<int64_t>(below(3 * runtime::kSecond)));
        return;
      default:
        return append_any();
    }
  }

  // Takes the rows of the successful checkpoints since the last call.
  void take_rows() {
    for (const auto& checkpoint : std::exchange(store_.checkpoints_, {})) {
      for (const int64_t expired : checkpoint.at(0).expired_producers) rows_.erase(expired);
      for (const ProducerEntry& row : checkpoint.at(0).producers) rows_[row.producer_id] = row;
    }
  }

  std::map<int64_t, ProducerEntry> expected_rows(int64_t as_of) const {
    ProducerState state;
    for (const BatchInfo& info : model_) {
      if (info.last_offset() < as_of) state.update(info, 0);
    }
    std::map<int64_t, ProducerEntry> expected;
    for (const ProducerEntry& entry : state.entries()) expected[entry.producer_id] = entry;
    return expected;
  }

  static std::string text_of(const ProducerEntry& row) {
    std::string text = " epoch " + std::to_string(row.producer_epoch) + ", coordinator " + std::to_string(row.coordinator_epoch) +
                       ", transaction " + std::to_string(row.transaction_first_offset) + ", batches to";
    for (const ProducerBatch& batch : row.batches) text += " " + std::to_string(batch.last_offset);
    return text;
  }

  void check_rows() {
    take_rows();
    auto rows = rows_;
    for (auto& [id, row] : rows) row.last_timestamp = 0;
    const PartitionManifest& manifest = store_.manifests_[partition_->id()];
    const auto expected = expected_rows(std::max(manifest.end_offset, manifest.log_start_offset));
    if (!forgets_) {
      for (const auto& [id, row] : rows) {
        if (expected.contains(id) && row == expected.at(id)) continue;
        ADD_FAILURE() << "row of " << id << " as of " << manifest.end_offset << ' ' << manifest.log_start_offset << text_of(row)
                      << " but" << text_of(expected.contains(id) ? expected.at(id) : ProducerEntry());
      }
      EXPECT_EQ(rows.size(), expected.size());
      return;
    }
    // The row of a forgotten producer may begin later.
    for (const auto& [id, row] : rows) {
      const ProducerEntry& model = expected.at(id);
      EXPECT_EQ(row.producer_epoch, model.producer_epoch);
      EXPECT_EQ(row.transaction_first_offset, model.transaction_first_offset);
      ASSERT_LE(row.batches.size(), model.batches.size());
      EXPECT_TRUE(std::equal(row.batches.rbegin(), row.batches.rend(), model.batches.rbegin()));
    }
  }

  void checkpoint_everything() {
    store_.broken_ = false;
    wal_->complete();
    bool done = false;
    while (!done) {
      bool ended = false;
      shard_->checkpoint_all([&](const Result<void>& result) {
        ended = true;
        done = result.has_value();
      });
      ASSERT_TRUE(world_.run_until([&] { return ended; }));
    }
  }

  // The log holds the batches above the rows. All of them were durable.
  void restart() {
    wal_->complete();
    store_.broken_ = false;
    world_.run_until([&] { return false; });  // no checkpoint is under way
    take_rows();
    PartitionSnapshot snapshot{store_.manifests_[partition_->id()], {}};
    snapshot.manifest.partition = partition_->id();
    for (const auto& [id, row] : rows_) snapshot.producers.push_back(row);
    RecoveredTail tail;
    for (TailBatch batch : partition_->tail_from(std::max(snapshot.manifest.end_offset, snapshot.manifest.log_start_offset))) {
      batch.chunk = 0;
      tail.batches.push_back(std::move(batch));
    }
    auto wal = std::make_unique<FakeWal>();
    wal_ = wal.get();
    shard_ = std::make_unique<LogShard>(runtime_, world_.loop(), std::move(wal), store_, options_);
    partition_ = &shard_->add_recovered(std::move(snapshot), LogConfig{}, 0, std::move(tail));
  }

  void run(uint64_t seed) {
    random_.emplace(seed);
    forgets_ = below(2) == 0;
    options_.producers_max = forgets_ ? 3 : 1000;
    store_.manifests_.clear();
    store_.checkpoints_.clear();
    store_.broken_ = false;
    model_.clear();
    rows_.clear();
    epochs_.clear();
    open(options_);
    for (int step = 0; step < 150 && !HasFailure(); ++step) {
      act();
      if (below(5) == 0) check_rows();
      if (below(60) == 0) restart();
    }
    for (int twice = 0; twice < 2 && !HasFatalFailure(); ++twice)
      checkpoint_everything();  // then nothing is forgotten that has a row
    check_rows();
    if (!forgets_) EXPECT_EQ(rows_.size(), expected_rows(INT64_MAX).size());
    else EXPECT_EQ(rows_.size(), partition_->producers().size());
  }

  std::optional<weir::testing::SeededRandom> random_;
  LogShardOptions options_;
  bool forgets_ = false;
  std::vector<BatchInfo> model_;
  std::map<int64_t, int16_t> epochs_;
  std::map<int64_t, ProducerEntry> rows_;
};

TEST_F(ProducerRowsProperty, AreWhatTheBatchesBelowTheRecoveryPointSay) {
  for (uint64_t seed = 1; seed <= 300 && !HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    run(seed);
  }
}

}  // namespace
}  // namespace weir::storage
