// The way of responses to the socket; see connection.h.
#include <algorithm>
#include <array>
#include <cstring>

#include "broker/server/connection.h"
#include "runtime/file.h"

namespace weir::broker {

namespace {

constexpr size_t kGatherPieces = 256;

}  // namespace

void Connection::answered(QueuedRequest& request) {
  if (closed_) return;
  count_change(request, -1);
  request.moments().answered = shard_.now_ns();
  unsent_bytes_ += request.output().memory_bytes();
  request.reserve_response();
  if (request.throttle_ms() > 0) mute(request.throttle_ms());
  if (&request == first_ || deferred_ || peer_done_) owner_.send_at_turn_end(*this);
}

void Connection::released() {
  --contexts_;
  if (removable() && !socket_) owner_.remove_later(*this);
}

void Connection::send() {
  pop_sent();
  while (!closed_ && writable_ && first_ && first_->ended()) {
    if (first_->output().file_part().file) {
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
  for (const QueuedRequest* request = first_; request && request->ended() && n < pieces.size(); request = request->next) {
    const size_t added = request->output().gather(std::span(pieces).subspan(n));
    n += added;
    if (!request->output().gathered_all(added)) break;
  }
  uint64_t asked = 0;
  for (size_t i = 0; i < n; ++i) asked += pieces[i].iov_len;
  written(socket_->write({pieces.data(), n}), asked);
}

void Connection::send_file_part() {
  const OutgoingResponse::FilePart part = first_->output().file_part();
  if (socket_->sends_files()) return written(socket_->send_file(*part.file, part.offset, part.length), part.length);
  // Its pages are resident, so this waits for no disk. What the socket does not take is read again.
  const MutableBytes room = shard_.file_buffer().bytes();
  const auto read = part.file->read_at(part.offset, room.first(std::min<uint64_t>(room.size(), part.length)));
  if (!read) return close(Reason::kIo, read.error().message);
  if (*read == 0) return close(Reason::kIo, "a file ends before what is to be sent of it");
  const iovec piece{room.data(), *read};
  written(socket_->write({&piece, 1}), *read);
}

void Connection::written(const runtime::IoResult& result, uint64_t asked) {
  using Status = runtime::IoResult::Status;
  if (result.status == Status::kOk && result.bytes > 0) {
    if (result.bytes < asked) writable_ = false;
    last_activity_ms_ = shard_.now_ms();
    sent_bytes_ += result.bytes;
    metrics_.bytes_sent.add(shard_.loop.index(), static_cast<int64_t>(result.bytes));
    for (uint64_t left = result.bytes; left > 0;) {
      left = first_->output().advance(left);
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
  while (first_ && first_->ended() && first_->output().sent()) {
    QueuedRequest& request = *first_;
    first_ = request.next;
    if (!first_) last_ = nullptr;
    --in_flight_;
    unsent_bytes_ -= request.output().memory_bytes();
    if (now_ns == 0) now_ns = shard_.now_ns();
    if (request.routed()) count_sent(request, now_ns);
    answers_sent_ns_ = now_ns;
    request.leave_queue();
  }
  if (first_) first_->turn_has_come();
}

void Connection::count_sent(QueuedRequest& request, int64_t now_ns) {
  RequestMoments& moments = request.moments();
  moments.turn = std::max(moments.answered, answers_sent_ns_);
  moments.sent = now_ns;
  const unsigned shard = shard_.loop.index();
  const ApiRoute& route = request.route();
  route.times->observe(shard, moments);
  route.duration->observe_ns(shard, moments.total());
  route.response_bytes->add(shard, static_cast<int64_t>(request.output().size()));
  owner_.note_sent(*this, request);
}

}  // namespace weir::broker
