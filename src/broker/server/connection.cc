#include "broker/server/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/ascii_case.h"
#include "base/check.h"
#include "protocol/api_key.h"

namespace weir::broker {

namespace {

constexpr int32_t kLeastRequestBytes = 8;  // api key, version, correlation id
// A larger frame gets all of its addresses once it has shown that it comes. Its bytes so far are then copied, once.
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

}  // namespace

Connection::Connection(ConnectionOwner& owner, ShardConnections& shard, std::unique_ptr<runtime::Socket> socket,
                       const ListenerInfo& listener, ListenerMetrics& metrics)
    : owner_(owner), shard_(shard), socket_(std::move(socket)), metrics_(metrics) {
  info_.listener = &listener;
  info_.authenticated = !listener.asks_who();
  info_.peer = socket_->peer();
  if (!listener.advertised) info_.local = socket_->local();
  last_activity_ms_ = shard_.now_ms();
}

Connection::~Connection() { WEIR_CHECK(contexts_ == 0); }

void Connection::start() {
  socket_->set_handler(this);
  on_readable();  // bytes that came before the handler was set
}

std::shared_ptr<const std::atomic<bool>> Connection::closed_flag() {
  if (!closed_flag_) closed_flag_ = std::make_shared<std::atomic<bool>>(closed_);
  return closed_flag_;
}

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
  return !closed_ && !shard_.draining && !waiting_for_memory_ && !waiting_for_block_ && !taking_frames_ && !ending_ &&
         leftover_.bytes.size == 0 && !full();
}

void Connection::read() {
  size_t turns = 0;
  while (readable_ && may_read()) {
    if (turns++ == kReadBytesPerTurn / ReceiveBuffers::kBlockBytes) return owner_.read_later(*this);
    if (frame_ ? !read_into_frame() : !read_into_block()) return;
  }
}

