#include "broker/server/request_context.h"

#include <fmt/format.h>

#include "base/check.h"
#include "broker/server/connection.h"
#include "broker/server/frontend.h"
#include "broker/server/slow_request.h"

namespace weir::broker {

ConnectionFacts& RequestContext::connection() { return connection_->facts(); }
std::string RequestContext::client_text() {
  const runtime::Endpoint& peer = connection().peer;
  return fmt::format("client '{}' at {}:{}", printable(client_id_), peer.host, peer.port);
}

bool RequestContext::connection_closed() const { return connection_->closed(); }
runtime::Loop& RequestContext::loop() { return connection_->frontend().loop_; }

bool RequestContext::first_in_line() const { return !queued_ || connection_->first_ == this; }

void RequestContext::release_frame() {
  // The slow request log names the client after the frame has gone.
  if (frame_.owner) client_id_ = arena_.copy(client_id_);
  frame_ = Slice();
  body_ = Bytes();
  frame_reservation_.release();
}

bool RequestContext::decoded(const protocol::Reader& reader) {
  arena_.set_limit(protocol::Arena::kUnlimited);
  // Bytes after the last field are no fault, as in Kafka: librdkafka 2.16 leaves three behind a request for the
  // metadata of all topics.
  if (reader.ok()) return true;
  close(fmt::format("malformed {} version {} request: {}", protocol::api_name(api_key_), version_, reader.error()));
  return false;
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
    return close(fmt::format("the {} version {} response could not be encoded: {}", protocol::api_name(api_key_),
                             version_, writer.ok() ? "external bytes do not match" : writer.error()));
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
  release_frame();
}

void RequestContext::end() {
  state_ = State::kEnded;
  connection_->request_ended(*this);
  release_frame();
}

void RequestContext::handle_dropped() {
  // The last owner may die wherever the request went, for example on a coordinator's shard. Connection and pool belong to
  // the connection's loop, so the context goes there to die.
  if (runtime::Loop& home = loop(); !home.may_touch()) {
    home.post([context = RequestContextPtr(this)] {});
    return;
  }
  if (state_ == State::kHandling) {
    state_ = State::kEnded;
    connection_->close(Connection::Reason::kDropped,
                       fmt::format("a {} request was given up without an answer", protocol::api_name(api_key_)));
  }
  has_handle_ = false;  // only now: close() takes back what has none
  if (!queued_) pool_.give_back(*this);
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
  release_frame();
  response_reservation_.release();
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
