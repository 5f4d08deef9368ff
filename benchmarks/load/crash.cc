// The client's half of the crash tests. Each record's value begins with the offset that it must get: one producer writes a
// partition in order, so record i stands at offset i or nowhere. Plain producers send nothing twice. Once the broker is back,
// idempotent producers send again every record without an acknowledgement.

#include <time.h>

#include <optional>

#include "load/connection.h"
#include "load/measure.h"
#include "load/options.h"
#include "load/producer.h"

namespace load {
namespace {

constexpr int kInFlightMax = 5;

struct Lane {
  TopicPartition where;
  int64_t first = 0;  // the offset of the first record this producer sent
  int64_t next = 0;   // the offset of the next record to be sent
  int64_t acked = 0;  // all below this were acknowledged
};

struct Shape {
  int records;  // a batch
  int record_bytes;
  int64_t more_batches;  // after the broker's death, by an idempotent producer; 0: plain, ends with the broker
};

Connection connect_again(const std::string& broker) {
  constexpr int kAttempts = 1200;
  for (int attempt = 1;; ++attempt) {
    try {
      return Connection(broker);
    } catch (const Failure&) {
      if (attempt == kAttempts) throw;
    }
    timespec pause{0, 50'000'000};
    nanosleep(&pause, nullptr);
  }
}

// Writes round robin over the lanes until the broker is gone, and goes on from there when it is back.
class ThroughDeath {
 public:
  ThroughDeath(const std::string& broker, std::vector<Lane>& lanes, Shape shape)
      : broker_(broker),
        connection_(Connection(broker)),
        lanes_(lanes),
        shape_(shape),
        batch_(shape.records, shape.record_bytes, 7) {
    for (Lane& lane : lanes) lane.first = lane.next = lane.acked = list_offset(*connection_, lane.where, -1);
    if (shape.more_batches > 0) producer_ = init_producer_id(*connection_);
  }

  void run() {
    try {
      send_until(INT64_MAX);
    } catch (const Failure& end) {
      reason_ = end.what();
    }
    if (shape_.more_batches == 0 || wrong_) return;
    // The port of the dying broker may take a connection once more.
    constexpr int kDeathsMax = 5;
    for (int deaths = 1; !done_; ++deaths) {
      try {
        go_on();
      } catch (const Failure&) {
        if (wrong_ || deaths == kDeathsMax) throw;
      }
    }
  }
  const std::string& reason() const { return reason_; }

 private:
  void go_on() {
    connection_.reset();
    connection_.emplace(connect_again(broker_));
    in_flight_.clear();
    for (Lane& lane : lanes_) lane.next = lane.acked;
    send_until(shape_.more_batches);
    while (!in_flight_.empty()) take_answer();
    done_ = true;
  }

  void send_until(int64_t batches) {
    for (size_t turn = 0; batches > 0; turn = (turn + 1) % lanes_.size(), --batches) {
      if (in_flight_.size() == kInFlightMax) take_answer();
      send(lanes_[turn]);
    }
  }

  void send(Lane& lane) {
    for (int i = 0; i < batch_.record_count(); ++i) batch_.stamp(i, lane.next + i);
    if (producer_.id >= 0) batch_.set_producer(producer_, static_cast<int32_t>((lane.next - lane.first) & 0x7fffffff));
    batch_.seal();
    ProduceFrame frame(lane.where, -1, batch_.bytes().size());
    in_flight_.push_back({&lane, lane.next});
    lane.next += batch_.record_count();
    connection_->send(kProduce, kProduceVersion, true, {frame.before, batch_.bytes(), frame.after});
  }

  void take_answer() {
    int64_t offset = check_produce_response(connection_->receive(true));
    auto [lane, sent] = in_flight_.front();
    in_flight_.erase(in_flight_.begin());
    if (offset != sent) {
      wrong_ = true;
      die("acknowledged at offset " + std::to_string(offset) + ", not " + std::to_string(sent));
    }
    lane->acked = sent + batch_.record_count();
  }

  const std::string broker_;
  std::optional<Connection> connection_;
  std::vector<Lane>& lanes_;
  const Shape shape_;
  Batch batch_;
  std::vector<std::pair<Lane*, int64_t>> in_flight_;
  ProducerIdentity producer_;
  bool wrong_ = false;
  bool done_ = false;
  std::string reason_;
};

}  // namespace

// Produces until the broker dies, or with --more through its death and that many batches more. Prints for each partition the
// offset below which every record was acknowledged.
void run_acked(Options& options) {
  std::vector<Lane> lanes;
  for (auto& where : create_topics(options)) lanes.push_back({where});
  Shape shape{static_cast<int>(options.number("batch-records", 10)), static_cast<int>(options.number("record-bytes", 100)),
              options.number("more", 0)};
  std::string broker = options.broker();
  options.refuse_unknown();
  ThroughDeath run(broker, lanes, shape);
  run.run();
  std::fprintf(stderr, "%s\n", run.reason().c_str());
  JsonLine out;
  for (const auto& lane : lanes) {
    out.put(std::to_string(lane.where.partition).c_str(), static_cast<uint64_t>(lane.acked));
  }
}

// Reads one partition from its start. Dies unless it holds record i at offset i, at least for all offsets below --acked.
void run_check(Options& options) {
  Connection connection(options.broker());
  TopicPartition where{options.topic(), static_cast<int32_t>(options.number("partition", 0))};
  int64_t acked = options.number("acked", 0);
  options.refuse_unknown();
  std::vector<FetchPosition> position = {{where, list_offset(connection, where, -2)}};
  int64_t end = list_offset(connection, where, -1);
  std::string name = where.topic + "-" + std::to_string(where.partition);
  if (end < acked) die(name + " ends at " + std::to_string(end) + ", but " + std::to_string(acked) + " were acknowledged");
  int64_t expected = position[0].offset;
  while (expected < end) {
    send_fetch(connection, position, {});
    FetchCount got = read_fetch(connection.receive(true), position, [&](const BatchView& batch) {
      if (batch.base_offset != expected) {
        die(name + ": a batch at " + std::to_string(batch.base_offset) + " where " + std::to_string(expected) + " was due");
      }
      for_each_value(batch, [&](std::span<const uint8_t> value) {
        int64_t stamp = Reader(value).i64();
        if (stamp != expected) {
          die(name + ": offset " + std::to_string(expected) + " holds record " + std::to_string(stamp));
        }
        ++expected;
      });
    });
    if (got.records == 0) die(name + ": nothing came from offset " + std::to_string(expected) + " on, of " + std::to_string(end));
  }
  JsonLine out;
  out.put("records", static_cast<uint64_t>(end));
}

}  // namespace load
