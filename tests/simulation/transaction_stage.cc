#include "simulation/transaction_stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "protocol/errors.h"

namespace weir::simulation {

using protocol::ErrorCode;
using testing::Isolation;
using testing::PolledRecord;

TransactionOptions::TransactionOptions(DrawnOptions& drawn)
    : work_ns(static_cast<int64_t>(drawn.one_of("work-ms", {300, 150, 600})) * runtime::kMillisecond),
      partitions(static_cast<int32_t>(drawn.one_of("partitions", {2, 1, 4}))),
      plain_producers(drawn.one_of("plain-producers", {1, 0, 2})),
      producers(drawn.one_of("producers", {2, 1, 4})),
      processors(drawn.one_of("processors", {1, 2, 3})),
      consumers(drawn.one_of("consumers", {2, 1, 3})),
      transaction_partitions(drawn.one_of("transaction.state.log.num.partitions", {3, 1, 7})),
      offsets_partitions(drawn.one_of("offsets.topic.num.partitions", {2, 1, 5})),
      segment_bytes(drawn.one_of("log.segment.bytes", {1 << 30, 1 << 20})),
      fetch_bytes(drawn.one_of("fetch.bytes", {40'000, 1'000, 400'000})),
      transaction_timeout_ms(static_cast<int32_t>(drawn.one_of("transaction.timeout.ms", {1'000, 200, 5'000}))),
      version_1(drawn.one_of("transaction.versions", {3, 1, 2}) != 2),
      version_2(drawn.one_of("transaction.versions", {3, 1, 2}) != 1),
      members(drawn.feature("members")),
      zombies(drawn.one_of("zombies", {1, 1, 0}) != 0) {}

namespace {

constexpr size_t kNumber = sizeof(uint64_t);

std::vector<uint8_t> number_bytes(uint64_t number, size_t size = kNumber) {
  std::vector<uint8_t> bytes(size, static_cast<uint8_t>(number));
  store_be(bytes.data(), number);
  return bytes;
}

std::optional<uint64_t> number_of(const std::optional<Bytes>& bytes) {
  if (!bytes || bytes->size() < kNumber) return std::nullopt;
  return load_be<uint64_t>(bytes->data());
}

// Reads the batches of a fetch answer as a consumer does.
class BatchReader {
 public:
  BatchReader(const protocol::FetchResponse::PartitionData& data, Isolation isolation, FetchedRange& range)
      : data_(data), committed_(isolation == Isolation::kReadCommitted), range_(range) {
    if (!committed_ || !data.aborted_transactions) return;
    aborts_.assign(data.aborted_transactions->begin(), data.aborted_transactions->end());
    std::sort(aborts_.begin(), aborts_.end(),
              [](const auto& one, const auto& other) { return one.first_offset < other.first_offset; });
  }

  // False, with the reason in `problem`, if the bytes are no valid batches.
  bool read(int64_t from, std::string& problem) {
    if (data_.records.null) return true;
    protocol::BatchSplitter splitter(data_.records.data);
    while (splitter.next()) {
      protocol::BatchHeader header;
      const auto fault = protocol::check_batch(splitter.batch(), {}, header);
      if (fault != protocol::BatchFault::kNone) {
        problem = fmt::format("batch at offset {}: {}", splitter.header().base_offset, protocol::batch_fault_name(fault));
        return false;
      }
      range_.next_offset = std::max(range_.next_offset, header.next_offset());
      if (!shown(header, splitter.batch())) continue;
      protocol::RecordIterator iterator(splitter.batch());
      for (protocol::Record record; iterator.next(record);) {
        const auto key = number_of(record.key), value = number_of(record.value);
        if (!key || !value) problem = fmt::format("the record at offset {} is not one of ours", record.offset);
        if (key && value && record.offset >= from) range_.records.push_back({record.offset, *key, *value});
      }
    }
    if (!splitter.rest().empty()) problem = "bytes after the last batch";
    return problem.empty();
  }

 private:
  bool shown(const protocol::BatchHeader& header, Bytes batch) {
    while (next_abort_ < aborts_.size() && aborts_[next_abort_].first_offset <= header.last_offset()) {
      aborted_.insert(aborts_[next_abort_++].producer_id);
    }
    if (header.control()) {
      protocol::RecordIterator iterator(batch);
      protocol::Record record;
      if (iterator.next(record)) {
        const auto marker = protocol::parse_end_marker(record);
        if (marker && !marker->commit) aborted_.erase(header.producer_id);
      }
      return false;
    }
    return !(header.transactional() && aborted_.contains(header.producer_id));
  }

  const protocol::FetchResponse::PartitionData& data_;
  const bool committed_;
  FetchedRange& range_;
  std::vector<protocol::FetchResponse::AbortedTransaction> aborts_;
  size_t next_abort_ = 0;
  std::set<int64_t> aborted_;  // producers
};

}  // namespace

std::vector<uint8_t> number_batch(const std::vector<PolledRecord>& records, const protocol::BatchOptions& options, int64_t now_ms,
                                  size_t padding) {
  protocol::RecordBatchBuilder builder(options);
  for (const PolledRecord& record : records) {
    const auto key = number_bytes(record.key), value = number_bytes(record.value, kNumber + padding);
    builder.append(now_ms, Bytes(key), Bytes(value));
  }
  const Bytes bytes = builder.finish();
  return {bytes.begin(), bytes.end()};
}

void fetch_range(TransactionStage& stage, KafkaClient& connection, const StageTopic& topic, int32_t partition, int64_t from,
                 Isolation isolation, std::function<void(const FetchedRange*)> done) {
  protocol::FetchRequest::FetchPartition asked;
  asked.partition = partition;
  asked.fetch_offset = from;
  asked.partition_max_bytes = static_cast<int32_t>(stage.options.fetch_bytes);
  protocol::FetchRequest::FetchTopic fetched;
  fetched.topic_id = topic.id;
  fetched.partitions = {&asked, 1};
  protocol::FetchRequest request;
  request.max_wait_ms = 5;
  request.min_bytes = 0;
  request.isolation_level = isolation == Isolation::kReadCommitted ? 1 : 0;
  request.topics = {&fetched, 1};
  connection.call<protocol::FetchResponse>(
      13, request, [&stage, name = topic.name, partition, from, isolation, done = std::move(done)](const auto* response) {
        if (!response || response->error_code != 0 || response->responses.empty()) return done(nullptr);
        const auto& data = response->responses[0].partitions[0];
        if (data.error_code != 0) return done(nullptr);
        FetchedRange range{{}, from, data.high_watermark, data.last_stable_offset};
        std::string problem;
        BatchReader(data, isolation, range).read(from, problem);
        const bool committed = isolation == Isolation::kReadCommitted;
        const int64_t end = committed ? data.last_stable_offset : data.high_watermark;
        if (range.next_offset > std::max(end, from)) problem = fmt::format("records up to {}, past {}", range.next_offset, end);
        if (data.last_stable_offset > data.high_watermark) problem = "the last stable offset is above the high watermark";
        if (committed != data.aborted_transactions.has_value())
          problem = "the aborted transactions are there for committed reads only";
        if (!problem.empty()) stage.oracle().violation(fmt::format("Fetch of {}-{} at {}: {}", name, partition, from, problem));
        done(&range);
      });
}

}  // namespace weir::simulation
