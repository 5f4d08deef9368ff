// Reads a topic from its start, or at its end while it is written.
#include <atomic>
#include <thread>

#include "load/connection.h"
#include "load/measure.h"
#include "load/options.h"
#include "load/producer.h"

namespace load {
namespace {

constexpr int64_t kEarliest = -2;
constexpr int64_t kLatest = -1;

std::vector<FetchPosition> positions_at(Connection& connection, const std::string& topic, int32_t partitions, int64_t timestamp) {
  std::vector<FetchPosition> positions;
  for (int32_t i = 0; i < partitions; ++i) {
    TopicPartition where{topic, i};
    positions.push_back({where, list_offset(connection, where, timestamp)});
  }
  return positions;
}

}  // namespace

// Keeps one fetch in flight over all partitions, as a consumer does, until --bytes or the whole topic is read.
void run_fetch(Options& options) {
  Connection connection(options.broker());
  std::string topic = options.topic();
  auto partitions = static_cast<int32_t>(options.number("partitions", 6));
  auto bytes = static_cast<uint64_t>(options.number("bytes", INT64_MAX));
  FetchLimits limits;
  limits.read_committed = options.number("read-committed", 0) != 0;
  int pid = options.broker_pid();
  options.refuse_unknown();
  auto positions = positions_at(connection, topic, partitions, kEarliest);
  auto ends = positions_at(connection, topic, partitions, kLatest);
  uint64_t wanted_records = 0;
  for (size_t i = 0; i < ends.size(); ++i) wanted_records += static_cast<uint64_t>(ends[i].offset - positions[i].offset);

  uint64_t requests = 0;
  FetchCount total;
  Usage before = usage_now(pid);
  while (total.bytes < bytes && total.records < wanted_records) {
    send_fetch(connection, positions, limits);
    FetchCount got = read_fetch(connection.receive(true), positions, nullptr);
    if (got.records == 0) die("a fetch brought nothing though records are left");
    total.bytes += got.bytes;
    total.records += got.records;
    ++requests;
  }
  Usage used = usage_now(pid) - before;
  JsonLine out;
  out.put("requests", requests);
  out.put("records", total.records);
  out.put("bytes", total.bytes);
  out.put(used);
}

// --consumers read the end of the topic while a producer writes --bytes to it. The cost of one tailing
// consumer is the slope between two runs with different numbers of them.
void run_fanout(Options& options) {
  ProducerSettings settings(options);
  auto consumers = static_cast<size_t>(options.number("consumers", 1));
  auto bytes = static_cast<uint64_t>(options.number("bytes", 1 << 30));
  int pid = options.broker_pid();
  options.refuse_unknown();
  Producer producer(settings);
  uint64_t requests = std::max<uint64_t>(1, bytes / producer.request_bytes());
  uint64_t records = requests * producer.request_records();

  std::atomic<size_t> ready = 0;
  std::atomic<uint64_t> read_bytes = 0;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < consumers; ++i) {
    threads.emplace_back([&] {
      Connection connection(settings.broker);
      auto positions =
          positions_at(connection, settings.partitions.front().topic, static_cast<int32_t>(settings.partitions.size()), kLatest);
      ++ready;
      ready.notify_all();
      for (uint64_t left = records; left > 0;) {
        send_fetch(connection, positions, {});
        FetchCount got = read_fetch(connection.receive(true), positions, nullptr);
        left -= std::min(left, got.records);
        read_bytes += got.bytes;
      }
    });
  }
  for (size_t seen = ready; seen < consumers; seen = ready) ready.wait(seen);
  Usage before = usage_now(pid);
  producer.run(requests);
  for (auto& thread : threads) thread.join();
  Usage used = usage_now(pid) - before;
  JsonLine out;
  out.put("bytes", requests * producer.request_bytes());
  out.put("read_bytes", read_bytes.load());
  out.put(used);
}

// Counts the records of all partitions: a restart must bring them back.
void run_offsets(Options& options) {
  Connection connection(options.broker());
  int64_t topics = options.number("topics", 1);
  auto partitions = static_cast<int32_t>(options.number("partitions", 6));
  std::string topic = options.topic();
  options.refuse_unknown();
  uint64_t records = 0;
  for (int64_t i = 0; i < topics; ++i) {
    std::string name = topics == 1 ? topic : topic + "-" + std::to_string(i);
    for (const auto& end : positions_at(connection, name, partitions, kLatest)) records += static_cast<uint64_t>(end.offset);
  }
  JsonLine out;
  out.put("records", records);
}

}  // namespace load
