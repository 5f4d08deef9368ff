#include "simulation/meta_scenario.h"

#include <fmt/core.h>

#include <map>
#include <set>
#include <utility>

#include "storage/metadata/sqlite_meta_store.h"

namespace weir::simulation {

using storage::MetaOperation;
using storage::MetaOutcome;
using storage::MetaRange;
using storage::MetaTransaction;
using testing::SeededRandom;
using testing::SimRuntime;

namespace {

class MetaScenario final : public Scenario {
 public:
  MetaScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options)
      : sim_(sim),
        oracle_(oracle),
        random_(random),
        steps_(options.one_of("steps", {40, 15, 80})),
        key_count_(options.one_of("keys", {12, 2, 60})),
        at_once_(options.one_of("at-once", {4, 1, 16})),
        large_values_(options.feature("large-values")),
        removals_(options.feature("removals")) {}

  void start() override {
    failure_.clear();
    busy_.clear();
    reading_ = false;
    runtime::Runtime world = sim_.runtime();
    auto made = world.files->create_directories("/data");
    if (made) made = world.files->sync_directory("/");
    if (!made) return note(made.error());
    auto store = storage::SqliteMetaStore::open(*world.files, *world.pool, {.path = "/data/meta.db", .clock = world.clock});
    if (!store) return note(store.error());
    store_ = std::move(*store);
    told_ = 0;
    watch_ = store_->watch("", 0, sim_.loop(), [this](Result<storage::MetaEvents> told) { check_told(std::move(told)); });
  }
  bool started() override { return store_ != nullptr; }

  void verify() override {
    reading_ = true;
    sim_.loop().post([this] {
      store_->range("", sim_.loop(), [this](Result<MetaRange> range) {
        reading_ = false;
        if (!range) return note(range.error());
        oracle_.never_back("revision", range->revision);
        std::map<std::string, std::string> found;
        for (const auto& entry : range->entries) {
          found[entry.key] = entry.value;
          if (entry.mod_revision > range->revision) oracle_.violation("key " + entry.key + " is newer than the store");
        }
        for (const std::string& key : keys_) oracle_.value_found(key, found.contains(key) ? found[key] : "");
        check_pairs(found);
        next_block_ = found.contains("/ids/next") ? std::stoull(found["/ids/next"]) : 0;
      });
    });
  }
  bool verified() override { return !reading_; }

  void work() override {
    left_ = steps_;
    fill();
  }
  bool worked() override { return left_ == 0 && busy_.empty(); }
  void destroy() override {
    watch_.reset();
    store_.reset();
  }
  std::string failure() override { return failure_; }

 private:
  void note(const Error& error) {
    if (!sim_.server_died() && failure_.empty()) failure_ = error.message;
  }

  void fill() {
    while (left_ > 0 && busy_.size() < at_once_) step();
  }
  void step() {
    --left_;
    switch (random_.below(8)) {
      case 0:
        return allocate_block();
      case 1:
        return put_pair();
      default:
        return put("/keys/" + std::to_string(random_.below(key_count_)));
    }
  }

  void put(const std::string& key) {
    if (busy_.contains(key)) return;
    keys_.insert(key);
    const bool remove = removals_ && random_.one_in(5);
    std::string value = remove ? "" : fmt::format("v{:x}", random_.next());
    if (large_values_ && random_.one_in(10)) value += std::string(random_.between(1000, 20'000), 'x');
    if (remove) value.clear();
    oracle_.value_requested(key, value);
    MetaTransaction transaction;
    transaction.operations.push_back({remove ? MetaOperation::Kind::kDelete : MetaOperation::Kind::kPut, key, value});
    transact(key, std::move(transaction), [this, key, value](const MetaOutcome&) { oracle_.value_acked(key, value); });
  }

  // Two keys in one transaction always hold the same value.
  void put_pair() {
    if (busy_.contains("/pair")) return;
    const std::string value = fmt::format("pair{:x}", random_.next());
    MetaTransaction transaction;
    transaction.operations.push_back({MetaOperation::Kind::kPut, "/pair/a", value});
    transaction.operations.push_back({MetaOperation::Kind::kPut, "/pair/b", value});
    transact("/pair", std::move(transaction), [](const MetaOutcome&) {});
  }
  void check_pairs(std::map<std::string, std::string>& found) {
    if (found["/pair/a"] != found["/pair/b"]) oracle_.violation("half a transaction is there");
  }

  // A watch of all keys gets every revision, and gets it before the transaction is answered.
  void check_told(Result<storage::MetaEvents> told) {
    if (!told) return oracle_.violation("a watch ended: " + told.error().message);
    for (const storage::MetaEvent& event : told->events) {
      const int64_t revision = event.entry.mod_revision;
      if (told_ != 0 && revision != told_ && revision != told_ + 1) {
        oracle_.violation(fmt::format("a watch was told of revision {} after {}", revision, told_));
      }
      told_ = revision;
    }
    oracle_.happened("told by a watch");
  }

  // Ids come as producer ids do: a block is durable before ids from it are used.
  void allocate_block() {
    const std::string key = "/ids/next";
    if (busy_.contains(key)) return;
    MetaTransaction transaction;
    storage::MetaCompare compare{key, {}, {}};
    if (next_block_ == 0) {
      compare.mod_revision = 0;
    } else {
      compare.value = std::to_string(next_block_);
    }
    transaction.compares.push_back(compare);
    transaction.operations.push_back({MetaOperation::Kind::kPut, key, std::to_string(next_block_ + 100)});
    transact(key, std::move(transaction), [this](const MetaOutcome& outcome) {
      if (!outcome.succeeded) return oracle_.violation("a compare of what was read last does not hold");
      oracle_.id_allocated("block", next_block_);
      next_block_ += 100;
    });
  }

  void transact(const std::string& key, MetaTransaction transaction, Function<void(const MetaOutcome&)> done) {
    busy_.insert(key);
    sim_.loop().post([this, key, transaction = std::move(transaction), done = std::move(done)]() mutable {
      store_->transact(
          std::move(transaction), sim_.loop(), [this, key, done = std::move(done)](Result<MetaOutcome> outcome) mutable {
            busy_.erase(key);
            if (!outcome) return note(outcome.error());
            oracle_.never_back("revision", outcome->revision);
            if (outcome->succeeded && told_ != 0 && told_ < outcome->revision) {
              oracle_.violation(fmt::format("revision {} was answered, and a watch only told of {}", outcome->revision, told_));
            }
            done(*outcome);
            fill();
          });
    });
  }

  SimRuntime& sim_;
  Oracle& oracle_;
  SeededRandom random_;
  const uint64_t steps_;  // per life
  const uint64_t key_count_, at_once_;
  const bool large_values_, removals_;
  std::unique_ptr<storage::SqliteMetaStore> store_;
  std::unique_ptr<storage::MetaWatch> watch_;
  int64_t told_ = 0;  // the last revision of the watch; 0: none since the start
  std::string failure_;
  std::set<std::string> keys_;
  std::set<std::string> busy_;  // keys with a transaction under way
  uint64_t next_block_ = 0;
  uint64_t left_ = 0;
  bool reading_ = false;
};

}  // namespace

ScenarioFactory meta_scenario() {
  return [](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options) {
    return std::make_unique<MetaScenario>(sim, oracle, random, options);
  };
}

}  // namespace weir::simulation
