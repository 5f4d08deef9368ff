// How a connection ends, by its peer, by a fault or by its deadlines; see connection.h.
#include <algorithm>
#include <utility>

#include "broker/server/connection.h"

namespace weir::broker {

// A peer that sends no more may still read. It learns the outcome of its changes, if it takes the answers and no request before
// them waits for something. Nobody waits for other answers.
void Connection::close_if_done() {
  if (ending_ && !first_ && !socket_->keeps_bytes()) return close(ending_->reason, ending_->what);
  const bool answers_due =
      changing_ > 0 || producing_ > 0 || deferred_ || (writable_ && first_ && first_->ended()) || socket_->keeps_bytes();
  if (peer_done_ && !answers_due) close(Reason::kPeer, "closed by the peer");
}

void Connection::close(Reason reason, std::string_view what) {
  if (closed_) return;
  closed_ = true;
  if (closed_flag_) closed_flag_->store(true, std::memory_order_relaxed);
  owner_.note_closed(*this, reason, what);
  if (muted()) shard_.loop.cancel(std::exchange(unmute_timer_, {}));
  stop_receiving();
  if (first_) give_up_from(*first_);
  owner_.remove_later(*this);
}

void Connection::fail(QueuedRequest& request, Reason reason, std::string_view what) {
  if (closed_ || !request.queued()) return;
  give_up_from(request);
  end(reason, what);
}

// The client may have sent its requests without waiting: those before the fault were handled, and it has to learn their outcome.
void Connection::end(Reason reason, std::string_view what) {
  if (!first_ && !socket_->keeps_bytes()) return close(reason, what);
  const int64_t deadline_ms = ending_ ? ending_->deadline_ms : shard_.now_ms() + shard_.options.frame_progress_ms;
  ending_ = {reason, std::string(what), deadline_ms};
  stop_receiving();
  owner_.deadline_moved(*this);
  owner_.send_at_turn_end(*this);
}

void Connection::end_unsent() {
  close(ending_->reason, ending_->what + "; the answers before it could not be given in weir.frame.progress.ms");
}

void Connection::stop_receiving() {
  if (waiting_for_memory_ && shard_.budget.cancel(MemoryShare::kRequests, ticket_)) waiting_for_memory_ = false;
  frame_ = Buffer();
  frame_reservation_.release();
  leftover_ = Leftover();
}

// It and all requests behind it get no answer.
void Connection::give_up_from(QueuedRequest& request) {
  QueuedRequest* before = nullptr;
  in_flight_ = put_aside_ = changing_ = producing_ = 0;
  unsent_bytes_ = 0;
  for (QueuedRequest* kept = first_; kept != &request; kept = kept->next) {
    before = kept;
    ++in_flight_;
    if (kept->waits_for_memory()) ++put_aside_;
    if (kept->ended()) {
      unsent_bytes_ += kept->output().memory_bytes();
    } else {
      count_change(*kept, 1);
    }
  }
  (before ? before->next : first_) = nullptr;
  last_ = before;
  for (QueuedRequest* left = &request; left != nullptr;) {
    QueuedRequest& gone = *left;
    left = gone.next;
    gone.turn_has_come();
    gone.leave_queue();
  }
  deferred_.reset();  // it was the last one
}

Connection::Due Connection::due(int64_t now_ms) {
  if (ending_) return now_ms >= ending_->deadline_ms ? Due::kUnsent : Due::kNo;
  // Many in front may have announced bytes that they never send. After that long the client has given up as well.
  if (waiting_for_memory_ && now_ms >= frame_deadline_ms_) return Due::kNoMemory;
  if (frame_deadline_ms_ != 0 && now_ms >= frame_deadline_ms_) {
    const bool progressed = frame_filled_ - frame_filled_at_deadline_ >= kLeastFrameProgress;
    if (may_read() && !progressed) return Due::kStalled;
    frame_filled_at_deadline_ = frame_filled_;
    frame_deadline_ms_ = now_ms + shard_.options.frame_progress_ms;
  }
  if (now_ms - last_activity_ms_ < shard_.options.connections_max_idle_ms) return Due::kNo;
  const bool waits_for_us = first_ && !first_->ended();
  return waits_for_us ? Due::kNo : Due::kIdle;
}

void Connection::press(int64_t now_ms, bool requests, bool answers, bool responses) {
  // The rest of a request is not read because the client does not read the answers before it: its own doing, too.
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

// Of requests beside the first one under way, which looks after others itself.
bool Connection::holds(bool answers, bool responses) const {
  for (const QueuedRequest* request = first_; request != nullptr; request = request->next) {
    if (request == first_ && !request->ended()) continue;
    if (answers && request->memory_bytes() > 0) return true;
    if (responses && request->response_bytes() > 0) return true;
  }
  return false;
}

// The bytes that must move grow with the memory held, so that nobody keeps much for long.
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
  if (ending_) return ending_->deadline_ms;
  int64_t soonest = last_activity_ms_ + shard_.options.connections_max_idle_ms;
  if (frame_deadline_ms_ != 0) soonest = std::min(soonest, frame_deadline_ms_);
  return soonest;
}

}  // namespace weir::broker
