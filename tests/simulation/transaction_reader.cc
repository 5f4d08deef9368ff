#include "simulation/transaction_reader.h"

#include <utility>

#include "protocol/messages/offset_fetch.h"

namespace weir::simulation {

using testing::Isolation;
using testing::OperationId;
using testing::PolledRange;

namespace {
constexpr int64_t kPauseNs = 10 * runtime::kMillisecond;
}  // namespace

TransactionConsumer::TransactionConsumer(TransactionStage& stage, Isolation isolation, int64_t timeout_ns,
                                         std::vector<std::string> groups)
    : stage_(stage), isolation_(isolation), client_(stage.new_client()), groups_(std::move(groups)), connection_(stage.loop()) {
  connection_.set_timeout(timeout_ns);
}

void TransactionConsumer::start() {
  stage_.after(static_cast<int64_t>(stage_.random.below(kPauseNs)), [this] { act(); });
}

void TransactionConsumer::act() {
  if (stage_.settling()) return;
  if (groups_.empty() || !stage_.random.one_in(5)) return poll();
  look(groups_[stage_.random.below(groups_.size())]);
}

void TransactionConsumer::poll() {
  const StageTopic& topic = stage_.random.one_in(2) ? stage_.input : stage_.output;
  const size_t partition = stage_.random.below(topic.partitions.size());
  const testing::NameId name = topic.partitions[partition];
  if (stage_.random.one_in(30)) {
    positions_[name] = 0;
    stage_.history.ok(stage_.history.invoke(client_, testing::Assigned{testing::kNoName, -1, {name}}));
  }
  const OperationId id = stage_.history.invoke(client_, testing::Poll{.isolation = isolation_, .ranges = {}});
  const int64_t from = positions_[name];
  stage_.begin_request();
  fetch_range(stage_, connection_, topic, static_cast<int32_t>(partition), from, isolation_,
              [this, id, name, from](const FetchedRange* range) {
                stage_.end_request();
                if (range) {
                  positions_[name] = range->next_offset;
                  stage_.history.ok(
                      id, testing::Poll{.isolation = isolation_, .ranges = {{name, from, range->next_offset, range->records}}});
                } else {
                  stage_.history.fail(id);
                }
                stage_.after(kPauseNs, [this] { act(); });
              });
}

void TransactionConsumer::look(const std::string& group) {
  stage_.begin_request();
  fetch_group_offsets(stage_, connection_, group, stage_.random.one_in(2), client_, [this](bool) {
    stage_.end_request();
    stage_.after(kPauseNs, [this] { act(); });
  });
}

void fetch_group_offsets(TransactionStage& stage, KafkaClient& connection, const std::string& group, bool stable, uint32_t client,
                         std::function<void(bool)> done) {
  const testing::FetchOffsets asked{stage.history.name(group), stable, {}};
  const OperationId id = stage.history.invoke(client, asked);
  std::vector<int32_t> indexes;
  for (size_t i = 0; i < stage.input.partitions.size(); ++i) indexes.push_back(static_cast<int32_t>(i));
  protocol::OffsetFetchRequest::OffsetFetchRequestTopics topic;
  topic.topic_id = stage.input.id;
  topic.partition_indexes = indexes;
  protocol::OffsetFetchRequest::OffsetFetchRequestGroup wanted;
  wanted.group_id = group;
  wanted.topics = {&topic, 1};
  protocol::OffsetFetchRequest request;
  request.groups = {&wanted, 1};
  request.require_stable = stable;
  connection.call<protocol::OffsetFetchResponse>(10, request, [&stage, id, asked, done = std::move(done)](const auto* response) {
    bool good = response && response->groups[0].error_code == 0;
    testing::FetchOffsets fetched = asked;
    for (size_t i = 0; good && i < response->groups[0].topics[0].partitions.size(); ++i) {
      const auto& partition = response->groups[0].topics[0].partitions[i];
      good = partition.error_code == 0;
      const auto index = static_cast<size_t>(partition.partition_index);
      fetched.offsets.push_back({stage.input.partitions[index], partition.committed_offset});
    }
    good ? stage.history.ok(id, std::move(fetched)) : stage.history.fail(id);
    done(good);
  });
}

void TransactionReader::read(Isolation isolation, bool complete, Done done) {
  client_ = stage_.new_client();
  poll_ = {.isolation = isolation, .complete = complete, .ranges = {}};
  id_ = stage_.history.invoke(client_, poll_);
  for (const StageTopic* topic : {&stage_.input, &stage_.output}) {
    for (const testing::NameId name : topic->partitions) poll_.ranges.push_back({.partition = name, .records = {}});
  }
  ends_.clear();
  done_ = std::move(done);
  next(++round_);
}

void TransactionReader::next(uint64_t round) {
  if (round != round_) return;
  const size_t index = ends_.size();
  if (index == poll_.ranges.size()) {
    stage_.history.ok(id_, poll_);
    return std::exchange(done_, nullptr)(ends_);
  }
  const size_t inputs = stage_.input.partitions.size();
  const StageTopic& topic = index < inputs ? stage_.input : stage_.output;
  fetch_range(stage_, connection_, topic, static_cast<int32_t>(index < inputs ? index : index - inputs), poll_.ranges[index].to,
              poll_.isolation, [this, round, index](const FetchedRange* fetched) {
                if (round != round_) return;
                if (!fetched) {
                  stage_.loop().schedule_after(kPauseNs, [this, round] { next(round); });
                  return;
                }
                PolledRange& range = poll_.ranges[index];
                range.records.insert(range.records.end(), fetched->records.begin(), fetched->records.end());
                const bool end = fetched->next_offset == range.to;
                range.to = fetched->next_offset;
                if (end) ends_.push_back({fetched->high_watermark, fetched->last_stable_offset});
                next(round);
              });
}

void TransactionReader::fetch_offsets(const std::string& group, std::function<void(bool)> done) {
  fetch_group_offsets(stage_, connection_, group, true, stage_.new_client(), std::move(done));
}

void TransactionReader::drop() {
  ++round_;
  connection_.drop();
}

}  // namespace weir::simulation
