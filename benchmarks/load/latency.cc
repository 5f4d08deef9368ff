// Time from the moment at which a record was due to be sent until it has come back through a long-polling fetch, at a fixed rate.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <deque>
#include <fstream>

#include "load/connection.h"
#include "load/measure.h"
#include "load/options.h"
#include "load/producer.h"

namespace load {
namespace {

constexpr int kInFlightMax = 5;
constexpr int kStickyRecords = 160;  // a partition is kept for some 16 KB of 100-byte records

// Open loop: record i is due at start + i / rate, whatever became of the records before. One thread does both sides, so that
// neither waits for the other to be scheduled.
class LatencyRun {
 public:
  LatencyRun(Options& options, const std::vector<TopicPartition>& partitions)
      : out_(options.broker()),
        in_(options.broker()),
        partitions_(partitions),
        record_bytes_(static_cast<int>(options.number("record-bytes", 100))),
        interval_ns_(1'000'000'000.0 / static_cast<double>(options.number("rate", 1000))),
        linger_ns_(options.number("linger-ms", 0) * 1'000'000),
        warmup_(static_cast<uint64_t>(options.number("warmup-records", 0))),
        records_(static_cast<uint64_t>(options.number("records", 10'000)) + warmup_),
        pid_(options.broker_pid()) {
    for (const auto& where : partitions_) positions_.push_back({where, list_offset(in_, where, -1)});
  }

  void run() {
    start_ns_ = monotonic_ns() + 1'000'000;
    send_fetch(in_, positions_, limits_);
    before_ = usage_now(pid_);
    while (received_ < records_) {
      send_due(monotonic_ns());
      wait();
      if (received_ < warmup_) before_ = usage_now(pid_);
    }
    Usage used = usage_now(pid_) - before_;
    JsonLine out;
    out.put("records", records_ - warmup_);
    out.put("requests", requests_);
    out.put_quantiles(std::move(samples_ns_));
    out.put(used);
  }

 private:
  int64_t due_ns(uint64_t record) const { return start_ns_ + static_cast<int64_t>(static_cast<double>(record) * interval_ns_); }

  // Sends all due records as one batch. While five requests are unanswered it gathers records, as producers do.
  void send_due(int64_t now) {
    while (in_flight_ < kInFlightMax && sent_ < records_ && now >= due_ns(sent_) + linger_ns_) {
      size_t lane = (sent_ / kStickyRecords) % partitions_.size();
      int count = 0;
      uint64_t lane_end = (sent_ / kStickyRecords + 1) * kStickyRecords;
      while (sent_ + static_cast<uint64_t>(count) < std::min(records_, lane_end) &&
             due_ns(sent_ + static_cast<uint64_t>(count)) <= now) {
        ++count;
      }
      Batch& batch = batch_of(count);
      for (int i = 0; i < count; ++i) batch.stamp(i, due_ns(sent_ + static_cast<uint64_t>(i)));
      batch.seal();
      ProduceFrame frame(partitions_[lane], -1, batch.bytes().size());
      out_.send(kProduce, kProduceVersion, true, {frame.before, batch.bytes(), frame.after});
      sent_ += static_cast<uint64_t>(count);
      ++in_flight_;
      ++requests_;
    }
  }

  Batch& batch_of(int count) {
    auto found = batches_.find(count);
    if (found == batches_.end()) found = batches_.emplace(count, Batch(count, record_bytes_, 1)).first;
    return found->second;
  }

  void wait() {
    pollfd waits[2] = {{out_.descriptor(), POLLIN, 0}, {in_.descriptor(), POLLIN, 0}};
    int64_t until = 60'000'000'000;
    if (sent_ < records_ && in_flight_ < kInFlightMax) {
      until = std::max<int64_t>(0, due_ns(sent_) + linger_ns_ - monotonic_ns());
    }
    timespec timeout{until / 1'000'000'000, until % 1'000'000'000};
    ppoll(waits, 2, &timeout, nullptr);
    if (waits[0].revents != 0) {
      do {
        check_produce_response(out_.receive(true));
        --in_flight_;
      } while (in_flight_ > 0 && out_.has_buffered_response());
    }
    if (waits[1].revents != 0) take_fetch();
  }

  void take_fetch() {
    auto response = in_.receive(true);
    int64_t now = monotonic_ns();
    FetchCount got = read_fetch(response, positions_, [&](const BatchView& batch) {
      for_each_value(batch, [&](std::span<const uint8_t> value) {
        if (received_++ >= warmup_) samples_ns_.push_back(now - Reader(value).i64());
      });
    });
    (void)got;
    if (received_ < records_) send_fetch(in_, positions_, limits_);
  }

  Connection out_;
  Connection in_;
  std::vector<TopicPartition> partitions_;
  std::vector<FetchPosition> positions_;
  FetchLimits limits_;
  std::map<int, Batch> batches_;
  int record_bytes_;
  double interval_ns_;
  int64_t linger_ns_;
  uint64_t warmup_;
  uint64_t records_;
  int pid_;
  int64_t start_ns_ = 0;
  int in_flight_ = 0;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  uint64_t requests_ = 0;
  std::vector<int64_t> samples_ns_;
  Usage before_;
};

}  // namespace

void run_latency(Options& options) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  auto partitions = create_topics(options);
  LatencyRun run(options, partitions);
  options.refuse_unknown();
  run.run();
}

// The time that the disk itself takes to write 4 KB through, at the same rate: the yardstick of the latency gates.
void run_disk_probe(Options& options) {
  constexpr size_t kBlock = 4096;
  constexpr size_t kFileBytes = 64 << 20;
  prctl(PR_SET_TIMERSLACK, 1UL);
  std::string path = options.text("dir", ".") + "/disk-probe.tmp";
  double interval_ns = 1e9 / static_cast<double>(options.number("rate", 1000));
  auto writes = static_cast<uint64_t>(options.number("records", 10'000));
  options.refuse_unknown();
  {
    std::ofstream fill(path, std::ios::binary);
    std::vector<char> zeros(1 << 20);
    for (size_t done = 0; done < kFileBytes; done += zeros.size())
      fill.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
  }
  int descriptor = ::open(path.c_str(), O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
  void* block = aligned_alloc(kBlock, kBlock);
  if (descriptor < 0 || block == nullptr) die("cannot write unbuffered to " + path);
  std::fill_n(static_cast<char*>(block), kBlock, 'x');
  ::fsync(descriptor);
  std::vector<int64_t> samples_ns;
  int64_t start = monotonic_ns();
  for (uint64_t i = 0; i < writes; ++i) {
    int64_t due = start + static_cast<int64_t>(static_cast<double>(i) * interval_ns);
    timespec until{due / 1'000'000'000, due % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    auto at = static_cast<off_t>(i * kBlock % kFileBytes);
    if (::pwrite(descriptor, block, kBlock, at) != static_cast<ssize_t>(kBlock)) die("write to " + path);
    samples_ns.push_back(monotonic_ns() - due);
  }
  ::close(descriptor);
  ::unlink(path.c_str());
  free(block);
  JsonLine out;
  out.put_quantiles(std::move(samples_ns));
}

// Opens --count connections and holds them until its input ends. With --announce each sends the length of a request that never
// comes. Otherwise each asks for the versions once.
void run_connections(Options& options) {
  auto count = static_cast<size_t>(options.number("count", 1000));
  auto announced = static_cast<int32_t>(options.number("announce", 0));
  std::string broker = options.broker();
  options.refuse_unknown();
  std::deque<Connection> connections;
  for (size_t i = 0; i < count; ++i) {
    connections.emplace_back(broker);
    if (announced > 0) {
      Writer length;
      length.i32(announced);
      length.i32(kProduce << 16 | kProduceVersion);
      connections.back().send_raw(length.bytes());
    } else {
      api_versions(connections.back());
    }
  }
  {
    JsonLine out;
    out.put("connections", static_cast<uint64_t>(connections.size()));
  }
  while (getchar() != EOF) {
  }
}

}  // namespace load
