// The part of a ConsumerMember that reads its partitions and commits, and that misbehaves.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "simulation/consumer_member.h"
#include "simulation/log_clients.h"

namespace weir::simulation {

using protocol::ErrorCode;
using testing::OperationId;

namespace {
constexpr int64_t kMillisecond = runtime::kMillisecond;
constexpr int64_t kPauseNs = 5 * kMillisecond;
constexpr int64_t kIdleNs = 30 * kMillisecond;
constexpr uint64_t kRarely = 120;  // steps from one misdeed to the next
}  // namespace

ConsumerMember::Position* ConsumerMember::position(const TopicPartition& partition, uint64_t grant) {
  const auto known = owned_.find(partition);
  return known == owned_.end() || known->second.grant != grant ? nullptr : &known->second;
}

void ConsumerMember::again(int64_t delay_ns) {
  later(delay_ns, [this] { work(); });
}

void ConsumerMember::work() {
  if (replaced_ && stage_.settling()) return end_process(false);
  if (epoch_ <= 0 || leaving_) return again(kIdleNs);
  if (!stage_.settling() && misbehave()) return;
  Partitions unknown, readable;
  for (const auto& [partition, position] : owned_) {
    if (revoking_.contains(partition) || stage_.gone(partition.topic)) continue;
    (position.offset < 0 ? unknown : readable).insert(partition);
  }
  if (!unknown.empty()) return find_positions(unknown);
  if (readable.empty()) return again(kIdleNs);
  auto chosen = readable.begin();
  std::advance(chosen, static_cast<std::ptrdiff_t>(stage_.random.below(readable.size())));
  read(*chosen);
}

// True if the process does something else than its work.
bool ConsumerMember::misbehave() {
  const ConsumerGroupOptions& options = stage_.options;
  testing::SeededRandom& random = stage_.random;
  if (replaced_ && random.one_in(10)) {
    leave(true);
    return true;
  }
  if (options.crashes && random.one_in(kRarely)) {
    stage_.oracle().happened(kConsumerCrashed);
    end_process(true);
    return true;
  }
  if (options.leaves && random.one_in(kRarely)) {
    const bool for_good = !random.one_in(3);
    leave(for_good);
    if (!for_good) again(kIdleNs);
    return true;
  }
  if (options.stalls && random.one_in(kRarely)) {
    const auto session_ns = options.session_timeout_ms * kMillisecond;
    if (!replaced_ && random.one_in(2)) {
      replaced_ = true;
      replace_(role_);
    }
    stall(static_cast<int64_t>(random.below(static_cast<uint64_t>(session_ns) * (random.one_in(2) ? 3 : 1) / 2)));
    again(0);
    return true;
  }
  if (options.resubscribes && random.one_in(kRarely / 3)) subscription_ = stage_.draw_subscription();
  return false;
}

// --- Positions

void ConsumerMember::find_positions(const Partitions& partitions) {
  testing::FetchOffsets fetched{group_, stage_.random.one_in(2), {}};
  std::map<Uuid, std::vector<int32_t>> by_topic;
  std::map<TopicPartition, uint64_t> grants;
  for (const TopicPartition& partition : partitions) {
    by_topic[partition.topic].push_back(partition.index);
    grants[partition] = owned_.at(partition).grant;
  }
  std::vector<protocol::OffsetFetchRequest::OffsetFetchRequestTopics> topics;
  for (auto& [id, indexes] : by_topic) {
    topics.emplace_back();
    if (stage_.options.topic_ids) topics.back().topic_id = id;
    if (!stage_.options.topic_ids) topics.back().name = stage_.topics.at(id).name;
    topics.back().partition_indexes = indexes;
  }
  protocol::OffsetFetchRequest::OffsetFetchRequestGroup asked;
  asked.group_id = role_.group;
  asked.member_id = member_id_;
  asked.member_epoch = epoch_;
  asked.topics = topics;
  protocol::OffsetFetchRequest request;
  request.groups = {&asked, 1};
  request.require_stable = fetched.stable;
  const OperationId id = stage_.history.invoke(client_, fetched);
  stage_.begin_request();
  const bool alone = !beating_ && missed_ == 0;
  data_.call<protocol::OffsetFetchResponse>(
      stage_.options.topic_ids ? 10 : 9, request,
      [this, id, fetched, grants, alone, beats = beats_, incarnation = incarnation_](const auto* response) {
        stage_.end_request();
        if (ended_) return;
        // A heartbeat may raise the epoch meanwhile.
        const bool judged = alone && beats == beats_ && incarnation == incarnation_;
        positions_found(response, AskedPositions{id, fetched, grants, judged});
      });
}

void ConsumerMember::positions_found(const protocol::OffsetFetchResponse* response, AskedPositions asked) {
  if (!response) return again(stage_.lost_ns());
  const auto& group = response->groups[0];
  if (group.error_code != 0) {
    stage_.history.fail(asked.id);
    const auto error = static_cast<ErrorCode>(group.error_code);
    if (elsewhere(error)) return find_coordinator(data_, [this] { work(); });
    if (asked.judged) judge_refusal("OffsetFetch", error);
    return again(kPauseNs);
  }
  for (const auto& topic : group.topics) {
    const Uuid id = stage_.options.topic_ids ? topic.topic_id : stage_.topic_id(topic.name);
    if (stage_.gone(id)) continue;
    for (const auto& answer : topic.partitions) {
      const TopicPartition partition{id, answer.partition_index};
      const auto grant = asked.grants.find(partition);
      if (grant == asked.grants.end() || answer.error_code != 0) {
        stage_.oracle().violation(fmt::format("{}: OffsetFetch got error {} for {}-{}", role_.group, answer.error_code,
                                              id.to_string(), partition.index));
        continue;
      }
      asked.fetched.offsets.push_back({stage_.name_of(partition), answer.committed_offset});
      Position* const found = position(partition, grant->second);
      if (found && found->offset < 0) found->offset = found->committed = std::max<int64_t>(0, answer.committed_offset);
    }
  }
  stage_.oracle().learned(asked.fetched.offsets.size());
  stage_.history.ok(asked.id, asked.fetched);
  again(kPauseNs);
}

// --- Records

void ConsumerMember::read(const TopicPartition& partition) {
  const Position& from = owned_.at(partition);
  protocol::FetchRequest::FetchPartition asked;
  asked.partition = partition.index;
  asked.fetch_offset = from.offset;
  asked.partition_max_bytes = static_cast<int32_t>(stage_.options.fetch_bytes);
  protocol::FetchRequest::FetchTopic topic;
  topic.topic_id = partition.topic;
  topic.partitions = {&asked, 1};
  protocol::FetchRequest request;
  request.max_wait_ms = 10;
  request.min_bytes = 1;
  request.topics = {&topic, 1};
  stage_.begin_request();
  data_.call<protocol::FetchResponse>(13, request,
                                      [this, partition, grant = from.grant, sent_ns = stage_.now_ns()](const auto* response) {
                                        stage_.end_request();
                                        if (ended_) return;
                                        if (!response || response->error_code != 0 || response->responses.empty())
                                          return again(kIdleNs);
                                        fetched(partition, grant, response->responses[0].partitions[0], sent_ns);
                                      });
}

void ConsumerMember::fetched(const TopicPartition& partition, uint64_t grant, const FetchedPartition& data, int64_t sent_ns) {
  Position* const at = position(partition, grant);
  if (data.error_code != 0 || !at || revoking_.contains(partition)) return again(kPauseNs);
  std::map<int64_t, uint64_t> records;
  std::string problem;
  if (!data.records.null && !collect_records(data.records.data, records, problem)) {
    stage_.oracle().violation("Fetch: " + problem);
  }
  for (const auto& [offset, payload] : records) {
    stage_.oracle().read(partition, offset, payload);
    if (offset < at->offset) continue;  // a batch comes as a whole
    if (offset > at->offset) {
      stage_.oracle().violation(fmt::format("{}: {}-{} goes on at {} instead of {}", role_.group, partition.topic.to_string(),
                                            partition.index, offset, at->offset));
    }
    at->offset = offset + 1;
  }
  if (at->offset >= data.high_watermark) at->at_end_ns = sent_ns;
  const bool finish = stage_.settling() && at->at_end_ns >= 0;
  if (committing_ || at->offset == at->committed || !(finish || stage_.random.one_in(3))) {
    return again(finish ? kIdleNs : kPauseNs);
  }
  commit({partition}, [this] { again(kPauseNs); });
}

// --- Commits

void ConsumerMember::commit(const Partitions& partitions, ConsumerStage::Step done) {
  testing::CommitOffsets operation{group_, epoch_, {}};
  Commit commit{.epoch = epoch_, .incarnation = incarnation_, .done = std::move(done)};
  std::map<Uuid, std::vector<protocol::OffsetCommitRequest::OffsetCommitRequestPartition>> by_topic;
  for (const TopicPartition& partition : partitions) {
    const Position& at = owned_.at(partition);
    commit.offsets.push_back({partition, at.offset, at.grant});
    operation.offsets.push_back({stage_.name_of(partition), at.offset});
    auto& list = by_topic[partition.topic];
    list.emplace_back();
    list.back().partition_index = partition.index;
    list.back().committed_offset = at.offset;
  }
  std::vector<protocol::OffsetCommitRequest::OffsetCommitRequestTopic> topics;
  for (auto& [id, list] : by_topic) {
    topics.emplace_back();
    if (stage_.options.topic_ids) topics.back().topic_id = id;
    if (!stage_.options.topic_ids) topics.back().name = stage_.topics.at(id).name;
    topics.back().partitions = list;
  }
  protocol::OffsetCommitRequest request;
  request.group_id = role_.group;
  request.generation_id_or_member_epoch = epoch_;
  request.member_id = member_id_;
  if (role_.instance) request.group_instance_id = *role_.instance;
  request.topics = topics;
  commit.id = stage_.history.invoke(client_, operation);
  committing_ = true;
  stage_.begin_request();
  data_.call<protocol::OffsetCommitResponse>(stage_.options.topic_ids ? 10 : 9, request, [this, commit](const auto* response) {
    stage_.end_request();
    if (!ended_) committed(response, commit);
  });
}

void ConsumerMember::committed(const protocol::OffsetCommitResponse* response, const Commit& commit) {
  std::map<TopicPartition, ErrorCode> errors;
  for (size_t i = 0; response && i < response->topics.size(); ++i) {
    const auto& topic = response->topics[i];
    const Uuid id = stage_.options.topic_ids ? topic.topic_id : stage_.topic_id(topic.name);
    for (const auto& partition : topic.partitions) {
      errors[{id, partition.partition_index}] = static_cast<ErrorCode>(partition.error_code);
    }
  }
  const auto moved = std::find_if(errors.begin(), errors.end(), [](const auto& each) { return elsewhere(each.second); });
  if (!response || moved != errors.end()) {
    if (response && moved->second == ErrorCode::kCoordinatorLoadInProgress) stage_.history.fail(commit.id);
    const auto next = [this, commit] { commit_again(commit); };
    return response ? find_coordinator(data_, next) : later(stage_.lost_ns(), next);
  }
  committing_ = false;
  // With a topic that is gone the coordinator may refuse the others, too.
  const bool judged = commit.incarnation == incarnation_ &&
                      std::none_of(commit.offsets.begin(), commit.offsets.end(),
                                   [this](const Commit::Offset& each) { return stage_.gone(each.partition.topic); });
  testing::CommitOffsets taken{group_, commit.epoch, {}};
  for (const auto& [partition, offset, grant] : commit.offsets) {
    const ErrorCode error = errors.at(partition);
    if (error != ErrorCode::kNone) {
      if (judged) judge_refusal("OffsetCommit", error);
      continue;
    }
    taken.offsets.push_back({stage_.name_of(partition), offset});
    if (Position* const at = position(partition, grant)) at->committed = offset;
  }
  taken.offsets.empty() ? stage_.history.fail(commit.id) : stage_.history.ok(commit.id, taken);
  stage_.oracle().learned(taken.offsets.size());
  commit.done();
}

// A commit without an answer holds up everything else: it must not arrive after a later one.
void ConsumerMember::commit_again(const Commit& before) {
  committing_ = false;
  Partitions still;
  for (const auto& [partition, offset, grant] : before.offsets) {
    if (position(partition, grant) && !stage_.gone(partition.topic)) still.insert(partition);
  }
  before.incarnation == incarnation_ && !still.empty() ? commit(still, before.done) : before.done();
}

}  // namespace weir::simulation
