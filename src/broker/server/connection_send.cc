// The way of responses to the socket; see connection.h.
#include <algorithm>
#include <array>
#include <cstring>

#include "broker/server/connection.h"
#include "broker/server/frontend.h"

namespace weir::broker {

namespace {

constexpr size_t kGatherPieces = 256;
// Smaller responses are bounded by the number of requests in flight; they are not worth the budget's lock.
constexpr uint64_t kCountedResponseBytes = 16 * 1024;

}  // namespace

void Connection::request_ended(RequestContext& context) {
  if (closed_) return;
  count_change(context, -1);
  context.moments_.answered = frontend_.loop_.clock().monotonic_ns();
  const uint64_t memory = context.output_.memory_bytes();
  unsent_bytes_ += memory;
  const uint64_t reserved = std::min<uint64_t>(context.memory_.bytes(), context.output_.writer().capacity());
  if (memory > reserved + kCountedResponseBytes) {
    context.response_reservation_ = frontend_.budget_.reserve_now(MemoryShare::kResponses, memory - reserved);
  }
  if (&context == first_ || deferred_ || peer_done_) frontend_.send_at_turn_end(*this);
}

void Connection::context_released() {
  --contexts_;
  if (removable() && !socket_) frontend_.remove_later(*this);
}

void Connection::send() {
  pop_sent();
  while (!closed_ && writable_ && first_ && first_->ended()) {
    if (first_->output_.file_part().file) {
      send_file_part();
    } else {
      send_gathered();
    }
  }
  resume();
  if (!closed_) close_if_done();
}

void Connection::send_gathered() {
  std::array<iovec, kGatherPieces> pieces;
  size_t n = 0;
  for (const RequestContext* context = first_; context && context->ended() && n < pieces.size(); context = context->next_) {
    const size_t added = context->output_.gather(std::span(pieces).subspan(n));
    n += added;
    if (!context->output_.gathered_all(added)) break;
  }
  uint64_t asked = 0;
  for (size_t i = 0; i < n; ++i) asked += pieces[i].iov_len;
  written(socket_->write({pieces.data(), n}), asked);
}

void Connection::send_file_part() {
  const OutgoingResponse::FilePart part = first_->output_.file_part();
  written(socket_->send_file(*part.file, part.offset, part.length), part.length);
}

void Connection::written(const runtime::IoResult& result, uint64_t asked) {
  using Status = runtime::IoResult::Status;
  if (result.status == Status::kOk && result.bytes > 0) {
    if (result.bytes < asked) writable_ = false;
    last_activity_ms_ = frontend_.now_ms();
    sent_bytes_ += result.bytes;
    metrics_.bytes_sent.add(frontend_.loop_.index(), static_cast<int64_t>(result.bytes));
    for (uint64_t left = result.bytes; left > 0;) {
      left = first_->output_.advance(left);
      pop_sent();
    }
    return;
  }
  writable_ = false;
  if (result.status == Status::kWouldBlock) return;
  if (result.status == Status::kClosed) return close(Reason::kPeer, "closed by the peer");
  close(Reason::kIo, result.status == Status::kError ? std::strerror(result.os_errno) : "nothing could be sent");
}

void Connection::pop_sent() {
  int64_t now_ns = 0;
  while (first_ && first_->ended() && first_->output_.sent()) {
    RequestContext& context = *first_;
    first_ = context.next_;
    if (!first_) last_ = nullptr;
    context.next_ = nullptr;
    context.queued_ = false;
    --in_flight_;
    unsent_bytes_ -= context.output_.memory_bytes();
    if (now_ns == 0) now_ns = frontend_.loop_.clock().monotonic_ns();
    if (context.route_) count_sent(context, now_ns);
    answers_sent_ns_ = now_ns;
    if (!context.has_handle_) frontend_.contexts_.give_back(context);
  }
  if (first_ && first_->turn_) frontend_.loop_.post(std::exchange(first_->turn_, nullptr));
}

void Connection::count_sent(RequestContext& context, int64_t now_ns) {
  RequestMoments& moments = context.moments_;
  moments.turn = std::max(moments.answered, answers_sent_ns_);
  moments.sent = now_ns;
  const unsigned shard = frontend_.loop_.index();
  context.route_->times->observe(shard, moments);
  context.route_->duration->observe_ns(shard, moments.total());
  context.route_->response_bytes->add(shard, static_cast<int64_t>(context.output_.size()));
  const int64_t waited_ns = std::min(moments.remote(), context.allowed_wait_ms_ * runtime::kMillisecond);
  if (moments.total() - waited_ns >= frontend_.slow_request_ns_) frontend_.log_slow(*this, context);
}

}  // namespace weir::broker
