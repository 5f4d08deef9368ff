#include "simulation/group_member.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/heartbeat.h"
#include "protocol/messages/leave_group.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/sync_group.h"
#include "simulation/log_clients.h"

namespace weir::simulation {

using protocol::ErrorCode;

namespace {
constexpr int64_t kPauseNs = 4 * runtime::kMillisecond;
constexpr int64_t kRetryNs = 40 * runtime::kMillisecond;
constexpr int64_t kHeartbeatNs = 30 * runtime::kMillisecond;
constexpr std::string_view kProtocolType = "simulation", kProtocol = "round-robin";
}  // namespace

void ConsumerGroup::synced(int32_t generation, int32_t at_least, const std::string& member, const std::string& partitions) {
  if (generation < at_least) {
    oracle_.violation(fmt::format("{}: generation {} after {}", name_, generation, at_least));
  }
  synced_generation_ = std::max(synced_generation_, generation);
  const auto& given = assignments_[generation];
  const bool known = std::any_of(given.begin(), given.end(), [&](const Assignment& assignment) {
    const auto own = assignment.find(member);
    return own != assignment.end() && own->second == partitions;
  });
  if (!known) oracle_.violation(fmt::format("{}: {} got an assignment that no leader made", name_, member));
  for (const char partition : partitions) {
    const auto [owner, first] = owners_.emplace(std::pair(generation, partition), member);
    if (!first && owner->second != member) {
      oracle_.violation(fmt::format("{}: two members own partition {} in generation {}", name_, partition, generation));
    }
  }
  oracle_.happened(kGroupRebalanced);
}

void ConsumerGroup::commit_acked(int32_t partition, int64_t offset) {
  committed_[partition] = std::max(committed_[partition], offset);
  oracle_.never_back(fmt::format("committed offset of {}, {}", name_, partition), committed_[partition]);
}

void ConsumerGroup::commit_found(int32_t partition, int64_t offset, int64_t at_least) {
  if (std::max<int64_t>(offset, 0) < at_least) {
    oracle_.violation(fmt::format("{}: offset of partition {} went from {} back to {}", name_, partition, at_least, offset));
  }
  if (offset >= 0 && !requested_[partition].contains(offset)) {
    oracle_.violation(fmt::format("{}: offset {} of partition {} was never committed", name_, offset, partition));
  }
  commit_acked(partition, std::max<int64_t>(offset, 0));
}

GroupMember::GroupMember(runtime::Loop& loop, ConsumerGroup& group, testing::SeededRandom random, MemberOptions options,
                         std::function<std::optional<Uuid>()> topic)
    : loop_(loop), group_(group), random_(random), options_(options), topic_(std::move(topic)), connection_(loop) {
  connection_.set_timeout(options.timeout_ns);
}

void GroupMember::start() { again(static_cast<int64_t>(random_.below(kRetryNs))); }

void GroupMember::settle(int64_t now_ns) {
  settling_since_ns_ = now_ns;
  options_.crashes = options_.leaves = false;
}

bool GroupMember::settled() {
  if (!joined_ || !positioned_) return false;
  return std::all_of(positions_.begin(), positions_.end(), [&](const auto& entry) {
    const Position& position = entry.second;
    return position.at_end_ns >= settling_since_ns_ && position.committed == position.offset;
  });
}

void GroupMember::again(int64_t delay_ns) {
  loop_.schedule_after(delay_ns, [this] { act(); });
}

void GroupMember::act() {
  if (!topic_()) return again(kRetryNs);
  if (!joined_) return join();
  if (!positioned_) return find_offsets();
  if (options_.crashes && random_.one_in(60)) return crash();
  if (options_.leaves && random_.one_in(60)) return leave();
  if (loop_.clock().monotonic_ns() >= heartbeat_due_ns_) return heartbeat();
  read();
}

void GroupMember::crash() {
  group_.oracle().happened(kMemberCrashed);
  connection_.drop();
  joined_ = false;
  member_id_.clear();
  again(static_cast<int64_t>(random_.below(500 * runtime::kMillisecond)));
}

void GroupMember::troubled(std::optional<int16_t> error) {
  joined_ = false;
  // A commit may still be on its way. So the member comes back under another id.
  if (!error) member_id_.clear();
  if (!error) return again(kRetryNs);
  const auto code = static_cast<ErrorCode>(*error);
  if (code == ErrorCode::kUnknownMemberId || code == ErrorCode::kIllegalGeneration) member_id_.clear();
  if (code == ErrorCode::kNotCoordinator || code == ErrorCode::kCoordinatorNotAvailable ||
      code == ErrorCode::kCoordinatorLoadInProgress) {
    const std::string& name = group_.name();
    std::string_view wanted = name;
    protocol::FindCoordinatorRequest request;
    request.coordinator_keys = {&wanted, 1};
    connection_.call<protocol::FindCoordinatorResponse>(4, request, [this](const auto*) { again(kRetryNs); });
    return;
  }
  const bool expected = code == ErrorCode::kRebalanceInProgress || code == ErrorCode::kUnknownMemberId ||
                        code == ErrorCode::kIllegalGeneration || code == ErrorCode::kMemberIdRequired;
  if (!expected) group_.oracle().violation(fmt::format("{}: a member got error {}", group_.name(), *error));
  again(kPauseNs);
}

void GroupMember::join() {
  protocol::JoinGroupRequest::JoinGroupRequestProtocol protocol;
  protocol.name = kProtocol;
  protocol::JoinGroupRequest request;
  request.group_id = group_.name();
  request.session_timeout_ms = options_.session_timeout_ms;
  request.rebalance_timeout_ms = options_.session_timeout_ms;
  request.member_id = member_id_;
  request.protocol_type = kProtocolType;
  request.protocols = {&protocol, 1};
  connection_.call<protocol::JoinGroupResponse>(9, request, [this, known = group_.synced_generation()](const auto* response) {
    if (!response) return troubled(std::nullopt);
    if (!response->member_id.empty()) member_id_ = response->member_id;
    if (response->error_code != 0) return troubled(response->error_code);
    joined(*response, known);
  });
}

void GroupMember::joined(const protocol::JoinGroupResponse& response, int32_t known) {
  generation_ = response.generation_id;
  const bool leader = response.leader == member_id_ && !response.skip_assignment;
  ConsumerGroup::Assignment assignment;
  if (leader) {
    for (const auto& member : response.members) assignment[std::string(member.member_id)];
    auto next = assignment.begin();
    for (int32_t i = 0; i < group_.partitions() && !assignment.empty(); ++i) {
      next->second += static_cast<char>('0' + i);
      if (++next == assignment.end()) next = assignment.begin();
    }
    group_.assigned(generation_, assignment);
  }
  sync(known, leader, assignment);
}

void GroupMember::sync(int32_t known, bool leader, const ConsumerGroup::Assignment& assignment) {
  std::vector<protocol::SyncGroupRequest::SyncGroupRequestAssignment> assignments;
  for (const auto& [member, partitions] : assignment) {
    assignments.emplace_back();
    assignments.back().member_id = member;
    assignments.back().assignment = as_bytes(partitions);
  }
  protocol::SyncGroupRequest request;
  request.group_id = group_.name();
  request.generation_id = generation_;
  request.member_id = member_id_;
  request.protocol_type = kProtocolType;
  request.protocol_name = kProtocol;
  if (leader) request.assignments = assignments;
  connection_.call<protocol::SyncGroupResponse>(5, request, [this, known](const auto* response) {
    if (!response) return troubled(std::nullopt);
    if (response->error_code != 0) return troubled(response->error_code);
    assignment_ = as_string(response->assignment);
    group_.synced(generation_, known, member_id_, assignment_);
    joined_ = true;
    positioned_ = false;
    heartbeat_due_ns_ = 0;
    act();
  });
}

void GroupMember::find_offsets() {
  positions_.clear();
  positioned_ = assignment_.empty();
  if (positioned_) return again(kPauseNs);
  std::vector<int32_t> indexes;
  std::map<int32_t, int64_t> known;
  for (const char partition : assignment_) {
    indexes.push_back(partition - '0');
    known[indexes.back()] = group_.committed(indexes.back());
  }
  protocol::OffsetFetchRequest::OffsetFetchRequestTopics topic;
  topic.topic_id = *topic_();
  topic.partition_indexes = indexes;
  protocol::OffsetFetchRequest::OffsetFetchRequestGroup group;
  group.group_id = group_.name();
  group.topics = {&topic, 1};
  protocol::OffsetFetchRequest request;
  request.groups = {&group, 1};
  connection_.call<protocol::OffsetFetchResponse>(10, request, [this, known](const auto* response) {
    if (!response) return troubled(std::nullopt);
    const auto& answer = response->groups[0];
    if (answer.error_code != 0) return troubled(answer.error_code);
    for (const auto& partition : answer.topics[0].partitions) {
      if (partition.error_code != 0) return troubled(partition.error_code);
      const int64_t offset = partition.committed_offset;
      group_.commit_found(partition.partition_index, offset, known.at(partition.partition_index));
      positions_[partition.partition_index] = {std::max<int64_t>(offset, 0), std::max<int64_t>(offset, 0), -1};
    }
    positioned_ = true;
    act();
  });
}

void GroupMember::heartbeat() {
  protocol::HeartbeatRequest request;
  request.group_id = group_.name();
  request.generation_id = generation_;
  request.member_id = member_id_;
  connection_.call<protocol::HeartbeatResponse>(4, request, [this](const auto* response) {
    if (!response) return troubled(std::nullopt);
    if (response->error_code != 0) return troubled(response->error_code);
    heartbeat_due_ns_ = loop_.clock().monotonic_ns() + kHeartbeatNs;
    again(kPauseNs);
  });
}

void GroupMember::read() {
  if (positions_.empty()) return again(kHeartbeatNs);
  auto chosen = positions_.begin();
  std::advance(chosen, random_.below(positions_.size()));
  protocol::FetchRequest::FetchPartition partition;
  partition.partition = chosen->first;
  partition.fetch_offset = chosen->second.offset;
  partition.partition_max_bytes = 20'000;
  protocol::FetchRequest::FetchTopic topic;
  topic.topic_id = *topic_();
  topic.partitions = {&partition, 1};
  protocol::FetchRequest request;
  request.max_wait_ms = 10;
  request.min_bytes = 1;
  request.topics = {&topic, 1};
  const int64_t now_ns = loop_.clock().monotonic_ns();
  connection_.call<protocol::FetchResponse>(13, request, [this, index = chosen->first, now_ns](const auto* response) {
    if (!response) return troubled(std::nullopt);
    if (response->error_code != 0 || response->responses.empty()) return again(kRetryNs);
    fetched(index, now_ns, response->responses[0].partitions[0]);
  });
}

void GroupMember::fetched(int32_t partition, int64_t sent_ns, const Result& data) {
  if (data.error_code != 0) return again(kRetryNs);
  Position& position = positions_.at(partition);
  const TopicPartition name{*topic_(), partition};
  std::map<int64_t, uint64_t> records;
  std::string problem;
  Oracle& oracle = group_.oracle();
  if (!data.records.null && !collect_records(data.records.data, records, problem)) oracle.violation("Fetch: " + problem);
  for (const auto& [offset, payload] : records) {
    oracle.read(name, offset, payload);
    if (offset < position.offset) continue;  // a batch comes as a whole
    if (offset > position.offset) {
      oracle.violation(
          fmt::format("{}: partition {} goes on at {} instead of {}", group_.name(), partition, offset, position.offset));
    }
    position.offset = offset + 1;
  }
  if (position.offset >= data.high_watermark) position.at_end_ns = sent_ns;
  const bool all = settling_since_ns_ >= 0 && position.at_end_ns >= 0;
  if (position.offset > position.committed && (all || random_.one_in(3))) return commit(partition);
  again(kPauseNs);
}

void GroupMember::commit(int32_t partition) {
  const int64_t offset = positions_.at(partition).offset;
  group_.commit_requested(partition, offset);
  protocol::OffsetCommitRequest::OffsetCommitRequestPartition committed;
  committed.partition_index = partition;
  committed.committed_offset = offset;
  protocol::OffsetCommitRequest::OffsetCommitRequestTopic topic;
  topic.topic_id = *topic_();
  topic.partitions = {&committed, 1};
  protocol::OffsetCommitRequest request;
  request.group_id = group_.name();
  request.generation_id_or_member_epoch = generation_;
  request.member_id = member_id_;
  request.topics = {&topic, 1};
  connection_.call<protocol::OffsetCommitResponse>(10, request, [this, partition, offset](const auto* response) {
    if (!response) return troubled(std::nullopt);
    const int16_t error = response->topics[0].partitions[0].error_code;
    if (error != 0) return troubled(error);
    group_.commit_acked(partition, offset);
    positions_.at(partition).committed = offset;
    again(kPauseNs);
  });
}

void GroupMember::leave() {
  protocol::LeaveGroupRequest::MemberIdentity self;
  self.member_id = member_id_;
  protocol::LeaveGroupRequest request;
  request.group_id = group_.name();
  request.members = {&self, 1};
  connection_.call<protocol::LeaveGroupResponse>(5, request, [this](const auto*) {
    joined_ = false;
    member_id_.clear();
    again(kRetryNs);
  });
}

}  // namespace weir::simulation
