// A request as its connection has it. It is in the queue of due answers from its frame until its answer is sent.
//
// It is in two hands, its handler's (RequestContextPtr) and the queue's, and goes back to its pool when both have let go.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "broker/server/request_context.h"

namespace weir::broker {

class ContextPool;

// The shared parts of a shard's requests.
struct RequestSurroundings {
  runtime::Loop& loop;
  MemoryBudget& budget;
};

class QueuedRequest final : public RequestContext {
 public:
  explicit QueuedRequest(ContextPool& pool) : pool_(pool) {}

  // A frame has become a request of `channel`: it is in the queue and has a handler's hand. A frame without an owner is copied.
  void arrive(RequestChannel& channel, const RequestSurroundings& surroundings, Slice frame, Reservation reservation);
  // The hand of the handler, which is there from arrive() on.
  RequestContextPtr handle() { return RequestContextPtr(this); }
  // The dispatcher finds its row.
  void set_header(const protocol::RequestHeader& header, Bytes body);
  void set_route(const ApiRoute& route, const security::Authorizer* authorizer, ClientQuotas* quotas);
  bool routed() const { return route_ != nullptr; }
  bool queued() const { return queued_; }
  bool waits_for_memory() const { return waiter_ != nullptr; }

  bool first_in_line() const override { return !queued_ || channel_->is_first(*this); }
  void handle_dropped() override;

  // All answers before it are sent, or the connection is closed.
  void turn_has_come() {
    if (turn_) loop_->post(std::exchange(turn_, nullptr));
  }
  // Its answer is sent, or is never sent.
  void leave_queue();
  // The memory it holds beside what its handler needs: decoded and encoded, and the part of the answer that this does not cover.
  uint64_t memory_bytes() const { return memory_.bytes(); }
  uint64_t response_bytes() const { return response_reservation_.bytes(); }
  void reserve_response();

  RequestMoments& moments() { return moments_; }
  const RequestMoments& moments() const { return moments_; }
  OutgoingResponse& output() { return output_; }
  const OutgoingResponse& output() const { return output_; }
  int64_t allowed_wait_ms() const { return allowed_wait_ms_; }
  int32_t throttle_ms() const { return throttle_ms_; }

  QueuedRequest* next = nullptr;  // in the queue

  // For the pool: as if it were new.
  void reset();

 private:
  void tell_answered() override {
    if (queued_) channel_->answered(*this);
  }
  void tell_failed(std::string_view what) override { channel_->fail(*this, CloseReason::kProtocol, what); }
  void wait_for_memory();
  void memory_granted(Reservation reservation);

  ContextPool& pool_;
  bool has_handle_ = false;  // a RequestContextPtr exists, or will again
  bool queued_ = false;
  std::shared_ptr<QueuedRequest*> waiter_;  // while it waits for memory: the budget's callback has it
  MemoryBudget::Ticket ticket_ = 0;
};

// Requests for reuse, so that one in steady state allocates nothing. Loop thread only.
class ContextPool {
 public:
  QueuedRequest& take();
  void give_back(QueuedRequest& request);

 private:
  static constexpr size_t kKeep = 256;
  std::vector<std::unique_ptr<QueuedRequest>> free_;
};

}  // namespace weir::broker
