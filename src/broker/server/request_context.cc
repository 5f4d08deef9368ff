#include "broker/server/request_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/printable.h"
#include "broker/server/connection.h"
#include "broker/server/frontend.h"

namespace weir::broker {

ConnectionFacts& RequestContext::connection() { return connection_->facts(); }
std::string RequestContext::client_text() {
  return fmt::format("client {} at {}", quoted(client_id_), endpoint_text(connection().peer));
}

bool RequestContext::connection_closed() const { return connection_->closed(); }
std::shared_ptr<const std::atomic<bool>> RequestContext::connection_closed_flag() { return connection_->closed_flag(); }
runtime::Loop& RequestContext::loop() { return connection_->frontend().loop_; }

bool RequestContext::first_in_line() const { return !queued_ || connection_->first_ == this; }

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
    // What is named is mostly told again, once in an answer's structure and, as it grows, twice in its bytes. Records are not.
    const bool told_again = api_key_ != protocol::ApiKey::kProduce && body_.size() > kFreeBytes;
    decoded_bytes_ = reader.elements() > kFreeElements ? reader.elements() * kElementBytes : 0;
    if (told_again) decoded_bytes_ += 3 * body_.size();
    if (decoded_bytes_ > connection_->frontend().budget_.limit(MemoryShare::kAnswers)) {
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
  const size_t most = std::min(kMaxElements, connection_->frontend().budget_.limit(MemoryShare::kAnswers) / kElementBytes);
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

uint64_t RequestContext::most_answer_bytes() const {
  return connection_->frontend().budget_.limit(MemoryShare::kAnswers) - decoded_bytes_;
}

// All or nothing: who waits holds nothing that others wait for.
bool RequestContext::hold(uint64_t bytes) {
  if (bytes <= memory_.bytes()) {
    memory_.shrink_to(bytes);
    memory_wanted_ = 0;
    return true;
  }
  memory_.release();
  memory_wanted_ = bytes;
  auto granted = connection_->frontend().budget_.try_reserve(MemoryShare::kAnswers, bytes);
  if (!granted) return false;
  memory_ = std::move(*granted);
  memory_wanted_ = 0;
  return true;
}

bool RequestContext::holds_up_others() const {
  const MemoryBudget& budget = connection_->frontend().budget_;
  return (memory_.bytes() > 0 && budget.crowded(MemoryShare::kAnswers)) ||
         (frame_reservation_.bytes() > 0 && budget.crowded(MemoryShare::kRequests));
}

// Its handler has returned and is to be called again. Requests behind it wait as well: a producer's batches must not overtake
// each other.
void RequestContext::wait_for_memory() {
  ++connection_->put_aside_;
  waiter_ = std::make_shared<RequestContext*>(this);
  auto granted = [waiter = waiter_](Reservation memory) {
    if (*waiter != nullptr) (*waiter)->memory_granted(std::move(memory));
  };
  ticket_ = connection_->frontend().budget_.wait(MemoryShare::kAnswers, memory_wanted_, loop(), std::move(granted));
}

void RequestContext::memory_granted(Reservation granted) {
  Connection& connection = *connection_;
  --connection.put_aside_;
  waiter_ = nullptr;
  memory_ = std::move(granted);
  memory_wanted_ = 0;
  route_->handler(RequestContextPtr(this));
  connection.resume();
}

// The connection closes.
void RequestContext::stop_waiting() {
  *std::exchange(waiter_, nullptr) = nullptr;
  connection_->frontend().budget_.cancel(MemoryShare::kAnswers, ticket_);
  has_handle_ = false;
  pool_.give_back(*this);
}

protocol::Writer& RequestContext::begin_response(int16_t version) {
  WEIR_CHECK(state_ == State::kHandling);
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
  if (route_ != nullptr) route_->errors->add(loop().index(), writer);
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
  connection_->close(Connection::Reason::kProtocol, reason);
  drop_frame();
}

void RequestContext::end() {
  state_ = State::kEnded;
  connection_->request_ended(*this);
  drop_frame();
}

void RequestContext::handle_dropped() {
  // The last owner may die wherever the request went, for example on a coordinator's shard. Connection and pool belong to
  // the connection's loop, so the context goes there to die.
  if (runtime::Loop& home = loop(); !home.may_touch()) {
    home.post([context = RequestContextPtr(this)] {});
    return;
  }
  if (state_ == State::kHandling && memory_wanted_ > 0 && !connection_->closed()) return wait_for_memory();  // keeps the handle
  if (state_ == State::kHandling) {
    state_ = State::kEnded;
    connection_->close(Connection::Reason::kDropped,
                       fmt::format("a {} request was given up without an answer", protocol::api_name(api_key_)));
  }
  has_handle_ = false;  // only now: close() takes back what has none
  if (!queued_) return pool_.give_back(*this);
  if (memory_.bytes() == 0) return;
  forget_request();
  const uint64_t encoded = output_.writer().capacity();
  memory_.shrink_to(encoded > kFreeBytes ? encoded : 0);
}

void RequestContext::reset() {
  WEIR_CHECK(loop().may_touch());
  Connection* const connection = std::exchange(connection_, nullptr);
  next_ = nullptr;
  state_ = State::kHandling;
  api_key_ = {};
  version_ = 0;
  correlation_id_ = 0;
  route_ = nullptr;
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
  decoded_bytes_ = answer_bytes_ = 0;
  output_.clear();
  arena_.reset();
  connection->context_released();
}

RequestContext& ContextPool::take() {
  if (free_.empty()) return *std::make_unique<RequestContext>(*this).release();
  RequestContext* context = free_.back().release();
  free_.pop_back();
  return *context;
}

void ContextPool::give_back(RequestContext& context) {
  std::unique_ptr<RequestContext> owned(&context);
  context.reset();
  if (free_.size() < kKeep) free_.push_back(std::move(owned));
}

}  // namespace weir::broker
