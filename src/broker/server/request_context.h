// One request from its frame to its response. A handler is given it.
//
// A handler owns the context through a RequestContextPtr and ends it exactly once: respond(), no_response() or close().
// It may do so now or at any later time, but only on the loop of the connection (loop()). Tasks of another shard may carry the
// pointer, as long as they do not touch the context. A pointer that is dropped there goes home by itself. Responses leave in the
// order of the requests, even if handlers end in another order. A pointer that is dropped without an end closes the connection.
// If the connection closes first, the context stays usable and the end has no effect (connection_closed() tells).
//
// Lifetimes: frame(), body(), everything decoded from them and the arena's memory are valid until the end call returns, or until
// release_frame().
//
// Memory. A request can multiply the elements of its arrays, and can ask for all that the broker holds. Both are reserved
// (MemoryShare::kAnswers) before they are made: decode() reserves for the elements, and reserve() for the handler's answer.
// Without room the handler is told to return. It is called again, from its start, when there is room. So it changes nothing
// before it has its memory. When the handler has let go, only the encoded answer counts, until it is sent.
//
// Its connection has it as a QueuedRequest.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "broker/server/answer_errors.h"
#include "broker/server/api_route.h"
#include "broker/server/client_quotas.h"
#include "broker/server/connection_info.h"
#include "broker/server/memory_budget.h"
#include "broker/server/outgoing_response.h"
#include "broker/server/request_channel.h"
#include "broker/server/request_times.h"
#include "protocol/api.h"
#include "protocol/arena.h"
#include "protocol/wire.h"
#include "runtime/loop.h"

namespace weir::broker {

class RequestContext {
 public:
  RequestContext(const RequestContext&) = delete;

  const ApiRoute& route() const { return *route_; }
  protocol::ApiKey api_key() const { return api_key_; }
  int16_t version() const { return version_; }
  int32_t correlation_id() const { return correlation_id_; }
  std::string_view client_id() const { return client_id_; }
  ConnectionInfo& connection() const { return channel_->info(); }
  std::string client_text() const;  // for logs: client id and address
  bool connection_closed() const { return channel_->closed(); }
  // The same for other threads: becomes true, at once or a little later.
  std::shared_ptr<const std::atomic<bool>> connection_closed_flag() { return channel_->closed_flag(); }
  runtime::Loop& loop() const { return *loop_; }
  // Whether the next bytes to go out are this request's: false while requests before it are unanswered or unsent. True on a
  // closed connection.
  virtual bool first_in_line() const = 0;
  // Posts `turn` once that is so; for a request that is not first_in_line() now.
  void when_first_in_line(Function<void()> turn) { turn_ = std::move(turn); }
  int64_t received_ns() const { return moments_.received; }  // monotonic
  // The request asked for a late answer (a fetch that waits for data). A wait up to this time does not make it slow.
  void may_wait_ms(int64_t wait_ms) { allowed_wait_ms_ = std::max<int64_t>(wait_ms, 0); }

  // Whether its client may do this. A right to the cluster that the row requires was asked before the handler was called.
  bool authorize(security::AclOperation operation, const security::Resource& resource) const {
    return authorizer_ == nullptr || operation == security::AclOperation::kNone || ask(operation, resource);
  }
  // The operation that its API needs on each resource of a type (ApiNeeds). kNone: no right is needed, or the client has the
  // right to the cluster, and that suffices.
  security::AclOperation needed(security::ResourceType type) const;
  // Whether its client has the right that its API needs of a resource. It need not exist.
  bool may(const security::Resource& resource) const {
    return authorizer_ == nullptr || authorize(needed(resource.type), resource);
  }
  // The same for any resource of the type: one is enough.
  bool may_with_any(security::ResourceType type) const { return authorizer_ == nullptr || ask_of_any(type); }
  // The same question about resources of a type, for any thread and after the request. Null: all are allowed.
  std::shared_ptr<const std::function<bool(std::string_view name)>> lasting_right(security::AclOperation operation,
                                                                                  security::ResourceType type) const;
  // The operations that its client may do with a resource, in the form of answers. None if the client may not describe it.
  int32_t authorized_operations(const security::Resource& resource) const;
  // Its client used up its quota. The answer says so, and the connection is muted for this long. The longest time counts.
  void throttle(int32_t for_ms) { throttle_ms_ = std::max(throttle_ms_, for_ms); }

  protocol::Arena& arena() { return arena_; }
  // The request after its header. Its bytes may be changed in place (base offsets of batches).
  Bytes body() const { return body_; }
  // The whole request without its length. A frame above kCopyLimit of the WAL lies in a Buffer of its own, at its begin. A
  // smaller one may have no owner: then its bytes live as long as the arena.
  const Slice& frame() const { return frame_; }
  // For handlers that wait long: gives back frame, arena and their memory.
  void release_frame();

