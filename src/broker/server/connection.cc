#include "broker/server/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/ascii_case.h"
#include "base/check.h"
#include "broker/server/frontend.h"
#include "protocol/api_key.h"

namespace weir::broker {

namespace {

constexpr int32_t kLeastRequestBytes = 8;  // api key, version, correlation id
// Larger frames get their addresses when they have shown that they come: then they are copied once, as far as they are.
constexpr uint32_t kFrameAtOnceBytes = 4 << 20;

bool is_tls(Bytes begin) { return begin[0] == 0x16 && begin[1] == 0x03; }

bool is_http(Bytes begin) {
  const std::string verb = upper_case(as_string(begin.first(4)));
  for (const std::string_view known : {"GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "TRAC", "PRI "}) {
    if (verb == known) return true;
  }
  return false;
}

// Memory for `size` bytes that begins with the `filled` ones of `frame`; none if the system has none.
Buffer enlarged(const Buffer& frame, size_t filled, size_t size) {
  try {
    Buffer larger = Buffer::allocate(size);
    if (filled > 0) std::memcpy(larger.data(), frame.data(), filled);
    return larger;
  } catch (const std::bad_alloc&) {
    return {};
  }
}

bool is_produce(const uint8_t* frame) { return load_be<int16_t>(frame) == static_cast<int16_t>(protocol::ApiKey::kProduce); }

}  // namespace

Connection::Connection(Frontend& frontend, std::unique_ptr<runtime::Socket> socket, const ListenerInfo& listener,
                       ListenerMetrics& metrics)
    : frontend_(frontend), socket_(std::move(socket)), metrics_(metrics) {
  facts_.listener = &listener;
  facts_.peer = socket_->peer();
  if (!listener.advertised) facts_.local = socket_->local();
  last_activity_ms_ = frontend_.now_ms();
}

Connection::~Connection() { WEIR_CHECK(contexts_ == 0); }

void Connection::on_readable() {
  if (peer_done_) return;
  readable_ = true;
  read();
}

void Connection::on_writable() {
  writable_ = true;
  send();
}

bool Connection::may_read() const {
  return !closed_ && !frontend_.draining_ && !waiting_for_memory_ && !waiting_for_block_ && !taking_frames_ &&
         leftover_.bytes.size == 0 && !full();
}

void Connection::read() {
  size_t turns = 0;
  while (readable_ && may_read()) {
    if (turns++ == kReadBytesPerTurn / ReceiveBuffers::kBlockBytes) return frontend_.read_later(*this);
    if (frame_ ? !read_into_frame() : !read_into_block()) return;
  }
}

bool Connection::received(const runtime::IoResult& result, size_t asked) {
  using Status = runtime::IoResult::Status;
  if (result.status == Status::kOk && result.bytes > 0) {
    if (result.bytes < asked) readable_ = false;
    receive_time_ns_ = dispatch_time_ns_ = frontend_.loop_.clock().monotonic_ns();
    last_activity_ms_ = receive_time_ns_ / runtime::kMillisecond;
    metrics_.bytes_received.add(frontend_.loop_.index(), static_cast<int64_t>(result.bytes));
    return true;
  }
  readable_ = false;
  if (result.status == Status::kError) {
    close(Reason::kIo, std::strerror(result.os_errno));
  } else if (result.status != Status::kWouldBlock) {
    peer_done_ = true;
    close_if_done();
  }
  return false;
}

// A peer that sends no more may still read. It learns what became of its changes, if it takes the answers and no request before
// them waits for something. For the rest nobody waits.
void Connection::close_if_done() {
  const bool answers_due = changing_ > 0 || producing_ > 0 || deferred_ || (writable_ && first_ && first_->ended());
  if (peer_done_ && !answers_due) close(Reason::kPeer, "closed by the peer");
}

bool Connection::read_into_block() {
  ReceiveBuffers& blocks = frontend_.blocks_;
  if (!blocks.make_room()) {
    waiting_for_block_ = true;
    frontend_.wait_for_block(*this);
    return false;
  }
  const MutableBytes room = blocks.room();
  std::memcpy(room.data(), length_bytes_, length_size_);
  MutableBytes into = room.subspan(length_size_);
  // What is read of a request that has to wait stays in memory meanwhile; of many it may be much.
  if (frontend_.budget_.forced_much(MemoryShare::kRequests)) into = into.first(std::min(into.size(), kCrowdedReadBytes));
  const runtime::IoResult result = socket_->read(into);
  if (!received(result, into.size())) return false;
  const size_t size = length_size_ + result.bytes;
  length_size_ = 0;
  blocks.take(size);
  const Buffer owner = blocks.buffer();
  take_frames(owner, room.data(), size);
  return true;
}

bool Connection::read_into_frame() {
  // Like a block's worth at a time, so that one connection cannot keep the loop for itself.
  const size_t most = 16 * ReceiveBuffers::kBlockBytes;
  const auto reserved = static_cast<uint32_t>(std::min<uint64_t>(frame_size_, frame_reservation_.bytes()));
  if (frame_filled_ == reserved) return grow_frame();
  const MutableBytes into{frame_.data() + frame_filled_, std::min<size_t>(reserved - frame_filled_, most)};
  const runtime::IoResult result = socket_->read(into);
  if (!received(result, into.size())) return false;
  frame_filled_ += static_cast<uint32_t>(result.bytes);
  if (frame_filled_ == frame_size_) {
    frame_deadline_ms_ = 0;
    // The last block may be written to the log as it is.
    std::memset(frame_.data() + frame_size_, 0, align_up(frame_size_, kBufferAlignment) - frame_size_);
    Slice frame{frame_, frame_.data(), frame_size_};
    frame_ = Buffer();
    deliver(std::move(frame), std::move(frame_reservation_));
  }
  return true;
}

void Connection::take_frames(const Buffer& owner, const uint8_t* data, size_t size) {
  taking_frames_ = true;
  while (size >= 4 && !closed_) {
    if (full() || frontend_.draining_) {
      keep_leftover(owner, data, size);
      break;
    }
    const auto length = load_be<int32_t>(data);
    if (!check_length(length, {data, size})) break;
    seen_frame_ = true;
    if (static_cast<size_t>(length) > size - 4) {
      begin_frame(owner, data, size);
      break;
    }
    const auto frame_bytes = static_cast<size_t>(length);
    deliver(Slice{owner, data + 4, frame_bytes}, Reservation());
    data += 4 + frame_bytes;
    size -= 4 + frame_bytes;
  }
  taking_frames_ = false;
  if (size > 0 && size < 4 && !closed_) {
    std::memcpy(length_bytes_, data, size);
    length_size_ = static_cast<uint8_t>(size);
  }
}

bool Connection::check_length(int32_t length, Bytes begin) {
  if (!seen_frame_ && (is_tls(begin) || is_http(begin))) {
    refuse_foreign(begin);
    return false;
  }
  if (length < kLeastRequestBytes || length > frontend_.options_.socket_request_max_bytes) {
    close(Reason::kProtocol,
          fmt::format("a request of {} bytes is outside of [{}, {}] (socket.request.max.bytes); the peer does not "
                      "speak Kafka's protocol or lost its framing",
                      length, kLeastRequestBytes, frontend_.options_.socket_request_max_bytes));
    return false;
  }
  if (static_cast<uint64_t>(length) > frontend_.most_request_bytes_) {
    close(Reason::kProtocol,
          fmt::format("a request of {} bytes is larger than half of the memory for requests, {} bytes (an eighth of "
                      "weir.max.memory.bytes)",
                      length, frontend_.most_request_bytes_));
    return false;
  }
  return true;
}

void Connection::refuse_foreign(Bytes begin) {
  if (is_tls(begin)) {
    return close(Reason::kForeign, fmt::format("a TLS handshake arrived on the {} listener '{}'; set "
                                               "security.protocol=PLAINTEXT in the client or use a TLS listener",
                                               facts_.listener->security_protocol, facts_.listener->name));
  }
  const std::string& address = frontend_.http_address_;
  const std::string where = address.empty() ? "health and metrics are served nowhere (http.listener is off)"
                                            : fmt::format("health and metrics are at http://{} (/health, /metrics)", address);
  const std::string text = fmt::format("This port speaks the Kafka protocol, not HTTP; {}\n", where);
  std::string answer = fmt::format(
      "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
      "Content-Length: {}\r\n\r\n{}",
      text.size(), text);
  const iovec piece{answer.data(), answer.size()};
  if (!first_) (void)socket_->write({&piece, 1});
  close(Reason::kForeign, fmt::format("an HTTP request arrived on the Kafka port; {}", where));
}

void Connection::keep_leftover(const Buffer& owner, const uint8_t* data, size_t size) {
  if (!owner.same(frontend_.blocks_.buffer())) {
    leftover_.bytes = Slice{owner, data, size};
    return;
  }
  Buffer copy = Buffer::allocate(size);
  std::memcpy(copy.data(), data, size);
  leftover_.reservation = frontend_.budget_.reserve_now(MemoryShare::kRequests, copy.capacity());
  leftover_.bytes = Slice{copy, copy.data(), size};
}

// `data` begins with the length of a frame that is longer than `size`.
void Connection::begin_frame(const Buffer& owner, const uint8_t* data, size_t size) {
  const auto length = static_cast<uint32_t>(load_be<int32_t>(data));
  const uint64_t whole = align_up(length, kBufferAlignment);
  const uint64_t first = std::min(whole, align_up(2 * size, kBufferAlignment));
  auto reservation = frontend_.budget_.try_reserve(MemoryShare::kRequests, first, whole);
  if (reservation) return allocate_frame(length, {data + 4, size - 4}, std::move(*reservation));
  keep_leftover(owner, data, size);
  waiting_for_memory_ = true;
  // Twice: time for a stalled one in front to be found out.
  frame_deadline_ms_ = frontend_.now_ms() + 2 * frontend_.options_.frame_progress_ms;
  frontend_.place(*this);
  ticket_ = frontend_.budget_.wait(
      MemoryShare::kRequests, first, frontend_.loop_,
      [this, alive = std::weak_ptr<bool>(frontend_.alive_), length](Reservation granted) {
        if (!alive.expired()) frame_memory_granted(length, std::move(granted));
      },
      whole);
}

void Connection::frame_memory_granted(uint32_t length, Reservation reservation) {
  waiting_for_memory_ = false;
  frame_deadline_ms_ = 0;
  if (closed_) return frontend_.remove_later(*this);
  const Leftover begin = std::move(leftover_);
  leftover_ = Leftover();
  allocate_frame(length, begin.bytes.bytes().subspan(4), std::move(reservation));
  read();
}

// The next part of the frame; false if it has to be waited for.
bool Connection::grow_frame() {
  const uint64_t have = frame_reservation_.bytes();
  const uint64_t more = std::min(have, align_up(frame_size_, kBufferAlignment) - have);
  if (frontend_.budget_.try_grow(frame_reservation_, more)) return grown();
  waiting_for_memory_ = true;
  frame_deadline_ms_ = frontend_.now_ms() + 2 * frontend_.options_.frame_progress_ms;
  frontend_.place(*this);
  ticket_ = frontend_.budget_.wait_to_grow(frame_reservation_, more, frontend_.loop_,
                                           [this, alive = std::weak_ptr<bool>(frontend_.alive_)](Reservation granted) {
                                             if (!alive.expired()) frame_memory_grown(std::move(granted));
                                           });
  return false;
}

// Only now is a very large frame worth its addresses.
bool Connection::grown() {
  if (frame_.capacity() >= frame_size_) return true;
  frame_ = enlarged(frame_, frame_filled_, frame_size_);
  if (!frame_) close(Reason::kIo, fmt::format("no memory for a request of {} bytes", frame_size_));
  return frame_.capacity() > 0;
}

void Connection::frame_memory_grown(Reservation reservation) {
  waiting_for_memory_ = false;
  if (closed_) return frontend_.remove_later(*this);
  frame_reservation_.absorb(std::move(reservation));
  frame_deadline_ms_ = frontend_.now_ms() + frontend_.options_.frame_progress_ms;
  frame_filled_at_deadline_ = frame_filled_;
  arriving_ = Progress();
  if (grown()) read();
}

void Connection::allocate_frame(uint32_t length, Bytes begin, Reservation reservation) {
  frame_ = enlarged({}, 0, length <= kFrameAtOnceBytes ? length : reservation.bytes());
  if (!frame_) return close(Reason::kIo, fmt::format("no memory for a request of {} bytes", length));
  std::memcpy(frame_.data(), begin.data(), begin.size());
  frame_size_ = length;
  frame_filled_ = frame_filled_at_deadline_ = static_cast<uint32_t>(begin.size());
  frame_reservation_ = std::move(reservation);
  arriving_ = Progress();
  frame_deadline_ms_ = frontend_.now_ms() + frontend_.options_.frame_progress_ms;
  frontend_.place(*this);
}

void Connection::deliver(Slice frame, Reservation reservation) {
  RequestContext& context = frontend_.contexts_.take();
  context.connection_ = this;
  context.moments_.received = receive_time_ns_;
  context.moments_.dispatched = dispatch_time_ns_;
  const bool own_memory = reservation.bytes() > 0;
  if (!own_memory && (frame.size <= kCopiedFrameBytes || !is_produce(frame.data))) {
    const std::string_view copy = context.arena_.copy(as_string(frame.bytes()));
    frame = Slice{Buffer(), as_bytes(copy).data(), copy.size()};
  }
  // What hostile input can make a decoder allocate, beside the bound of elements; lifted once the request is decoded.
  context.arena_.set_limit(context.arena_.used_bytes() + (1u << 20) + 128 * frame.size);
  context.frame_ = std::move(frame);
  context.frame_reservation_ = std::move(reservation);
  context.has_handle_ = context.queued_ = true;
  (last_ ? last_->next_ : first_) = &context;
  last_ = &context;
  ++in_flight_;
  ++contexts_;
  frontend_.dispatcher_.dispatch(RequestContextPtr(&context));
  if (closed_) return;  // the context may be gone; otherwise it stays queued at least until the end of the turn
  dispatch_time_ns_ = context.moments_.handled = frontend_.loop_.clock().monotonic_ns();
}

void Connection::begin(RequestContextPtr context) {
  if (must_wait(*context)) {
    deferred_ = std::move(context);
    return;
  }
  count_change(*context, 1);
  const ApiRoute& route = *context->route_;
  route.handler(std::move(context));
}

// Its time begins now: what it waited for had a time of its own.
void Connection::begin_deferred() {
  if (!deferred_ || must_wait(*deferred_)) return;
  RequestContext& context = *deferred_;
  context.moments_.received = context.moments_.dispatched = frontend_.loop_.clock().monotonic_ns();
  begin(std::move(deferred_));
  if (!closed_) context.moments_.handled = frontend_.loop_.clock().monotonic_ns();
}

bool Connection::must_wait(const RequestContext& context) const {
  return changing_ > 0 || (producing_ > 0 && context.route_->kind != RequestKind::kProduces);
}

void Connection::count_change(const RequestContext& context, int by) {
  const RequestKind kind = context.route_ ? context.route_->kind : RequestKind::kReads;
  if (kind == RequestKind::kChanges) changing_ += by;
  if (kind == RequestKind::kProduces) producing_ += by;
}

void Connection::resume() {
  if (!closed_ && !frontend_.draining_) begin_deferred();
  if (closed_ || waiting_for_memory_ || taking_frames_ || frontend_.draining_) return;
  if (leftover_.bytes.size > 0) {
    if (full()) return;
    Leftover from = std::move(leftover_);
    leftover_ = Leftover();
    receive_time_ns_ = dispatch_time_ns_ = frontend_.loop_.clock().monotonic_ns();
    take_frames(from.bytes.owner, from.bytes.data, from.bytes.size);
    if (leftover_.bytes.owner.same(from.bytes.owner)) leftover_.reservation = std::move(from.reservation);
  }
  read();
}

void Connection::close(Reason reason, std::string_view what) {
  if (closed_) return;
  closed_ = true;
  if (closed_flag_) closed_flag_->store(true, std::memory_order_relaxed);
  frontend_.log_closed(*this, reason, what);
  if (waiting_for_memory_ && frontend_.budget_.cancel(MemoryShare::kRequests, ticket_)) waiting_for_memory_ = false;
  frame_ = Buffer();
  frame_reservation_.release();
  leftover_ = Leftover();
  while (first_) {
    RequestContext& context = *first_;
    first_ = context.next_;
    context.queued_ = false;
    // A turn holds the handle, and goes at once with a loop that has ended: the context must not be looked at any more.
    if (context.turn_) frontend_.loop_.post(std::exchange(context.turn_, nullptr));
    else if (context.waiter_) context.stop_waiting();
    else if (!context.has_handle_) frontend_.contexts_.give_back(context);
  }
  last_ = nullptr;
  deferred_.reset();
  in_flight_ = 0;
  unsent_bytes_ = 0;
  frontend_.remove_later(*this);
}

Connection::Due Connection::due(int64_t now_ms) {
  // Many in front may have announced what they will never send; after that long the client has given up as well.
  if (waiting_for_memory_ && now_ms >= frame_deadline_ms_) return Due::kNoMemory;
  if (frame_deadline_ms_ != 0 && now_ms >= frame_deadline_ms_) {
    const bool progressed = frame_filled_ - frame_filled_at_deadline_ >= kLeastFrameProgress;
    if (may_read() && !progressed) return Due::kStalled;
    frame_filled_at_deadline_ = frame_filled_;
    frame_deadline_ms_ = now_ms + frontend_.options_.frame_progress_ms;
  }
  if (now_ms - last_activity_ms_ < frontend_.options_.connections_max_idle_ms) return Due::kNo;
  const bool waits_for_us = first_ && !first_->ended();
  return waits_for_us ? Due::kNo : Due::kIdle;
}

void Connection::press(int64_t now_ms, bool requests, bool answers, bool responses) {
  // A request whose rest is not read because the answers before it are not: that is the client's doing as well.
  const bool unread = unsent_bytes_ >= kMaxUnsentBytes && !waiting_for_memory_;
  const bool receives = requests && !closed_ && frame_ && (unread || may_read());
  if (arriving_.too_slow(receives, now_ms, frame_filled_ + (unread ? sent_bytes_ : 0), frame_reservation_.bytes())) {
    return close(Reason::kStalled, "its request arrives slowly, and others wait for the memory");
  }
  // The same with answers behind a request that waits for data or for a group.
  const bool behind = first_ && !first_->ended();
  const bool sends = (answers || responses) && !closed_ && (behind || !writable_) && holds(answers, responses);
  if (leaving_.too_slow(sends, now_ms, sent_bytes_, unsent_bytes_)) {
    close(Reason::kStalled, "it reads its answers slowly, and others wait for the memory");
  }
}

// Beside the first request under way, which minds others itself.
bool Connection::holds(bool answers, bool responses) const {
  for (const RequestContext* context = first_; context != nullptr; context = context->next_) {
    if (context == first_ && !context->ended()) continue;
    if (answers && context->memory_.bytes() > 0) return true;
    if (responses && context->response_reservation_.bytes() > 0) return true;
  }
  return false;
}

// What has to move grows with what is held, so that nobody keeps much for long.
bool Connection::Progress::too_slow(bool expected, int64_t now_ms, uint64_t moved, uint64_t held) {
  if (!expected) {
    since_ms = 0;
    return false;
  }
  if (since_ms != 0) {
    if (now_ms - since_ms < kPressedMs) return false;
    if (moved - moved_then < std::max<uint64_t>(kLeastPressedProgress, held / 8)) return true;
  }
  since_ms = now_ms;
  moved_then = moved;
  return false;
}

int64_t Connection::next_deadline_ms() const {
  int64_t soonest = last_activity_ms_ + frontend_.options_.connections_max_idle_ms;
  if (frame_deadline_ms_ != 0) soonest = std::min(soonest, frame_deadline_ms_);
  return soonest;
}

}  // namespace weir::broker
