#include "broker/server/request_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/printable.h"
#include "broker/config/listeners.h"

namespace weir::broker {

std::string RequestContext::client_text() const {
  return fmt::format("client {} at {}", quoted(client_id_), endpoint_text(connection().peer));
}

bool RequestContext::ask(security::AclOperation operation, const security::Resource& resource) const {
  const ConnectionInfo& info = connection();
  return authorizer_->allowed(info.principal, info.peer.host, operation, resource);
}

bool RequestContext::ask_of_any(security::ResourceType type) const {
  const ConnectionInfo& info = connection();
  const security::AclOperation operation = needed(type);
  return operation == security::AclOperation::kNone ||
         authorizer_->allowed_with_any(info.principal, info.peer.host, operation, type);
}

std::shared_ptr<const std::function<bool(std::string_view name)>> RequestContext::lasting_right(
    security::AclOperation operation, security::ResourceType type) const {
  if (authorizer_ == nullptr) return nullptr;
  return std::make_shared<const std::function<bool(std::string_view)>>(
      [authorizer = authorizer_, principal = connection().principal, host = connection().peer.host, operation,
       type](std::string_view name) { return authorizer->allowed(principal, host, operation, {type, name}); });
}

security::AclOperation RequestContext::needed(security::ResourceType type) const {
  using security::ResourceType;
  const ApiNeeds& needs = route_->needs;
  const bool cluster_counts = type == ResourceType::kTopic || type == ResourceType::kGroup;
  if (needs.cluster_right == ClusterRight::kSuffices && cluster_counts && authorize(needs.cluster, {})) {
    return security::AclOperation::kNone;
  }
  return needs.of(type);
}

int32_t RequestContext::authorized_operations(const security::Resource& resource) const {
  int32_t operations = security::operations_of(resource.type);
  if (authorizer_ == nullptr) return operations;
  if (!ask(security::AclOperation::kDescribe, resource)) return 0;
  for (int bit = 0; bit < 31; ++bit) {
    const int32_t operation = int32_t{1} << bit;
    if ((operations & operation) != 0 && !ask(static_cast<security::AclOperation>(bit), resource)) operations &= ~operation;
  }
  return operations;
}

void RequestContext::release_frame() {
  forget_request();
  memory_.release();
}

// The arena goes when the handler has. The slow request log names the client later.
void RequestContext::drop_frame() {
  if (frame_.owner) client_id_ = arena_.copy(client_id_);
  frame_ = Slice();
  body_ = Bytes();
  frame_reservation_.release();
}

void RequestContext::forget_request() {
  const std::string client_id(client_id_);
  drop_frame();
  arena_.reset();
  arena_.set_limit(protocol::Arena::kUnlimited);
  client_id_ = arena_.copy(client_id);
}

bool RequestContext::decoded(const protocol::Reader& reader) {
  arena_.set_limit(protocol::Arena::kUnlimited);
  // Bytes after the last field are no fault, as in Kafka: librdkafka 2.16 leaves three behind a request for the
  // metadata of all topics.
  if (reader.ok()) {
    // Answers mostly repeat the names of a request: once in their structure and, as they grow, twice in their bytes. Not records.
    const bool told_again = !route_->carries_records && body_.size() > kFreeBytes;
    decoded_bytes_ = reader.elements() > kFreeElements ? reader.elements() * kElementBytes : 0;
    if (told_again) decoded_bytes_ += 3 * body_.size();
    if (decoded_bytes_ > budget_->limit(MemoryShare::kAnswers)) {
      close(fmt::format("a {} request of {} bytes takes more memory than there is for one (weir.max.memory.bytes)",
                        protocol::api_name(api_key_), body_.size()));
      return false;
    }
    return hold(decoded_bytes_ + answer_bytes_);
  }
  close(fmt::format("malformed {} version {} request: {}", protocol::api_name(api_key_), version_, reader.error()));
  return false;
}

bool RequestContext::allow_more_elements() {
  const size_t most = std::min(kMaxElements, budget_->limit(MemoryShare::kAnswers) / kElementBytes);
  if (elements_max_ >= most) {
    close(
        fmt::format("a {} request names more than {} things; more need more memory (weir.max.memory.bytes) or, above {}, more "
                    "requests",
                    protocol::api_name(api_key_), most, kMaxElements));
    return false;
  }
  elements_max_ = std::min(most, elements_max_ * 8);
  return hold(elements_max_ * kElementBytes);
}

bool RequestContext::reserve(uint64_t bytes) {
  if (bytes <= kFreeBytes) return true;
  if (bytes > most_answer_bytes()) {
    close(
        fmt::format("the answer to a {} request would take {} bytes and at most {} are for one (weir.max.memory.bytes): ask "
                    "for less at once",
                    protocol::api_name(api_key_), bytes, most_answer_bytes()));
    return false;
  }
  answer_bytes_ = bytes;
  return hold(decoded_bytes_ + answer_bytes_);
}

uint64_t RequestContext::most_answer_bytes() const { return budget_->limit(MemoryShare::kAnswers) - decoded_bytes_; }

// All or nothing: a request that waits holds nothing that others wait for.
bool RequestContext::hold(uint64_t bytes) {
  if (bytes <= memory_.bytes()) {
    memory_.shrink_to(bytes);
    memory_wanted_ = 0;
    return true;
  }
  memory_.release();
  memory_wanted_ = bytes;
  auto granted = budget_->try_reserve(MemoryShare::kAnswers, bytes);
  if (!granted) return false;
  memory_ = std::move(*granted);
  memory_wanted_ = 0;
  return true;
}

bool RequestContext::holds_up_others() const {
  const MemoryBudget& budget = *budget_;
  return (memory_.bytes() > 0 && budget.crowded(MemoryShare::kAnswers)) ||
         (frame_reservation_.bytes() > 0 && budget.crowded(MemoryShare::kRequests));
}

protocol::Writer& RequestContext::begin_response(int16_t version) {
  WEIR_CHECK(state_ == State::kHandling);
  fields_.clear();
  protocol::Writer& writer = output_.writer();
  writer.begin_frame();
  writer.i32(correlation_id_);
  if (protocol::response_header_version(api_key_, version) >= 1) writer.uvarint(0);  // no tagged fields
  return writer;
}

void RequestContext::finish_response() {
  protocol::Writer& writer = output_.writer();
  writer.end_frame(0);
  if (!writer.ok() || !output_.seal()) {
    return close(fmt::format("the {} version {} response could not be encoded: {}", protocol::api_name(api_key_), version_,
                             writer.ok() ? "external bytes do not match" : writer.error()));
  }
  route_->errors->add(loop_->index(), fields_);
  end();
}

void RequestContext::no_response() {
  WEIR_CHECK(state_ == State::kHandling);
  output_.clear();
  end();
}

void RequestContext::close(std::string_view reason) {
  WEIR_CHECK(state_ == State::kHandling);
  output_.clear();
  state_ = State::kEnded;
  tell_failed(reason);
  drop_frame();
}

// Its use is counted once it is known, with the answer's bytes.
void RequestContext::charge() {
  if (quotas_ != nullptr && route_->throttle != ThrottleClass::kExempt && !connection_closed()) {
    throttle(quotas_->count({.throttle = route_->throttle,
                             .principal = connection().principal,
                             .client_id = client_id_,
                             .request_bytes = request_bytes_,
                             .response_bytes = output_.size()}));
  }
  if (throttle_ms_ > 0 && fields_.throttle_position()) {
    output_.writer().patch_i32(*fields_.throttle_position(), throttle_ms_);
  }
}

void RequestContext::end() {
  state_ = State::kEnded;
  charge();
  tell_answered();
  drop_frame();
}

}  // namespace weir::broker
