#include "protocol/messages/offset_fetch.h"

#include <algorithm>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "broker/handlers/group_handlers.h"
#include "broker/requests/topic_resolver.h"

namespace weir::broker {
namespace {

using coordination::FetchedOffset;
using coordination::OffsetFetchResult;
using protocol::ErrorCode;
using protocol::OffsetFetchResponse;

// A name that no topic can have has no offset either, but is no error.
constexpr TopicNaming kNaming{.ids_from = 10, .invalid_names = InvalidNames::kTold};

// One topic of the answer: partitions [first, first + count) of the group's.
struct TopicPart {
  std::string name;
  Uuid id;
  size_t first = 0;
  size_t count = 0;
};

struct GroupPart {
  std::string group_id;
  bool all = false;
  coordination::OffsetFetchRequest request;
  std::vector<TopicPart> topics;
  std::vector<FetchedOffset> offsets;  // in the order of topics
  std::vector<ErrorCode> errors;       // of each of them
  std::vector<size_t> asked;           // offsets that the coordinator knows, in the order of request.items
  ErrorCode error{};                   // of a group that the client may not describe: set before any request
};

class OffsetFetch final : public runtime::Homebound {
 public:
  OffsetFetch(GroupCoordinators& groups, RequestContextPtr context)
      : Homebound(context->loop()), coordinators_(groups), home_(context->loop().index()), context_(std::move(context)) {}

  void start() {
    protocol::OffsetFetchRequest request;
    if (!context_->decode(request)) return;
    image_ = coordinators_.broker().shard(home_).image;
    require_stable_ = request.require_stable;
    if (context_->version() >= 8) {
      for (const auto& group : request.groups) {
        if (!add_group(group.group_id, group.topics)) continue;
        groups_.back().request.member_id = owned(group.member_id);
        groups_.back().request.member_epoch = group.member_epoch;
      }
    } else {
      add_group(request.group_id, request.topics);
    }
    if (!context_->reserve(std::min(answer_bytes(), context_->most_answer_bytes()))) return;
    pending_ = groups_.size() + 1;
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (groups_[i].error == ErrorCode::kNone) ask(i);
      else arrived();
    }
    arrived();
  }

 private:
  // Returns whether it was not named before.
  template <typename Topics>
  bool add_group(std::string_view group_id, const Topics& topics) {
    if (!named_groups_.insert(group_id).second) return false;
    named_partitions_.clear();
    GroupPart& group = groups_.emplace_back();
    group.group_id = group.request.group_id = group_id;
    group.all = group.request.all = !topics.has_value();
    group.request.require_stable = require_stable_;
    group.error = GroupResolver(*context_).error_of(group_id);
    if (!group.all) {
      for (const auto& topic : *topics) add_topic(group, topic);
    }
    return true;
  }
  template <typename AskedTopic>
  void add_topic(GroupPart& group, const AskedTopic& asked) {
    TopicPart& part = group.topics.emplace_back();
    part.name = asked.name;
    if constexpr (requires { asked.topic_id; }) part.id = asked.topic_id;
    const TopicResolver topics(*context_, *image_, kNaming);
    const ResolvedTopic topic = topics.find(part.name, part.id);
    part.first = group.offsets.size();
    std::string_view key = asked.name;
    if constexpr (requires { asked.topic_id; }) {
      if (topics.by_id()) key = as_string(asked.topic_id.bytes);
    }
    // Nobody can have committed for such a name, and it may be long.
    const bool told = topic.error == ErrorCode::kUnknownTopicId || topic.error == ErrorCode::kTopicAuthorizationFailed;
    const bool known = topic.error == ErrorCode::kNone || topic.error == ErrorCode::kUnknownTopicOrPartition;
    for (const int32_t partition : asked.partition_indexes) {
      // Once: the metadata of an offset may be long.
      if (!named_partitions_.emplace(key, partition).second) continue;
      ++part.count;
      FetchedOffset& offset = group.offsets.emplace_back();
      offset.partition = partition;
      group.errors.push_back(told ? topic.error : ErrorCode::kNone);
      if (!known) continue;
      // Offsets of a topic are gone with it, but for those that have no topic id.
      group.request.items.push_back({topic ? topic->name() : part.name, topic ? topic->id() : Uuid{{0xff}}, partition});
      group.asked.push_back(group.offsets.size() - 1);
      name_bytes_ += part.name.size();
    }
  }

  // At most: with metadata for every offset.
  uint64_t answer_bytes() const {
    const auto metadata = static_cast<uint64_t>(coordinators_.broker().config().integer("offset.metadata.max.bytes"));
    uint64_t partitions = 0;
    for (const GroupPart& group : groups_) {
      if (group.error != ErrorCode::kNone) continue;
      if (group.all) return coordinators_.answer_bytes() + 2 * name_bytes_;
      partitions += group.asked.size();
    }
    return std::min(3 * partitions * metadata, coordinators_.answer_bytes()) + 2 * name_bytes_;
  }