  // An element may cost this much in its decoded form, in the handler and in the answer. A handler whose answers hold more for an
  // element says so to reserve().
  static constexpr size_t kElementBytes = 512;
  static constexpr size_t kMaxElements = 100'000;  // also for the time they take
  static constexpr size_t kFreeElements = 128;
  static constexpr uint64_t kFreeBytes = 16 * 1024;

  // Decodes the body. If it returns false the handler just returns: the connection is closed, or the handler is called again.
  template <typename Request>
  bool decode(Request& request) {
    for (;; request = Request()) {
      protocol::Reader reader(body_, arena_);
      reader.limit_elements(elements_max_);
      request.decode(reader, version_);
      if (!reader.too_many_elements()) return decoded(reader);
      if (!allow_more_elements()) return false;
    }
  }
  // Reserves for the answer, beyond the bytes of its elements. If it returns false the handler just returns: it is called again,
  // or the connection is closed, for nobody could have so many bytes.
  bool reserve(uint64_t bytes);
  // The most that can be reserved. An answer with all that the broker holds takes this much, and waits until it is alone.
  uint64_t most_answer_bytes() const;
  // For a request that waits for an event: whether others wait for the memory that it holds.
  bool holds_up_others() const;

  // External bytes of the response; see OutgoingResponse.
  uint32_t attach(ExternalBytes piece) { return output_.attach(std::move(piece)); }
  uint32_t next_external_id() const { return output_.next_id(); }

  template <typename Response>
  void respond(const Response& response) {
    respond_as(response, version_);
  }
  // With another version than the request's: ApiVersions answers unknown versions in version 0.
  template <typename Response>
  void respond_as(const Response& response, int16_t version) {
    response.encode(begin_response(version), version);
    finish_response();
  }
  // acks=0: the client does not expect an answer.
  void no_response();
  // Closes the connection, once the answers before this one are given; `reason` is logged.
  void close(std::string_view reason);
  bool ended() const { return state_ != State::kHandling; }
  // By RequestContextPtr alone, and on any thread.
  virtual void handle_dropped() = 0;

 protected:
  enum class State : uint8_t { kHandling, kEnded };  // a request that waits for memory is being handled
  static constexpr size_t kKeepArenaBytes = 4096;

  RequestContext() { output_.writer().observe(&fields_); }
  ~RequestContext() = default;

  void drop_frame();
  void forget_request();

  bool decoded(const protocol::Reader& reader);
  bool allow_more_elements();
  bool hold(uint64_t bytes);
  bool ask(security::AclOperation operation, const security::Resource& resource) const;
  bool ask_of_any(security::ResourceType type) const;
  protocol::Writer& begin_response(int16_t version);
  void finish_response();
  void charge();
  void end();
  virtual void tell_answered() = 0;
  virtual void tell_failed(std::string_view what) = 0;

 protected:
  RequestChannel* channel_ = nullptr;
  runtime::Loop* loop_ = nullptr;
  MemoryBudget* budget_ = nullptr;
  const security::Authorizer* authorizer_ = nullptr;  // nullptr: everything is allowed
  ClientQuotas* quotas_ = nullptr;                    // nullptr: nothing is counted
  State state_ = State::kHandling;
  protocol::ApiKey api_key_{};
  int16_t version_ = 0;
  int32_t correlation_id_ = 0;
  RequestMoments moments_;
  int64_t allowed_wait_ms_ = 0;
  Function<void()> turn_;
  const ApiRoute* route_ = nullptr;
  std::string_view client_id_;
  Bytes body_;
  Slice frame_;
  Reservation frame_reservation_;
  Reservation response_reservation_;  // of bytes that memory_ does not cover
  Reservation memory_;                // for decoded form and answer
  uint64_t memory_wanted_ = 0;        // not 0: there was no room, the handler is to be called again
  size_t elements_max_ = kFreeElements;
  uint64_t decoded_bytes_ = 0;  // that memory_ is for
  uint64_t answer_bytes_ = 0;
  uint64_t request_bytes_ = 0;
  int32_t throttle_ms_ = 0;
  protocol::Arena arena_{protocol::Arena::kUnlimited, kKeepArenaBytes};
  OutgoingResponse output_;
  AnswerFields fields_;  // of what is in output_
};

struct DropRequestContext {
  void operator()(RequestContext* context) const { context->handle_dropped(); }
};

}  // namespace weir::broker
