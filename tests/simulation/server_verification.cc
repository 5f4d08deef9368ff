// The server scenario after a restart: the verifier asks for everything, and the oracle judges the answers.
#include <fmt/core.h>

#include <utility>

#include "protocol/errors.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/list_offsets.h"
#include "simulation/server_world.h"

namespace weir::simulation {

using protocol::ErrorCode;
using storage::PartitionId;

namespace {
constexpr int8_t kTopicConfigSource = 1;
}  // namespace

void ServerScenario::verify() {
  working_ = false;
  if (faults_.of_network()) verifier_.drop();  // its connection may be half-open
  ask_for_everything();
}

void ServerScenario::ask_for_everything() {
  verifying_ = 1;
  protocol::MetadataRequest request;
  request.topics = std::nullopt;
  verifier_.call<protocol::MetadataResponse>(13, request, [this, life = life_](const auto* response) {
    if (life != life_) return;
    // The connection of the last life may have been in use until now.
    if (!response) return ask_for_everything();
    check_topics(*response);
    ranges_.clear();
    check_offsets();
    check_configs();
    for (const auto& [id, topic] : topics_) {
      for (int32_t index = 0; index < options_.partitions; ++index) {
        ++verifying_;
        find_start({id, index});
      }
    }
  });
}

void ServerScenario::check_topics(const protocol::MetadataResponse& response) {
  std::set<Uuid> found;
  for (const auto& topic : response.topics) {
    if (topic.is_internal) continue;
    const std::string name(topic.name.value_or(""));
    found.insert(topic.topic_id);
    if (topic.error_code != 0) oracle_.violation(fmt::format("topic {} has error {}", name, topic.error_code));
    if (topic.partitions.size() != static_cast<size_t>(options_.partitions))
      oracle_.violation("topic " + name + " has lost partitions");
    for (const auto& partition : topic.partitions) {
      oracle_.never_back(fmt::format("leader epoch of {}-{}", topic.topic_id.to_string(), partition.partition_index),
                         partition.leader_epoch);
      check_epoch(topic.topic_id, partition.leader_epoch);
    }
    if (topics_.contains(topic.topic_id)) continue;
    if (creating_.contains(name)) {  // created, but the answer was lost
      oracle_.topic_create_requested(topic.topic_id);
      oracle_.topic_created(topic.topic_id);
      topics_[topic.topic_id] = {name, false};
    }
  }
  oracle_.topics_found(found);
  std::erase_if(topics_, [&](const auto& entry) {
    if (found.contains(entry.first)) return false;
    oracle_.topic_deleted(entry.first);  // a deletion that was seen holds for good
    return true;
  });
  if (!faults_.of_network()) creating_.clear();
}

// A crash may take records that were read under a leader epoch. Then the same epoch must not come again.
void ServerScenario::check_epoch(const Uuid& topic, int32_t epoch) {
  const auto [seen, first] = epochs_.emplace(topic, SeenEpoch{epoch, crashes_});
  if (!first && seen->second.crashes < crashes_ && epoch <= seen->second.epoch) {
    oracle_.violation(fmt::format("leader epoch {} of topic {} outlived a crash", epoch, topic.to_string()));
  }
  seen->second = {epoch, crashes_};
}

// Counts as one of the verifications under way.
void ServerScenario::check_offsets() {
  GroupOffsets::Names names;
  for (const auto& [id, topic] : topics_) {
    for (int32_t index = 0; index < options_.partitions; ++index) names.push_back({{id, index}, topic.name});
  }
  offsets_.check(verifier_, names, [this, life = life_](std::optional<ErrorCode> error) {
    if (life != life_) return;
    if (error && *error == ErrorCode::kNone) {
      --verifying_;
    } else if (error && GroupOffsets::retriable(*error)) {
      sim_.client_loop().schedule_after(kRetryNs, [this, life] {
        if (life != life_) return;
        GroupOffsets::find_coordinator(verifier_, [this, life](auto) {
          if (life == life_) check_offsets();
        });
      });
    } else {
      fail_life(error ? fmt::format("OffsetFetch got error {}", static_cast<int>(*error)) : "OffsetFetch breaks off");
    }
  });
}

void ServerScenario::check_configs() {
  for (const auto& [id, topic] : topics_) {
    ++verifying_;
    protocol::DescribeConfigsRequest::DescribeConfigsResource resource;
    std::string_view wanted = "retention.ms";
    resource.resource_type = kTopicResource;
    resource.resource_name = topic.name;
    resource.configuration_keys = std::span(&wanted, 1);
    protocol::DescribeConfigsRequest request;
    request.resources = {&resource, 1};
    verifier_.call<protocol::DescribeConfigsResponse>(
        4, request, [this, key = kRetention + id.to_string(), life = life_](const auto* response) {
          if (life != life_) return;
          if (!response) return fail_life("DescribeConfigs breaks off");
          const auto& result = response->results[0];
          if (result.error_code != 0) return fail_life(fmt::format("DescribeConfigs got error {}", result.error_code));
          const auto& config = result.configs[0];
          const bool own = config.config_source == kTopicConfigSource;
          oracle_.value_found(key, own ? std::string(config.value.value_or("")) : "");
          --verifying_;
        });
  }
}

void ServerScenario::find_start(const PartitionId& id) {
  constexpr int64_t kEarliest = -2;
  protocol::ListOffsetsRequest::ListOffsetsPartition partition;
  partition.partition_index = id.index;
  partition.timestamp = kEarliest;
  const std::string name = topics_.at(id.topic).name;
  protocol::ListOffsetsRequest::ListOffsetsTopic topic;
  topic.name = name;
  topic.partitions = {&partition, 1};
  protocol::ListOffsetsRequest request;
  request.replica_id = -1;
  request.topics = {&topic, 1};
  verifier_.call<protocol::ListOffsetsResponse>(7, request, [this, id, life = life_](const auto* response) {
    if (life != life_) return;
    if (!response) return fail_life("ListOffsets breaks off");
    const auto& result = response->topics[0].partitions[0];
    if (result.error_code != 0) return fail_life(fmt::format("ListOffsets got error {}", result.error_code));
    read_all(id, result.offset, std::make_shared<Oracle::Found>());
  });
}

void ServerScenario::read_all(const PartitionId& id, int64_t from, std::shared_ptr<Oracle::Found> found) {
  fetch(verifier_, id, from, [this, id, from, found, life = life_](const protocol::FetchResponse::PartitionData* data) {
    if (life != life_) return;
    if (!data) return fail_life("Fetch breaks off");
    if (data->error_code != 0) return fail_life(fmt::format("Fetch at {} got error {}", from, data->error_code));
    found->log_start = data->log_start_offset;
    found->high_watermark = data->high_watermark;
    std::string problem;
    if (!data->records.null && !collect_records(data->records.data, found->records, problem)) {
      return oracle_.violation("Fetch: " + problem);
    }
    const int64_t next = found->records.empty() ? from : std::max(from, found->records.rbegin()->first + 1);
    if (next < data->high_watermark && next > from) return read_all(id, next, found);
    if (next < data->high_watermark)
      return oracle_.violation(fmt::format("Fetch at {} is empty below {}", from, data->high_watermark));
    oracle_.found(name_of(id), *found);
    ranges_[id] = {found->log_start, found->high_watermark};
    --verifying_;
  });
}

}  // namespace weir::simulation
