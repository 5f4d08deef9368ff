#include "broker/handlers/delete_topics.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/requests/topic_resolver.h"
#include "protocol/messages/delete_topics.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using protocol::DeleteTopicsRequest;
using protocol::DeleteTopicsResponse;
using protocol::ErrorCode;
using TopicResult = DeleteTopicsResponse::DeletableTopicResult;

class DeleteTopicsOperation : public runtime::Homebound {
 public:
  DeleteTopicsOperation(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()),
        broker_(broker),
        shard_(broker.shard(context->loop().index())),
        context_(std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    image_ = shard_.image;  // names in the answer are its
    collect();
    if (!broker_.settings().delete_topic_enable) return refuse_all();
    resolve();
    std::vector<TopicId> ids(ids_to_delete_);
    broker_.delete_topics(Caller(*context_), std::move(ids),
                          {[self = runtime::HomeRef(this)](Controller::Outcomes outcomes) { self->deleted(std::move(outcomes)); },
                           request_.timeout_ms});
  }

 private:
  // Sorts the topics asked for into names_ and ids_, with the number of times that each was given. Refuses a topic with both, and
  // one with neither.
  void collect() {
    for (const std::string_view name : request_.topic_names) ++names_[name];
    for (const auto& topic : request_.topics) {
      if (topic.name && topic.topic_id.is_zero()) ++names_[*topic.name];
      else if (topic.name)
        answer(topic.name, topic.topic_id, ErrorCode::kInvalidRequest, "You may not specify both topic name and topic id.");
      else if (topic.topic_id.is_zero()) answer({}, {}, ErrorCode::kInvalidRequest, "Neither topic name nor id were specified.");
      else ++ids_[topic.topic_id];
    }
  }

  void refuse_all() {
    results_.clear();
    const bool known = context_->version() >= 3;
    const ErrorCode error = known ? ErrorCode::kTopicDeletionDisabled : ErrorCode::kInvalidRequest;
    for (const auto& [name, times] : names_) answer(name, {}, error, "Topic deletion is disabled.");
    for (const auto& [id, times] : ids_) answer({}, id, error, "Topic deletion is disabled.");
    respond();
  }

  void resolve() {
    std::map<TopicId, std::string_view> chosen;
    std::set<TopicId> refused;
    const TopicResolver topics(*context_, *image_, {.describe_tells_absence = true});
    for (const auto& [id, times] : ids_) {
      const ResolvedTopic topic = topics.find(id);
      if (times > 1) {
        refused.insert(id);
        answer({}, id, ErrorCode::kInvalidRequest, "Duplicate topic id.");
      } else if (!topic) {
        // A client that may know the name is told it.
        const Topic* denied = image_->find(id);
        const bool named = denied != nullptr && topics.may(TopicResolver::Operation::kDescribe, denied->name());
        answer(named ? std::optional<std::string_view>(denied->name()) : std::nullopt, id, topic.error, {});
      } else {
        chosen.emplace(id, topic->name());
      }
    }
    for (const auto& [name, times] : names_) {
      const ResolvedTopic topic = topics.find(name);
      if (times > 1) {
        answer(name, {}, ErrorCode::kInvalidRequest, "Duplicate topic name.");
      } else if (!topic) {
        answer(name, {}, topic.error, {});
      } else if (refused.contains(topic->id()) || !chosen.emplace(topic->id(), name).second) {
        refused.insert(topic->id());
        chosen.erase(topic->id());
        answer(name, topic->id(), ErrorCode::kInvalidRequest, "The provided topic name maps to an ID that was already supplied.");
      }
    }
    for (const auto& [id, name] : chosen) {
      ids_to_delete_.push_back(id);
      names_to_delete_.push_back(name);
    }
  }

  void deleted(Controller::Outcomes outcomes) {
    for (size_t i = 0; i < outcomes.size(); ++i) {
      answer(names_to_delete_[i], ids_to_delete_[i], outcomes[i].error, context_->arena().copy(outcomes[i].message));
    }
    respond();
  }

  void answer(std::optional<std::string_view> name, const TopicId& id, ErrorCode error, std::string_view message) {
    TopicResult& result = results_.emplace_back();
    result.name = name;
    // Versions before 6 have no null name.
    if (!name && context_->version() < 6) result.name = std::string_view();
    result.topic_id = id;
    result.error_code = code(error);
    if (!message.empty()) result.error_message = message;
  }

  void respond() {
    DeleteTopicsResponse response;
    response.responses = results_;
    context_->respond(response);
  }

  Broker& broker_;
  BrokerShard& shard_;
  RequestContextPtr context_;
  DeleteTopicsRequest request_;
  MetadataImagePtr image_;
  std::map<std::string_view, int> names_;
  std::map<TopicId, int> ids_;
  std::vector<TopicId> ids_to_delete_;
  std::vector<std::string_view> names_to_delete_;
  std::vector<TopicResult> results_;
};

}  // namespace

void handle_delete_topics(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<DeleteTopicsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
