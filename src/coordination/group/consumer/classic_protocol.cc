#include "coordination/group/consumer/classic_protocol.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "protocol/messages/consumer_protocol.h"

namespace weir::coordination {
namespace {

constexpr int16_t kHighestVersion = protocol::ConsumerProtocolSubscription::kMaxVersion;
constexpr size_t kArenaBytes = size_t{16} << 20;

// Versions that are not known yet add fields behind those of the highest that is.
template <typename Message>
Result<int16_t> decode(protocol::Reader& reader, Message& message) {
  const int16_t version = reader.i16();
  if (!reader.ok() || version < 0 || !message.decode(reader, std::min(version, kHighestVersion))) {
    return fail(ErrorCode::kInvalid,
                fmt::format("not the consumer protocol: {}", reader.ok() ? "unknown version" : reader.error()));
  }
  return version;
}

template <typename Topics>
Assignment known_partitions(const Topics& topics, const Image& image) {
  Assignment assignment;
  for (const auto& of : topics) {
    const auto topic = image.topic(of.topic);
    if (!topic) continue;
    TopicPartitions& known = assignment.emplace_back(topic->id);
    for (const int32_t index : of.partitions) {
      if (index >= 0 && index < topic->partition_count) known.partitions.push_back(index);
    }
    if (known.partitions.empty()) assignment.pop_back();
  }
  std::sort(assignment.begin(), assignment.end(), [](const auto& a, const auto& b) { return a.topic_id < b.topic_id; });
  Assignment merged;
  for (TopicPartitions& of : assignment) {
    if (merged.empty() || merged.back().topic_id != of.topic_id) merged.push_back({of.topic_id, {}});
    std::vector<int32_t>& partitions = merged.back().partitions;
    partitions.insert(partitions.end(), of.partitions.begin(), of.partitions.end());
  }
  for (TopicPartitions& of : merged) {
    std::sort(of.partitions.begin(), of.partitions.end());
    of.partitions.erase(std::unique(of.partitions.begin(), of.partitions.end()), of.partitions.end());
  }
  return merged;
}

}  // namespace

Result<ClassicSubscription> parse_classic_subscription(std::string_view bytes, const Image& image) {
  protocol::Arena arena(kArenaBytes);
  protocol::Reader reader(as_bytes(bytes), arena);
  protocol::ConsumerProtocolSubscription message;
  const auto version = decode(reader, message);
  if (!version) return std::unexpected(version.error());
  ClassicSubscription subscription;
  subscription.version = *version;
  subscription.topics.assign(message.topics.begin(), message.topics.end());
  std::sort(subscription.topics.begin(), subscription.topics.end());
  subscription.topics.erase(std::unique(subscription.topics.begin(), subscription.topics.end()), subscription.topics.end());
  if (message.rack_id) subscription.rack_id = std::string(*message.rack_id);
  subscription.owned = known_partitions(message.owned_partitions, image);
  return subscription;
}

Result<ClassicAssignment> parse_classic_assignment(std::string_view bytes, const Image& image) {
  ClassicAssignment assignment;
  if (bytes.empty()) return assignment;
  protocol::Arena arena(kArenaBytes);
  protocol::Reader reader(as_bytes(bytes), arena);
  protocol::ConsumerProtocolAssignment message;
  if (const auto version = decode(reader, message); !version) return std::unexpected(version.error());
  assignment.partitions = known_partitions(message.assigned_partitions, image);
  assignment.has_user_data = message.user_data && !message.user_data->empty();
  return assignment;
}

std::string encode_classic_assignment(Assignment assignment, std::string_view subscription, const Image& image) {
  protocol::Arena arena(kArenaBytes);
  protocol::Reader reader(as_bytes(subscription), arena);
  const int16_t told = reader.i16();
  const int16_t version = std::clamp(reader.ok() ? told : int16_t{0}, int16_t{0}, kHighestVersion);
  std::vector<std::string> names;
  names.reserve(assignment.size());
  std::vector<protocol::ConsumerProtocolAssignment::TopicPartition> topics;
  for (TopicPartitions& of : assignment) {
    const auto name = image.topic_name(of.topic_id);
    if (!name) continue;
    topics.push_back({names.emplace_back(*name), of.partitions});
  }
  protocol::ConsumerProtocolAssignment message;
  message.assigned_partitions = topics;
  protocol::Writer writer;
  writer.i16(version);
  message.encode(writer, version);
  WEIR_CHECK(writer.ok());
  return std::string(as_string(writer.bytes()));
}

}  // namespace weir::coordination