  void ask(size_t index) {
    GroupPart& group = groups_[index];
    auto request = std::move(group.request);
    coordinators_.call<OffsetFetchResult>(
        home_, group.group_id,
        reply_on<OffsetFetchResult>(coordinators_, home_,
                                    [self = runtime::HomeRef(this), index](OffsetFetchResult& result) {
                                      self->take(self->groups_[index], result);
                                      self->arrived();
                                    }),
        [request = std::move(request)](auto& state, auto reply, auto, auto& effects) {
          state.fetch_offsets(request, std::move(reply), effects);
        });
  }

  void take(GroupPart& group, OffsetFetchResult& result) {
    group.error = result.error;
    if (result.error != ErrorCode::kNone) return;
    if (!group.all) {
      for (size_t i = 0; i < group.asked.size(); ++i) {
        group.errors[group.asked[i]] = result.items[i].error;
        group.offsets[group.asked[i]] = std::move(result.items[i]);
      }
      return;
    }
    const TopicResolver topics(*context_, *image_, kNaming);
    for (FetchedOffset& offset : result.items) {
      if (!topics.may(offset.topic)) continue;
      const Topic* topic = image_->find(offset.topic);
      const bool gone = offset.topic_id.is_zero() ? false : topic == nullptr || topic->id() != offset.topic_id;
      if (gone || (topic == nullptr && context_->version() >= kNaming.ids_from)) continue;
      if (group.topics.empty() || group.topics.back().name != offset.topic) {
        group.topics.push_back({offset.topic, topic ? topic->id() : Uuid(), group.offsets.size(), 0});
      }
      ++group.topics.back().count;
      group.errors.push_back(offset.error);
      group.offsets.push_back(std::move(offset));
    }
  }

  void arrived() {
    if (--pending_ > 0) return;
    OffsetFetchResponse response;
    if (context_->version() < 8) {
      GroupPart& group = groups_[0];
      // Version 1 has the error in each partition only.
      if (context_->version() >= 2) response.error_code = code(group.error);
      if (group.error == ErrorCode::kNone || context_->version() < 2) {
        response.topics =
            topics_of<OffsetFetchResponse::OffsetFetchResponseTopic, OffsetFetchResponse::OffsetFetchResponsePartition>(group);
      }
      return context_->respond(response);
    }
    response.groups = context_->arena().array<OffsetFetchResponse::OffsetFetchResponseGroup>(groups_.size());
    for (size_t i = 0; i < groups_.size(); ++i) {
      response.groups[i].group_id = groups_[i].group_id;
      response.groups[i].error_code = code(groups_[i].error);
      if (groups_[i].error != ErrorCode::kNone) continue;
      response.groups[i].topics =
          topics_of<OffsetFetchResponse::OffsetFetchResponseTopics, OffsetFetchResponse::OffsetFetchResponsePartitions>(
              groups_[i]);
    }
    context_->respond(response);
  }

  template <typename AnswerTopic, typename AnswerPartition>
  std::span<AnswerTopic> topics_of(const GroupPart& group) {
    auto topics = context_->arena().array<AnswerTopic>(group.topics.size());
    for (size_t t = 0; t < group.topics.size(); ++t) {
      const TopicPart& part = group.topics[t];
      topics[t].name = part.name;
      if constexpr (requires { topics[t].topic_id; }) topics[t].topic_id = part.id;
      topics[t].partitions = context_->arena().array<AnswerPartition>(part.count);
      for (size_t p = 0; p < part.count; ++p) {
        const FetchedOffset& offset = group.offsets[part.first + p];
        const ErrorCode error = group.error != ErrorCode::kNone ? group.error : group.errors[part.first + p];
        auto& to = topics[t].partitions[p];
        to.partition_index = offset.partition;
        to.committed_offset = offset.offset;
        to.committed_leader_epoch = offset.leader_epoch;
        to.metadata = std::string_view(offset.metadata);
        to.error_code = code(error);
      }
    }
    return topics;
  }

  GroupCoordinators& coordinators_;
  const unsigned home_;
  RequestContextPtr context_;
  MetadataImagePtr image_;
  bool require_stable_ = false;  // since version 7
  std::vector<GroupPart> groups_;
  std::unordered_set<std::string_view> named_groups_;
  std::set<std::pair<std::string_view, int32_t>> named_partitions_;  // of the group that is added; names lie in the request
  uint64_t name_bytes_ = 0;
  size_t pending_ = 0;
};

}  // namespace

void handle_offset_fetch(GroupCoordinators& groups, RequestContextPtr context) {
  runtime::make_homebound<OffsetFetch>(groups, std::move(context))->start();
}

}  // namespace weir::broker
