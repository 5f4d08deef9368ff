// One request from its frame to its response: what a handler is given.
//
// A handler owns the context through a RequestContextPtr and ends it exactly once: respond(), no_response() or close().
// It may do so now or at any later time, but only on the loop of the connection (loop()); the pointer may be carried
// through another shard's tasks as long as nobody there touches it; dropped there, it goes home by itself. Responses leave
// in the order of the requests, whatever the order in which handlers end. Dropping the pointer without an end closes the
// connection. If the connection closes first, the context stays usable and the end has no effect (connection_closed() tells).
//
// Lifetimes: frame(), body(), everything decoded from them and the arena's memory are valid until the end call returns, or until
// release_frame().
//
// Memory. What a request can multiply is the elements of its arrays, and what it can ask for is as large as what the broker
// holds. Both are reserved (MemoryShare::kAnswers) before they are made: decode() reserves for the elements, reserve() for
// what the handler says. Without room the handler is told to return; it is called again, from its start, when there is. So it
// changes nothing before it has its memory. When the handler has let go, only the encoded answer counts, until it is sent.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "broker/config/listeners.h"
#include "broker/server/memory_budget.h"
#include "broker/server/outgoing_response.h"
#include "broker/server/request_times.h"
#include "protocol/api.h"
#include "protocol/arena.h"
#include "protocol/wire.h"
#include "runtime/loop.h"

namespace weir::broker {

class Connection;
class ContextPool;
struct ApiRoute;

struct ConnectionFacts {
  const ListenerInfo* listener = nullptr;
  runtime::Endpoint local;
  runtime::Endpoint peer;
  std::string client_software_name;  // as of ApiVersions; empty before
  std::string client_software_version;

  // Where clients that use this connection's listener reach this broker.
  const runtime::Endpoint& advertised() const { return listener->advertised ? *listener->advertised : local; }
};

class RequestContext {
 public:
  explicit RequestContext(ContextPool& pool) : pool_(pool) {}
  RequestContext(const RequestContext&) = delete;

  protocol::ApiKey api_key() const { return api_key_; }
  int16_t version() const { return version_; }
  int32_t correlation_id() const { return correlation_id_; }
  std::string_view client_id() const { return client_id_; }
  ConnectionFacts& connection();
  std::string client_text();  // for logs: client id and address
  bool connection_closed() const;
  // The same for other threads: becomes true, at once or a little later.
  std::shared_ptr<const std::atomic<bool>> connection_closed_flag();
  runtime::Loop& loop();
  // Whether the next bytes to go out are this request's: false while requests before it are unanswered or unsent. True on a
  // closed connection.
  bool first_in_line() const;
  // Posts `turn` once that is so; for a request that is not first_in_line() now.
  void when_first_in_line(Function<void()> turn) { turn_ = std::move(turn); }
  int64_t received_ns() const { return moments_.received; }  // monotonic
  // The request asked to be answered late (a fetch that waits for data): so much waiting does not make it slow.
  void may_wait_ms(int64_t wait_ms) { allowed_wait_ms_ = std::max<int64_t>(wait_ms, 0); }

  protocol::Arena& arena() { return arena_; }
  // The request after its header. Its bytes may be changed in place (base offsets of batches).
  Bytes body() const { return body_; }
  // The whole request without its length. Frames above kCopyLimit of the WAL lie in a Buffer of their own, at its
  // begin; of smaller ones the owner may be empty (then the bytes live as long as the arena).
  const Slice& frame() const { return frame_; }
  // For handlers that wait long: frame, arena and their memory go.
  void release_frame();

  // An element may cost this much of decoded form, of what the handler keeps for it and of answer. A handler whose answers hold
  // more for one says so to reserve().
  static constexpr size_t kElementBytes = 512;
  static constexpr size_t kMaxElements = 100'000;  // also for the time they take
  static constexpr size_t kFreeElements = 128;
  static constexpr uint64_t kFreeBytes = 16 * 1024;

  // Decodes the body. Otherwise the handler just returns: the connection is closed, or the handler is called again.
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
  // Reserves for the answer, beyond what its elements have. False: the handler just returns, and is called again; or the
  // connection is closed, for the bytes are more than there are for anybody.
  bool reserve(uint64_t bytes);
  // The most that can be reserved. What is as large as all that the broker has is answered even so, when nobody else is.
  uint64_t most_answer_bytes() const;
  // For a request that waits for something to happen: others wait for the memory that it holds.
  bool holds_up_others() const;

  // External bytes of the response; see OutgoingResponse.
  uint32_t attach(ExternalBytes piece) { return output_.attach(std::move(piece)); }
  uint32_t next_external_id() const { return output_.next_id(); }

  template <typename Response>
  void respond(const Response& response) {
    respond_as(response, version_);
  }
  // With another version than the request's (ApiVersions answers unknown versions with version 0).
  template <typename Response>
  void respond_as(const Response& response, int16_t version) {
    response.encode(begin_response(version), version);
    finish_response();
  }
  // acks=0: the client does not expect an answer.
  void no_response();
  // Closes the connection; `reason` is logged.
  void close(std::string_view reason);
  bool ended() const { return state_ != State::kHandling; }

 private:
  friend class Connection;
  friend class ContextPool;
  friend class Dispatcher;
  friend class Frontend;
  friend struct DropRequestContext;
  enum class State : uint8_t { kHandling, kEnded };  // a request that waits for memory is being handled
  static constexpr size_t kKeepArenaBytes = 4096;

  bool decoded(const protocol::Reader& reader);
  bool allow_more_elements();
  bool hold(uint64_t bytes);
  void wait_for_memory();
  void memory_granted(Reservation reservation);
  void stop_waiting();
  void drop_frame();
  void forget_request();
  protocol::Writer& begin_response(int16_t version);
  void finish_response();
  void end();
  void handle_dropped();
  void reset();

  ContextPool& pool_;
  Connection* connection_ = nullptr;
  RequestContext* next_ = nullptr;  // in the connection's queue
  State state_ = State::kHandling;
  bool has_handle_ = false;  // a RequestContextPtr exists, or will again
  bool queued_ = false;      // in the connection's queue
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
  Reservation response_reservation_;  // of what memory_ does not cover
  Reservation memory_;                // for what is decoded and answered
  uint64_t memory_wanted_ = 0;        // not 0: there was no room, the handler is to be called again
  size_t elements_max_ = kFreeElements;
  uint64_t decoded_bytes_ = 0;  // what memory_ is for
  uint64_t answer_bytes_ = 0;
  std::shared_ptr<RequestContext*> waiter_;  // while it waits for memory: what the budget calls
  MemoryBudget::Ticket ticket_ = 0;
  protocol::Arena arena_{protocol::Arena::kUnlimited, kKeepArenaBytes};
  OutgoingResponse output_;
};

struct DropRequestContext {
  void operator()(RequestContext* context) const { context->handle_dropped(); }
};
using RequestContextPtr = std::unique_ptr<RequestContext, DropRequestContext>;

// Contexts for reuse, so that a request in steady state allocates nothing. Loop thread only.
class ContextPool {
 public:
  RequestContext& take();
  void give_back(RequestContext& context);

 private:
  static constexpr size_t kKeep = 256;
  std::vector<std::unique_ptr<RequestContext>> free_;
};

}  // namespace weir::broker
