#include "load/producer.h"

#include <poll.h>
#include <time.h>

#include "load/measure.h"

namespace load {

std::vector<TopicPartition> create_topics(Options& options) {
  Connection connection(options.broker());
  int64_t topics = options.number("topics", 1);
  auto partitions = static_cast<int32_t>(options.number("partitions", 6));
  // The broker must not delete records that the run still reads because of their old timestamps.
  std::map<std::string, std::string> configs = {{"retention.ms", "-1"}};
  std::vector<TopicPartition> all;
  for (int64_t i = 0; i < topics; ++i) {
    std::string name = topics == 1 ? options.topic() : options.topic() + "-" + std::to_string(i);
    create_topic(connection, name, partitions, configs);
    for (int32_t partition = 0; partition < partitions; ++partition) all.push_back({name, partition});
  }
  return all;
}

ProducerSettings::ProducerSettings(Options& options)
    : broker(options.broker()),
      partitions(create_topics(options)),
      acks(static_cast<int16_t>(options.number("acks", -1))),
      record_bytes(static_cast<int>(options.number("record-bytes", 1024))),
      in_flight(static_cast<int>(options.number("in-flight", 5))),
      connections(static_cast<int>(options.number("connections", 1))),
      idempotent(options.number("idempotent", 0) != 0),
      batches_per_request(static_cast<size_t>(options.number("batches-per-request", 1))),
      bytes_per_s(options.number("bytes-per-second", 0)) {
  // A record has some eleven bytes beside its value; a batch has a header of 61.
  int64_t batch_bytes = options.number("batch-bytes", 1 << 20);
  batch_records = static_cast<int>(std::max<int64_t>(1, (batch_bytes - 61) / (record_bytes + 11)));
}

Producer::Producer(const ProducerSettings& settings) : settings_(settings) {
  for (int i = 0; i < settings.connections; ++i) links_.push_back({Connection(settings.broker)});
  if (settings.idempotent) producer_ = init_producer_id(links_.front().connection);
  for (const auto& where : settings.partitions) {
    Batch batch(settings.batch_records, settings.record_bytes, lanes_.size());
    ProduceFrame frame(where, settings.acks, batch.bytes().size(), settings.batches_per_request);
    auto between = ProduceFrame::between(where.partition, batch.bytes().size());
    lanes_.push_back({std::move(batch), std::move(frame), std::move(between)});
  }
  if (settings.batches_per_request < 1 || lanes_.size() % settings.batches_per_request != 0) {
    die("--batches-per-request does not divide the number of partitions");
  }
}

Producer::Lane& Producer::next_lane() {
  Lane& lane = lanes_[next_lane_];
  next_lane_ = (next_lane_ + 1) % lanes_.size();
  if (settings_.idempotent) {
    lane.batch.set_producer(producer_, lane.next_sequence);
    lane.batch.seal();
    lane.next_sequence = static_cast<int32_t>((int64_t{lane.next_sequence} + settings_.batch_records) & 0x7fffffff);
  }
  sent_bytes_ += static_cast<int64_t>(lane.batch.bytes().size());
  return lane;
}

void Producer::send_one(Link& link) {
  const Lane& first = next_lane();
  pieces_ = {first.frame.before, first.batch.bytes()};
  for (size_t i = 1; i < settings_.batches_per_request; ++i) {
    const Lane& lane = next_lane();
    pieces_.push_back(lane.between);
    pieces_.push_back(lane.batch.bytes());
  }
  pieces_.push_back(first.frame.after);
  link.connection.send(kProduce, kProduceVersion, true, pieces_);
  link.in_flight += settings_.acks != 0;
}

void Producer::wait_until_due() {
  if (settings_.bytes_per_s == 0) return;
  double due_s = static_cast<double>(sent_bytes_) / static_cast<double>(settings_.bytes_per_s);
  int64_t due_ns = started_ns_ + static_cast<int64_t>(due_s * 1e9);
  timespec due{due_ns / 1'000'000'000, due_ns % 1'000'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
}

void Producer::run(uint64_t requests) {
  if (settings_.bytes_per_s != 0 && started_ns_ == 0) started_ns_ = monotonic_ns();
  std::vector<pollfd> waits(links_.size());
  uint64_t unsent = requests;
  uint64_t unanswered = settings_.acks == 0 ? 0 : requests;
  while (unsent > 0 || unanswered > 0) {
    for (auto& link : links_) {
      while (link.in_flight < settings_.in_flight && unsent > 0) {
        wait_until_due();
        send_one(link);
        --unsent;
      }
    }
    if (unanswered == 0) continue;
    for (size_t i = 0; i < links_.size(); ++i) {
      waits[i] = {links_[i].connection.descriptor(), static_cast<short>(links_[i].in_flight > 0 ? POLLIN : 0), 0};
    }
    if (poll(waits.data(), waits.size(), 60'000) == 0) die("no answer to a produce request in 60 s");
    for (size_t i = 0; i < links_.size(); ++i) {
      if (waits[i].revents == 0) continue;
      do {
        check_produce_response(links_[i].connection.receive(true));
        --links_[i].in_flight;
        --unanswered;
      } while (links_[i].in_flight > 0 && links_[i].connection.has_buffered_response());
    }
  }
}

// Fixed work: --bytes or --requests after --warmup-requests.
void run_produce(Options& options) {
  ProducerSettings settings(options);
  Producer producer(settings);
  auto bytes = static_cast<uint64_t>(options.number("bytes", 0));
  auto requests = static_cast<uint64_t>(options.number("requests", 0));
  auto warmup = static_cast<uint64_t>(options.number("warmup-requests", 0));
  int pid = options.broker_pid();
  options.refuse_unknown();
  if (requests == 0) requests = std::max<uint64_t>(1, bytes / producer.request_bytes());
  producer.run(warmup);
  Usage before = usage_now(pid);
  producer.run(requests);
  Usage used = usage_now(pid) - before;
  JsonLine out;
  out.put("requests", requests);
  out.put("records", requests * producer.request_records());
  out.put("bytes", requests * producer.request_bytes());
  out.put(used);
}

}  // namespace load
