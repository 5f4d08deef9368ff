#include "broker/server/queued_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace weir::broker {

namespace {

// Smaller answers are bounded by the number of requests in flight; they are not worth the budget's lock.
constexpr uint64_t kCountedResponseBytes = 16 * 1024;

}  // namespace

void QueuedRequest::arrive(RequestChannel& channel, const RequestSurroundings& surroundings, Slice frame,
                           Reservation reservation) {
  channel_ = &channel;
  loop_ = &surroundings.loop;
  budget_ = &surroundings.budget;
  if (!frame.owner) {
    const std::string_view copy = arena_.copy(as_string(frame.bytes()));
    frame = Slice{Buffer(), as_bytes(copy).data(), copy.size()};
  }
  // Bounds the memory that hostile input makes a decoder allocate, beside the bound of elements. Lifted after decoding.
  arena_.set_limit(arena_.used_bytes() + (1u << 20) + 128 * frame.size);
  request_bytes_ = frame.size;
  frame_ = std::move(frame);
  frame_reservation_ = std::move(reservation);
  has_handle_ = queued_ = true;
}

void QueuedRequest::set_header(const protocol::RequestHeader& header, Bytes body) {
  version_ = header.api_version;
  correlation_id_ = header.correlation_id;
  client_id_ = header.client_id.value_or(std::string_view());
  body_ = body;
}

void QueuedRequest::set_route(const ApiRoute& route, const security::Authorizer* authorizer, ClientQuotas* quotas) {
  route_ = &route;
  api_key_ = route.key;
  allowed_wait_ms_ = route.allowed_wait_ms;
  authorizer_ = authorizer;
  quotas_ = quotas;
}

void QueuedRequest::handle_dropped() {
  // The last owner may die wherever the request went, for example on a coordinator's shard. Connection and pool belong to
  // the connection's loop, so the request goes there to die.
  if (!loop_->may_touch()) {
    loop_->post([request = RequestContextPtr(this)] {});
    return;
  }
  if (state_ == State::kHandling && memory_wanted_ > 0 && queued_) return wait_for_memory();  // keeps the handle
  if (state_ == State::kHandling) {
    state_ = State::kEnded;
    channel_->fail(*this, CloseReason::kDropped,
                   fmt::format("a {} request was given up without an answer", protocol::api_name(api_key_)));
  }
  has_handle_ = false;  // only now: fail() takes back a request without one
  if (!queued_) return pool_.give_back(*this);
  if (memory_.bytes() == 0) return;
  forget_request();
  const uint64_t encoded = output_.writer().capacity();
  memory_.shrink_to(encoded > kFreeBytes ? encoded : 0);
}

// Its handler has returned and is to be called again. Requests behind it wait as well: a producer's batches must not overtake
// each other.
void QueuedRequest::wait_for_memory() {
  channel_->put_aside();
  waiter_ = std::make_shared<QueuedRequest*>(this);
  auto granted = [waiter = waiter_](Reservation memory) {
    if (*waiter != nullptr) (*waiter)->memory_granted(std::move(memory));
  };
  ticket_ = budget_->wait(MemoryShare::kAnswers, memory_wanted_, *loop_, std::move(granted));
}

void QueuedRequest::memory_granted(Reservation granted) {
  waiter_ = nullptr;
  memory_ = std::move(granted);
  memory_wanted_ = 0;
  channel_->take_up(*this);
}

void QueuedRequest::leave_queue() {
  next = nullptr;
  queued_ = false;
  if (waiter_) {
    *std::exchange(waiter_, nullptr) = nullptr;
    budget_->cancel(MemoryShare::kAnswers, ticket_);
    has_handle_ = false;
  }
  if (!has_handle_) pool_.give_back(*this);
}

void QueuedRequest::reserve_response() {
  const uint64_t memory = output_.memory_bytes();
  const uint64_t reserved = std::min<uint64_t>(memory_.bytes(), output_.writer().capacity());
  if (memory > reserved + kCountedResponseBytes) {
    response_reservation_ = budget_->reserve_now(MemoryShare::kResponses, memory - reserved);
  }
}

void QueuedRequest::reset() {
  WEIR_CHECK(loop_->may_touch());
  RequestChannel* const channel = std::exchange(channel_, nullptr);
  state_ = State::kHandling;
  api_key_ = {};
  version_ = 0;
  correlation_id_ = 0;
  route_ = nullptr;
  authorizer_ = nullptr;
  quotas_ = nullptr;
  moments_ = RequestMoments();
  allowed_wait_ms_ = 0;
  turn_ = nullptr;
  client_id_ = std::string_view();
  frame_ = Slice();
  body_ = Bytes();
  frame_reservation_.release();
  response_reservation_.release();
  memory_.release();
  memory_wanted_ = 0;
  elements_max_ = kFreeElements;
  decoded_bytes_ = answer_bytes_ = request_bytes_ = 0;
  throttle_ms_ = 0;
  output_.clear();
  fields_.clear();
  arena_.reset();
  channel->released();
}

QueuedRequest& ContextPool::take() {
  if (free_.empty()) return *std::make_unique<QueuedRequest>(*this).release();
  QueuedRequest* request = free_.back().release();
  free_.pop_back();
  return *request;
}

void ContextPool::give_back(QueuedRequest& request) {
  std::unique_ptr<QueuedRequest> owned(&request);
  request.reset();
  if (free_.size() < kKeep) free_.push_back(std::move(owned));
}

}  // namespace weir::broker
