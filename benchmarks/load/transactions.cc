// Transactions of many producers (transaction.version 2), or the same requests without transactions.
#include <time.h>

#include <cstdlib>
#include <memory>
#include <thread>

#include "load/connection.h"
#include "load/measure.h"
#include "load/options.h"
#include "load/producer.h"

namespace load {
namespace {

constexpr int kAllRetries = 10'000;

struct TransactionSettings {
  explicit TransactionSettings(Options& options)
      : broker(options.broker()),
        partitions(create_topics(options)),
        producers(static_cast<int>(options.number("producers", 1))),
        warmup(options.number("warmup", 100)),
        transactions(options.number("transactions", 1'000)),
        requests(options.number("requests", 1)),
        records(static_cast<int>(options.number("records", 1))),
        record_bytes(static_cast<int>(options.number("record-bytes", 100))),
        interval_ns(options.number("interval-ms", 0) * 1'000'000),
        plain(options.number("plain", 0) != 0) {}
  std::string broker;
  std::vector<TopicPartition> partitions;  // each request has a batch for each
  int producers;
  int64_t warmup;  // transactions of each producer before the measured ones
  int64_t transactions;
  int64_t requests;  // of each transaction
  int records;       // of each batch
  int record_bytes;
  int64_t interval_ns;  // between requests; 0: each as soon as the one before is answered
  bool plain;           // idempotent, and no transactions
};

class TransactionalProducer {
 public:
  TransactionalProducer(const TransactionSettings& settings, int number)
      : settings_(settings),
        id_(settings.plain ? std::string() : "load-" + std::to_string(number)),
        connection_(settings.broker),
        producer_(init_producer_id(connection_, id_)) {
    for (const TopicPartition& where : settings.partitions) {
      Batch batch(settings.records, settings.record_bytes, lanes_.size() + 1);
      if (!settings.plain) batch.set_transactional();
      auto between = ProduceFrame::between(where.partition, batch.bytes().size());
      lanes_.push_back({std::move(batch), std::move(between)});
    }
    frame_ =
        std::make_unique<ProduceFrame>(settings.partitions.front(), -1, lanes_.front().batch.bytes().size(), lanes_.size(), id_);
  }

  void run(int64_t transactions) {
    due_ns_ = monotonic_ns();
    for (int64_t i = 0; i < transactions; ++i) {
      const int64_t started_ns = monotonic_ns();
      for (int64_t request = 0; request < settings_.requests; ++request) produce();
      if (!settings_.plain) {
        producer_ = commit(connection_, id_, producer_);
        sequence_ = 0;
      }
      samples_ns_.push_back(monotonic_ns() - started_ns);
    }
  }
  void forget() { samples_ns_.clear(); }
  const std::vector<int64_t>& samples_ns() const { return samples_ns_; }

 private:
  struct Lane {
    Batch batch;
    std::vector<uint8_t> between;
  };

  void produce() {
    wait_until_due();
    std::vector<std::span<const uint8_t>> pieces;
    for (Lane& lane : lanes_) {
      lane.batch.set_producer(producer_, sequence_);
      lane.batch.seal();
      pieces.push_back(pieces.empty() ? std::span<const uint8_t>(frame_->before) : std::span<const uint8_t>(lane.between));
      pieces.push_back(lane.batch.bytes());
    }
    pieces.push_back(frame_->after);
    for (int tries = 0;; ++tries) {
      connection_.send(kProduce, kTransactionalProduceVersion, true, pieces);
      if (accepted(connection_.receive(true))) break;
      if (tries == kAllRetries) die("the transaction before does not end");
      // As the Java client waits before it asks for a new partition again.
      timespec pause{0, 20'000'000};
      clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }
    sequence_ += settings_.records;
  }

  void wait_until_due() {
    if (settings_.interval_ns == 0) return;
    timespec due{due_ns_ / 1'000'000'000, due_ns_ % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
    due_ns_ += settings_.interval_ns;
  }

  const TransactionSettings& settings_;
  std::string id_;
  Connection connection_;
  ProducerIdentity producer_;
  std::vector<Lane> lanes_;
  std::unique_ptr<ProduceFrame> frame_;
  int32_t sequence_ = 0;
  int64_t due_ns_ = 0;
  std::vector<int64_t> samples_ns_;
};

}  // namespace

// Fixed work: --transactions of each of --producers, after --warmup of them.
void run_transactions(Options& options) {
  const TransactionSettings settings(options);
  const int pid = options.broker_pid();
  options.refuse_unknown();
  std::vector<std::unique_ptr<TransactionalProducer>> producers;
  for (int i = 0; i < settings.producers; ++i) producers.push_back(std::make_unique<TransactionalProducer>(settings, i));
  const auto run_all = [&](int64_t transactions) {
    std::vector<std::jthread> threads;
    for (auto& producer : producers) {
      threads.emplace_back([&producer, transactions] {
        try {
          producer->run(transactions);
        } catch (const Failure& failure) {
          std::fprintf(stderr, "weir_load transactions: %s\n", failure.what());
          std::_Exit(1);
        }
      });
    }
  };
  run_all(settings.warmup);
  for (auto& producer : producers) producer->forget();
  const Usage before = usage_now(pid);
  run_all(settings.transactions);
  const Usage used = usage_now(pid) - before;
  std::vector<int64_t> samples_ns;
  for (auto& producer : producers)
    samples_ns.insert(samples_ns.end(), producer->samples_ns().begin(), producer->samples_ns().end());
  JsonLine out;
  out.put("transactions", static_cast<uint64_t>(settings.transactions * settings.producers));
  out.put_quantiles(std::move(samples_ns));
  out.put(used);
}

}  // namespace load
