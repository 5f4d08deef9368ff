#include "simulation/group_offsets.h"

#include <fmt/core.h>

#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_fetch.h"

namespace weir::simulation {

using protocol::ErrorCode;
using storage::PartitionId;

namespace {

std::string group_name(uint64_t group) { return "group-" + std::to_string(group); }

}  // namespace

std::string GroupOffsets::key(uint64_t group, const PartitionId& partition) const {
  return fmt::format("offset of {}, {}-{}", group_name(group), partition.topic.to_string(), partition.index);
}

bool GroupOffsets::retriable(ErrorCode error) {
  return error == ErrorCode::kNotCoordinator || error == ErrorCode::kCoordinatorNotAvailable ||
         error == ErrorCode::kCoordinatorLoadInProgress;
}

void GroupOffsets::find_coordinator(KafkaClient& connection, Done done) {
  const std::string group = group_name(0);
  std::string_view wanted = group;
  protocol::FindCoordinatorRequest request;
  request.coordinator_keys = {&wanted, 1};
  connection.call<protocol::FindCoordinatorResponse>(4, request, [done = std::move(done)](const auto* response) mutable {
    if (!response) return done(std::nullopt);
    done(static_cast<ErrorCode>(response->coordinators[0].error_code));
  });
}

void GroupOffsets::commit(KafkaClient& connection, uint64_t group, const PartitionId& id, Done done) {
  const std::string value = std::to_string(next_offset_), name = group_name(group);
  oracle_.value_requested(key(group, id), value);
  last_commit_ = {group, id};
  protocol::OffsetCommitRequest::OffsetCommitRequestPartition partition;
  partition.partition_index = id.index;
  partition.committed_offset = next_offset_++;
  protocol::OffsetCommitRequest::OffsetCommitRequestTopic topic;
  topic.topic_id = id.topic;
  topic.partitions = {&partition, 1};
  protocol::OffsetCommitRequest request;
  request.group_id = name;
  request.topics = {&topic, 1};
  connection.call<protocol::OffsetCommitResponse>(
      10, request, [this, key = key(group, id), value, done = std::move(done)](const auto* response) mutable {
        if (!response) return done(std::nullopt);
        const auto error = static_cast<ErrorCode>(response->topics[0].partitions[0].error_code);
        if (error == ErrorCode::kNone) oracle_.value_acked(key, value);
        done(error);
      });
}

void GroupOffsets::topic_may_go(const Uuid& topic, int32_t partitions) {
  for (uint64_t group = 0; group < kGroups; ++group) {
    for (int32_t index = 0; index < partitions; ++index) oracle_.value_requested(key(group, {topic, index}), "");
  }
}

void GroupOffsets::look(KafkaClient& connection, uint64_t group, const PartitionId& id, Done done) {
  const std::string name = group_name(group);
  int32_t index = id.index;
  protocol::OffsetFetchRequest::OffsetFetchRequestTopics topic;
  topic.topic_id = id.topic;
  topic.partition_indexes = {&index, 1};
  protocol::OffsetFetchRequest::OffsetFetchRequestGroup asked;
  asked.group_id = name;
  asked.topics = {&topic, 1};
  protocol::OffsetFetchRequest request;
  request.groups = {&asked, 1};
  connection.call<protocol::OffsetFetchResponse>(10, request,
                                                 [this, key = key(group, id), version = oracle_.value_version(key(group, id)),
                                                  done = std::move(done)](const auto* response) mutable {
                                                   if (!response) return done(std::nullopt);
                                                   if (response->groups[0].error_code != 0)
                                                     return done(static_cast<ErrorCode>(response->groups[0].error_code));
                                                   const auto& partition = response->groups[0].topics[0].partitions[0];
                                                   const auto error = static_cast<ErrorCode>(partition.error_code);
                                                   const int64_t offset = partition.committed_offset;
                                                   if (error == ErrorCode::kNone)
                                                     oracle_.value_read(key, offset < 0 ? "" : std::to_string(offset), version);
                                                   done(error);
                                                 });
}

void GroupOffsets::check(KafkaClient& connection, const Names& partitions, Done done) {
  protocol::Arena arena;
  protocol::OffsetFetchRequest request;
  request.groups = arena.array<protocol::OffsetFetchRequest::OffsetFetchRequestGroup>(kGroups);
  std::vector<std::string> names;
  for (uint64_t i = 0; i < kGroups; ++i) names.push_back(group_name(i));
  for (uint64_t i = 0; i < kGroups; ++i) {
    auto topics = arena.array<protocol::OffsetFetchRequest::OffsetFetchRequestTopics>(partitions.size());
    for (size_t k = 0; k < partitions.size(); ++k) {
      topics[k].name = partitions[k].second;
      topics[k].partition_indexes = arena.array<int32_t>(1);
      topics[k].partition_indexes[0] = partitions[k].first.index;
    }
    request.groups[i].group_id = names[i];
    request.groups[i].topics = topics;
  }
  connection.call<protocol::OffsetFetchResponse>(
      9, request, [this, partitions, done = std::move(done)](const auto* response) mutable {
        if (!response) return done(std::nullopt);
        for (const auto& group : response->groups) {
          if (group.error_code != 0) return done(static_cast<ErrorCode>(group.error_code));
        }
        for (uint64_t i = 0; i < kGroups; ++i) {
          for (size_t k = 0; k < partitions.size(); ++k) {
            const int64_t offset = response->groups[i].topics[k].partitions[0].committed_offset;
            oracle_.value_found(key(i, partitions[k].first), offset < 0 ? "" : std::to_string(offset));
          }
        }
        done(ErrorCode::kNone);
      });
}

}  // namespace weir::simulation
