// The client's half of the crash tests. Each record's value begins with the offset it must get: one producer
// writes a partition, in order and without retries, so record i stands at offset i or nowhere.

#include "load/connection.h"
#include "load/measure.h"
#include "load/options.h"
#include "load/producer.h"

namespace load {
namespace {

constexpr int kInFlightMax = 5;

struct Lane {
  TopicPartition where;
  int64_t next = 0;   // the offset of the next record to be sent
  int64_t acked = 0;  // all below this were acknowledged
};

// Round robin over the lanes until the broker is gone.
class UntilDeath {
 public:
  UntilDeath(Connection& connection, std::vector<Lane>& lanes, int records, int record_bytes)
      : connection_(connection), lanes_(lanes), batch_(records, record_bytes, 7) {}

  void run() {
    try {
      for (size_t turn = 0;; turn = (turn + 1) % lanes_.size()) {
        if (in_flight_.size() == kInFlightMax) take_answer();
        send(lanes_[turn]);
      }
    } catch (const Failure& end) {
      reason_ = end.what();
    }
  }
  const std::string& reason() const { return reason_; }

 private:
  void send(Lane& lane) {
    for (int i = 0; i < batch_.record_count(); ++i) batch_.stamp(i, lane.next + i);
    batch_.seal();
    ProduceFrame frame(lane.where, -1, batch_.bytes().size());
    in_flight_.push_back({&lane, lane.next});
    lane.next += batch_.record_count();
    connection_.send(kProduce, kProduceVersion, true, {frame.before, batch_.bytes(), frame.after});
  }

  void take_answer() {
    int64_t offset = check_produce_response(connection_.receive(true));
    auto [lane, sent] = in_flight_.front();
    in_flight_.erase(in_flight_.begin());
    if (offset != sent)
      die("acknowledged at offset " + std::to_string(offset) + ", not " + std::to_string(sent));
    lane->acked = sent + batch_.record_count();
  }

  Connection& connection_;
  std::vector<Lane>& lanes_;
  Batch batch_;
  std::vector<std::pair<Lane*, int64_t>> in_flight_;
  std::string reason_;
};

}  // namespace

// Produces until the broker dies, and prints for each partition below which offset all was acknowledged.
void run_acked(Options& options) {
  std::vector<Lane> lanes;
  for (auto& where : create_topics(options)) lanes.push_back({where, 0, 0});
  Connection connection(options.broker());
  auto records = static_cast<int>(options.number("batch-records", 10));
  auto record_bytes = static_cast<int>(options.number("record-bytes", 100));
  options.refuse_unknown();
  for (auto& lane : lanes) lane.next = lane.acked = list_offset(connection, lane.where, -1);
  UntilDeath run(connection, lanes, records, record_bytes);
  run.run();
  std::fprintf(stderr, "%s\n", run.reason().c_str());
  JsonLine out;
  for (const auto& lane : lanes) {
    out.put(std::to_string(lane.where.partition).c_str(), static_cast<uint64_t>(lane.acked));
  }
}

// Reads one partition from its start and dies unless it holds record i at offset i, for all below --acked at
// least.
void run_check(Options& options) {
  Connection connection(options.broker());
  TopicPartition where{options.topic(), static_cast<int32_t>(options.number("partition", 0))};
  int64_t acked = options.number("acked", 0);
  options.refuse_unknown();
  std::vector<FetchPosition> position = {{where, list_offset(connection, where, -2)}};
  int64_t end = list_offset(connection, where, -1);
  std::string name = where.topic + "-" + std::to_string(where.partition);
  if (end < acked)
    die(name + " ends at " + std::to_string(end) + ", but " + std::to_string(acked) + " were acknowledged");
  int64_t expected = position[0].offset;
  while (expected < end) {
    send_fetch(connection, position, {});
    FetchCount got = read_fetch(connection.receive(true), position, [&](const BatchView& batch) {
      if (batch.base_offset != expected) {
        die(name + ": a batch at " + std::to_string(batch.base_offset) + " where " +
            std::to_string(expected) + " was due");
      }
      for_each_value(batch, [&](std::span<const uint8_t> value) {
        int64_t stamp = Reader(value).i64();
        if (stamp != expected) {
          die(name + ": offset " + std::to_string(expected) + " holds record " + std::to_string(stamp));
        }
        ++expected;
      });
    });
    if (got.records == 0)
      die(name + ": nothing came from offset " + std::to_string(expected) + " on, of " + std::to_string(end));
  }
  JsonLine out;
  out.put("records", static_cast<uint64_t>(end));
}

}  // namespace load
