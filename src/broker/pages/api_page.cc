#include "broker/pages/api_page.h"

#include <fmt/format.h>

#include "protocol/api.h"

namespace weir::broker {
namespace {

using protocol::ApiKey;

constexpr const char* kIntroduction = R"(# APIs and KIPs

Made from the broker's table of APIs (src/broker/handlers/registration.cc, see api_page.h); do not edit.

What is not served is not announced either, so clients that ask what a broker can do see it. Where an answer differs from Apache
Kafka's, [differences.md](differences.md) says so.

## APIs
*Kafka* is what version 4.4 serves to clients; APIs that its brokers and controllers use among themselves are not listed.

| key | API | Kafka | here | |
|---|---|---|---|---|
)";

struct Note {
  ApiKey key;
  const char* text;
};

constexpr Note kNotes[] = {
    {ApiKey::kProduce, "versions 0 to 2 are announced, as by Kafka, and not served"},
    {ApiKey::kDescribeAcls, "as Kafka without an authorizer: SECURITY_DISABLED"},
    {ApiKey::kCreateAcls, "likewise"},
    {ApiKey::kDeleteAcls, "likewise"},
    {ApiKey::kDescribeClientQuotas, "there are none"},
    {ApiKey::kAlterClientQuotas, "refused"},
    {ApiKey::kDescribeUserScramCredentials, "there are none"},
    {ApiKey::kAlterUserScramCredentials, "refused"},
    {ApiKey::kElectLeaders, "of one broker"},
    {ApiKey::kAlterPartitionReassignments, "of one broker"},
    {ApiKey::kListPartitionReassignments, "of one broker: there are none"},
    {ApiKey::kDescribeQuorum, "of one broker"},
    {ApiKey::kUnregisterBroker, "the broker itself cannot be unregistered"},
    {ApiKey::kGetTelemetrySubscriptions, "announced while there is a subscription"},
    {ApiKey::kPushTelemetry, "announced while there is a subscription"},
};

// The first version of an API that shows a proposal. Proposals without such a version are not listed.
struct Proposal {
  int number;
  const char* title;
  ApiKey key;
  int16_t version;
};

constexpr Proposal kProposals[] = {
    {98, "Idempotent producers", ApiKey::kInitProducerId, 0},
    {98, "Transactions", ApiKey::kAddPartitionsToTxn, 0},
    {107, "DeleteRecords", ApiKey::kDeleteRecords, 0},
    {110, "zstd", ApiKey::kProduce, 7},
    {113, "Several log directories", ApiKey::kAlterReplicaLogDirs, 1},
    {195, "CreatePartitions", ApiKey::kCreatePartitions, 0},
    {226, "Configuration of brokers at run time", ApiKey::kDescribeConfigs, 1},
    {227, "Incremental fetch sessions", ApiKey::kFetch, 7},
    {229, "DeleteGroups", ApiKey::kDeleteGroups, 0},
    {320, "Leader epochs checked by consumers", ApiKey::kFetch, 9},
    {339, "IncrementalAlterConfigs", ApiKey::kIncrementalAlterConfigs, 0},
    {345, "Static members of groups", ApiKey::kJoinGroup, 5},
    {394, "Member ids before joining", ApiKey::kJoinGroup, 4},
    {430, "Authorized operations", ApiKey::kMetadata, 8},
    {455, "Reassignment of partitions", ApiKey::kAlterPartitionReassignments, 0},
    {460, "ElectLeaders", ApiKey::kElectLeaders, 0},
    {464, "Defaults in CreateTopics", ApiKey::kCreateTopics, 4},
    {467, "Errors of single records", ApiKey::kProduce, 8},
    {482, "Tagged fields", ApiKey::kMetadata, 9},
    {496, "Deletion of committed offsets", ApiKey::kOffsetDelete, 0},
    {511, "Names of client software", ApiKey::kApiVersions, 3},
    {516, "Topic ids", ApiKey::kFetch, 13},
    {518, "ListGroups by state", ApiKey::kListGroups, 4},
    {525, "Configs in the answer to CreateTopics", ApiKey::kCreateTopics, 5},
    {546, "Client quotas described", ApiKey::kDescribeClientQuotas, 0},
    {554, "SCRAM credentials described", ApiKey::kDescribeUserScramCredentials, 0},
    {559, "Protocol type in SyncGroup", ApiKey::kSyncGroup, 5},
    {569, "Types and documentation of configs", ApiKey::kDescribeConfigs, 3},
    {584, "Features", ApiKey::kUpdateFeatures, 0},
    {664, "Producers described", ApiKey::kDescribeProducers, 0},
    {664, "Transactions described", ApiKey::kDescribeTransactions, 0},
    {699, "Coordinators in batches", ApiKey::kFindCoordinator, 4},
    {700, "DescribeCluster", ApiKey::kDescribeCluster, 0},
    {709, "Offsets of several groups", ApiKey::kOffsetFetch, 8},
    {714, "Metrics of clients", ApiKey::kGetTelemetrySubscriptions, 0},
    {734, "Offset of the largest timestamp", ApiKey::kListOffsets, 7},
    {800, "Reasons for joining and leaving", ApiKey::kJoinGroup, 8},
    {827, "Size of log directories", ApiKey::kDescribeLogDirs, 4},
    {848, "Consumer groups of the newer protocol", ApiKey::kConsumerGroupHeartbeat, 0},
    {932, "Share groups", ApiKey::kShareGroupHeartbeat, 1},
    {966, "DescribeTopicPartitions", ApiKey::kDescribeTopicPartitions, 0},
    {1043, "DescribeGroups tells of unknown groups", ApiKey::kDescribeGroups, 6},
    {1071, "Streams groups", ApiKey::kStreamsGroupHeartbeat, 0},
    {1142, "Resources that have configs", ApiKey::kListConfigResources, 1},
    {1242, "Clients that are sent to another cluster", ApiKey::kApiVersions, 5},
};

bool between_brokers(int16_t key) {
  switch (static_cast<ApiKey>(key)) {
    case ApiKey::kWriteTxnMarkers:
    case ApiKey::kInitializeShareGroupState:
    case ApiKey::kReadShareGroupState:
    case ApiKey::kWriteShareGroupState:
    case ApiKey::kDeleteShareGroupState:
    case ApiKey::kReadShareGroupStateSummary:
      return true;
    default:
      return false;
  }
}

std::string versions(int low, int high) { return low == high ? std::to_string(low) : fmt::format("{} to {}", low, high); }

const char* note_of(int16_t key) {
  for (const Note& note : kNotes) {
    if (static_cast<int16_t>(note.key) == key) return note.text;
  }
  return "";
}

}  // namespace

std::string api_page(const Dispatcher& dispatcher) {
  std::string page = kIntroduction;
  const auto apis = protocol::api_table();
  for (size_t i = 0; i < apis.size(); ++i) {
    const protocol::Api& api = apis[i];
    const auto key = static_cast<int16_t>(i);
    if (!api.served || between_brokers(key)) continue;
    const ApiRoute* const route = dispatcher.route(key);
    page += fmt::format("| {} | {} | {} | {} | {} |\n", key, api.name, versions(api.min_version, api.max_stable_version),
                        route ? versions(route->min_version, route->max_version) : "not served", note_of(key));
  }
  page +=
      "\n## KIPs\nProposals that can be seen in the protocol, by the API and its first version that show them.\n\n"
      "| KIP | what | seen in | |\n|---|---|---|---|\n";
  for (const Proposal& each : kProposals) {
    const ApiRoute* const route = dispatcher.route(static_cast<int16_t>(each.key));
    const bool served = route != nullptr && each.version >= route->min_version && each.version <= route->max_version;
    page += fmt::format("| {} | {} | {} {} | {} |\n", each.number, each.title, protocol::api_name(each.key), each.version,
                        served ? "served" : "not served");
  }
  return page;
}

}  // namespace weir::broker