bool Connection::received(const runtime::IoResult& result, size_t asked) {
  using Status = runtime::IoResult::Status;
  if (result.status == Status::kOk && result.bytes > 0) {
    if (result.bytes < asked) readable_ = false;
    receive_time_ns_ = dispatch_time_ns_ = shard_.now_ns();
    last_activity_ms_ = receive_time_ns_ / runtime::kMillisecond;
    metrics_.bytes_received.add(shard_.loop.index(), static_cast<int64_t>(result.bytes));
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

bool Connection::read_into_block() {
  ReceiveBuffers& blocks = shard_.blocks;
  if (!blocks.make_room()) {
    waiting_for_block_ = true;
    owner_.wait_for_block(*this);
    return false;
  }
  const MutableBytes room = blocks.room();
  std::memcpy(room.data(), length_bytes_, length_size_);
  MutableBytes into = room.subspan(length_size_);
  // Read bytes of requests that have to wait stay in memory meanwhile. Of many requests they may be much.
  if (shard_.budget.forced_much(MemoryShare::kRequests)) into = into.first(std::min(into.size(), kCrowdedReadBytes));
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
  while (size >= 4 && !closed_ && !ending_) {
    if (full() || shard_.draining) {
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
  if (size > 0 && size < 4 && !closed_ && !ending_) {
    std::memcpy(length_bytes_, data, size);
    length_size_ = static_cast<uint8_t>(size);
  }
}

bool Connection::check_length(int32_t length, Bytes begin) {
  if (!seen_frame_ && (is_tls(begin) || is_http(begin))) {
    refuse_foreign(begin);
    return false;
  }
  const int32_t most = shard_.options.socket_request_max_bytes;
  if (length < kLeastRequestBytes || (length > most && !seen_frame_)) {
    end(Reason::kProtocol,
        fmt::format("a request of {} bytes is outside of [{}, {}] (socket.request.max.bytes); the peer does not "
                    "speak Kafka's protocol or lost its framing",
                    length, kLeastRequestBytes, most));
    return false;
  }
  if (length > most) {
    end(Reason::kProtocol, fmt::format("a request of {} bytes is larger than socket.request.max.bytes ({})", length, most));
    return false;
  }
  if (static_cast<uint64_t>(length) > shard_.most_request_bytes) {
    end(Reason::kProtocol,
        fmt::format("a request of {} bytes is larger than half of the memory for requests, {} bytes (an eighth of "
                    "weir.max.memory.bytes)",
                    length, shard_.most_request_bytes));
    return false;
  }
  return true;
}

void Connection::refuse_foreign(Bytes begin) {
  if (is_tls(begin)) {
    return close(Reason::kForeign, fmt::format("a TLS handshake arrived on the {} listener '{}'; set "
                                               "security.protocol=PLAINTEXT in the client or use a TLS listener",
                                               info_.listener->security_protocol, info_.listener->name));
  }
  const std::string& address = shard_.http_address;
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
  if (!owner.same(shard_.blocks.buffer())) {
    leftover_.bytes = Slice{owner, data, size};
    return;
  }
  Buffer copy = Buffer::allocate(size);
  std::memcpy(copy.data(), data, size);
  leftover_.reservation = shard_.budget.reserve_now(MemoryShare::kRequests, copy.capacity());
  leftover_.bytes = Slice{copy, copy.data(), size};
}

// `data` begins with the length of a frame that is longer than `size`.
void Connection::begin_frame(const Buffer& owner, const uint8_t* data, size_t size) {
  const auto length = static_cast<uint32_t>(load_be<int32_t>(data));
  const uint64_t whole = align_up(length, kBufferAlignment);
  const uint64_t first = std::min(whole, align_up(2 * size, kBufferAlignment));
  auto reservation = shard_.budget.try_reserve(MemoryShare::kRequests, first, whole);
  if (reservation) return allocate_frame(length, {data + 4, size - 4}, std::move(*reservation));
  keep_leftover(owner, data, size);
  waiting_for_memory_ = true;
  // Twice the time, so that a stalled request in front is found out.
  frame_deadline_ms_ = shard_.now_ms() + 2 * shard_.options.frame_progress_ms;
  owner_.deadline_moved(*this);
  ticket_ = shard_.budget.wait(
      MemoryShare::kRequests, first, shard_.loop,
      [this, alive = shard_.lifetime.observe(), length](Reservation granted) {
        if (alive) frame_memory_granted(length, std::move(granted));
      },
      whole);
}

void Connection::frame_memory_granted(uint32_t length, Reservation reservation) {
  waiting_for_memory_ = false;
  frame_deadline_ms_ = 0;
  if (closed_) return owner_.remove_later(*this);
  if (ending_) return;
  const Leftover begin = std::move(leftover_);
  leftover_ = Leftover();
  allocate_frame(length, begin.bytes.bytes().subspan(4), std::move(reservation));
  read();
}

// Gets memory for the next part of the frame. Returns false if the frame has to wait for it.
bool Connection::grow_frame() {
  const uint64_t have = frame_reservation_.bytes();
  const uint64_t more = std::min(have, align_up(frame_size_, kBufferAlignment) - have);
  if (shard_.budget.try_grow(frame_reservation_, more)) return grown();
  waiting_for_memory_ = true;
  frame_deadline_ms_ = shard_.now_ms() + 2 * shard_.options.frame_progress_ms;
  owner_.deadline_moved(*this);
  ticket_ = shard_.budget.wait_to_grow(frame_reservation_, more, shard_.loop,
                                       [this, alive = shard_.lifetime.observe()](Reservation granted) {
                                         if (alive) frame_memory_grown(std::move(granted));
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
  if (closed_) return owner_.remove_later(*this);
  if (ending_) return;
  frame_reservation_.absorb(std::move(reservation));
  frame_deadline_ms_ = shard_.now_ms() + shard_.options.frame_progress_ms;
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
  frame_deadline_ms_ = shard_.now_ms() + shard_.options.frame_progress_ms;
  owner_.deadline_moved(*this);
}

void Connection::deliver(Slice frame, Reservation reservation) {
  QueuedRequest& request = shard_.requests.take();
  request.moments().received = receive_time_ns_;
  request.moments().dispatched = dispatch_time_ns_;
  const bool own_memory = reservation.bytes() > 0;
  const bool stays = frame.size > kCopiedFrameBytes && shard_.dispatcher.carries_records(frame.bytes());
  if (!own_memory && !stays) frame.owner = Buffer();
  request.arrive(*this, {.loop = shard_.loop, .budget = shard_.budget}, std::move(frame), std::move(reservation));
  (last_ ? last_->next : first_) = &request;
  last_ = &request;
  ++in_flight_;
  ++contexts_;
  RequestContextPtr handle = request.handle();
  if (const auto refusal = shard_.dispatcher.find_route(request)) return fail(request, Reason::kProtocol, *refusal);
  if (must_wait(request)) {
    deferred_ = std::move(handle);
  } else {
    begin(request, std::move(handle));
  }
  if (closed_ || ending_) return;  // the request may be gone; otherwise it stays queued at least until the end of the turn
  dispatch_time_ns_ = request.moments().handled = shard_.now_ns();
}

void Connection::begin(QueuedRequest& request, RequestContextPtr handle) {
  count_change(request, 1);
  shard_.dispatcher.handle(std::move(handle));
}

// Its time begins now: the requests that it waited for had times of their own.
void Connection::begin_deferred() {
  if (!deferred_ || muted() || must_wait(*last_)) return;
  QueuedRequest& request = *last_;
  request.moments().received = request.moments().dispatched = shard_.now_ns();
  begin(request, std::move(deferred_));
  if (!closed_ && !ending_) request.moments().handled = shard_.now_ns();
}

bool Connection::must_wait(const QueuedRequest& request) const {
  return changing_ > 0 || (producing_ > 0 && request.route().kind != RequestKind::kProduces);
}

void Connection::count_change(const QueuedRequest& request, int by) {
  const RequestKind kind = request.routed() ? request.route().kind : RequestKind::kReads;
  if (kind == RequestKind::kChanges) changing_ += by;
  if (kind == RequestKind::kProduces) producing_ += by;
}

void Connection::take_up(QueuedRequest& request) {
  --put_aside_;
  shard_.dispatcher.handle(request.handle());
  resume();
}

// A connection that is muted already stays so for the longer of the two times.
void Connection::mute(int64_t for_ms) {
  const int64_t until_ms = shard_.now_ms() + for_ms;
  if (muted() && until_ms <= muted_until_ms_) return;
  if (muted()) shard_.loop.cancel(unmute_timer_);
  muted_until_ms_ = until_ms;
  unmute_timer_ = shard_.loop.schedule_after(for_ms * runtime::kMillisecond, [this, alive = shard_.lifetime.observe()] {
    if (!alive) return;
    unmute_timer_ = {};
    resume();
  });
}

void Connection::block_granted() {
  waiting_for_block_ = false;
  read();
}

void Connection::resume() {
  if (!closed_ && !shard_.draining) begin_deferred();
  if (closed_ || ending_ || waiting_for_memory_ || taking_frames_ || shard_.draining) return;
  if (leftover_.bytes.size > 0) {
    if (full()) return;
    Leftover from = std::move(leftover_);
    leftover_ = Leftover();
    receive_time_ns_ = dispatch_time_ns_ = shard_.now_ns();
    take_frames(from.bytes.owner, from.bytes.data, from.bytes.size);
    if (leftover_.bytes.owner.same(from.bytes.owner)) leftover_.reservation = std::move(from.reservation);
  }
  read();
}

}  // namespace weir::broker
