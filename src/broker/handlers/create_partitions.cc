#include "broker/handlers/create_partitions.h"

#include <fmt/core.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/admin/controller_answers.h"
#include "broker/admin/refusal.h"
#include "broker/admin/replica_assignment.h"
#include "broker/coordinators/group_coordinators.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/create_partitions.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using protocol::CreatePartitionsRequest;
using protocol::CreatePartitionsResponse;
using protocol::ErrorCode;
using TopicResult = CreatePartitionsResponse::CreatePartitionsTopicResult;

class CreatePartitionsOperation : public runtime::Homebound {
 public:
  CreatePartitionsOperation(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()),
        broker_(broker),
        shard_(broker.shard(context->loop().index())),
        context_(std::move(context)),
        answers_(context_->arena()) {}

  void start() {
    if (!context_->decode(request_)) return;
    std::map<std::string_view, int> times;
    for (const auto& asked : request_.topics) ++times[asked.name];
    response_.results = context_->arena().array<TopicResult>(times.size());
    size_t count = 0;
    std::vector<Controller::NewPartitions> wanted;
    for (const auto& asked : request_.topics) {
      int& named = times[asked.name];
      if (named == 0) continue;
      TopicResult& result = response_.results[count++];
      result.name = asked.name;
      if (std::exchange(named, 0) > 1) {
        answers_.tell(result, {ErrorCode::kInvalidRequest, "Duplicate topic name.", nullptr});
      } else if (auto refusal = check(asked)) {
        answers_.tell(result, {refusal->error, std::move(refusal->message), nullptr});
      } else {
        wanted.push_back({std::string(asked.name), asked.count});
        answers_.expect(result);
      }
    }
    broker_.create_partitions(Caller(*context_), std::move(wanted),
                              {[self = runtime::HomeRef(this)](Controller::Outcomes outcomes) {
                                 self->answers_.tell_all(outcomes);
                                 self->context_->respond(self->response_);
                               },
                               request_.timeout_ms},
                              request_.validate_only);
  }

 private:
  // Finds the faults that the controller would find as well, and those of the assignments.
  std::optional<Refusal> check(const CreatePartitionsRequest::CreatePartitionsTopic& asked) const {
    const ResolvedTopic topic = TopicResolver(*context_, *shard_.image).find(asked.name);
    if (!topic) return Refusal{topic.error, {}};
    const int32_t present = topic->partition_count();
    if (asked.count == present) {
      return Refusal{ErrorCode::kInvalidPartitions, fmt::format("Topic already has {} partition(s).", present)};
    }
    if (asked.count < present) {
      return Refusal{ErrorCode::kInvalidPartitions,
                     fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.", asked.name, present,
                                 asked.count)};
    }
    if (topic->internal) {
      return Refusal{
          ErrorCode::kInvalidPartitions,
          fmt::format("The partitions of {} stay as many as they are: coordinators are found by their number, and what "
                      "they know would be looked for elsewhere.",
                      asked.name)};
    }
    const int32_t additional = asked.count - present;
    if (additional > kMaxPartitionsPerRequest) {
      return Refusal{ErrorCode::kPolicyViolation, "Excessively large number of partitions per request."};
    }
    if (!asked.assignments) return std::nullopt;
    if (asked.assignments->size() != static_cast<size_t>(additional)) {
      return Refusal{ErrorCode::kInvalidReplicaAssignment,
                     fmt::format("Attempted to add {} additional partition(s), but only {} assignment(s) were specified.",
                                 additional, asked.assignments->size())};
    }
    for (const auto& assignment : *asked.assignments) {
      if (auto refusal = check_assignment(assignment.broker_ids, *shard_.image)) return refusal;
    }
    return std::nullopt;
  }

  Broker& broker_;
  BrokerShard& shard_;
  RequestContextPtr context_;
  CreatePartitionsRequest request_;
  CreatePartitionsResponse response_;
  ControllerAnswers<TopicResult> answers_;
};

}  // namespace

void handle_create_partitions(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<CreatePartitionsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
