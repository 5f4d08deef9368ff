// One accepted connection: frames in, responses out in the order of their requests.
//
// Reading. A receive takes the bytes of many pipelined requests into the shard's shared block. Whole frames go to the dispatcher
// from there. An incomplete frame gets memory of its own, into which the rest is received directly. That memory is reserved in
// the budget as the frame's bytes come, twice their number, before it is touched (docs/decisions/0011). The connection reads
// nothing while it or one of its requests waits for memory, and with kMaxRequestsInFlight unanswered requests, or more than
// kMaxUnsentBytes to send. The peer then feels TCP's back-pressure.
//
// Order. Requests are handled while earlier ones of the connection are. But a client finds its own changes: while a request that
// changes something is unanswered, only Produce behind Produce is handled (RequestKind). Other requests wait, and all behind
// them.
//
// Writing. Responses that are ready go out at the end of the loop's turn, many in one gathered send. Ranges of files are sent by
// the socket, or read and written like all else if it sends no files.
//
// Faults. A request that cannot be answered (an unknown API, a malformed body, acks=0 and a failure) ends the connection. Its
// client is given the answers of the requests before it, as by Kafka, which reads a request only when the one before it is
// answered. Meanwhile nothing is read or begun, and requests behind the fault, which may have been begun, get no answer. All this
// takes weir.frame.progress.ms at most.
//
// Throttling. A client that used up its quota is muted for a time. None of its requests is read or handled, also none that was
// received already. Requests that were begun go on and are answered.
//
// Lifecycle: the owner creates it on accept, and close() ends it. The socket goes at the end of the turn. The object stays until
// the last request lets go of it. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "broker/server/connection_owner.h"
#include "broker/server/deadline_wheel.h"
#include "broker/server/listener_metrics.h"
#include "broker/server/queued_request.h"
#include "runtime/loop.h"

namespace weir::broker {

// The owner's notes of a connection; the connection does not look at them.
struct OwnersNotes : DeadlineWheel::Entry {
  size_t index = 0;             // in the owner's list
  bool send_scheduled = false;  // these: in another list of it
  bool read_scheduled = false;
  bool removal_scheduled = false;
};

class Connection final : public runtime::Socket::Handler, public RequestChannel, public OwnersNotes {
 public:
  static constexpr unsigned kMaxRequestsInFlight = 64;
  static constexpr uint64_t kMaxUnsentBytes = 1 << 20;
  static constexpr size_t kReadBytesPerTurn = 1 << 20;
  static constexpr size_t kCopiedFrameBytes = 2048;
  // A frame that is being received must grow by this much within the deadline (or end).
  static constexpr uint64_t kLeastFrameProgress = 256 * 1024;
  // While others wait for memory, such a frame and the bytes to send must move faster: by this much in each such time, or by an
  // eighth of the memory held.
  static constexpr uint64_t kLeastPressedProgress = 16 * 1024;
  static constexpr int64_t kPressedMs = 1000;
  // Received at a time while many bytes of requests wait for memory.
  static constexpr size_t kCrowdedReadBytes = 4096;

  using Reason = CloseReason;

  Connection(ConnectionOwner& owner, ShardConnections& shard, std::unique_ptr<runtime::Socket> socket,
             const ListenerInfo& listener, ListenerMetrics& metrics);
  ~Connection() override;

  void on_readable() override;
  void on_writable() override;

  // For requests.
  ConnectionInfo& info() override { return info_; }
  const ConnectionInfo& info() const { return info_; }
  bool closed() const override { return closed_; }
  std::shared_ptr<const std::atomic<bool>> closed_flag() override;
  void fail(QueuedRequest& request, Reason reason, std::string_view what) override;
  bool is_first(const QueuedRequest& request) const override { return first_ == &request; }
  void answered(QueuedRequest& request) override;
  void released() override;
  void put_aside() override { ++put_aside_; }
  void take_up(QueuedRequest& request) override;

  // For the owner.
  // Ends the connection at once, and drops responses that are not sent yet. `what` is for the log.
  void close(Reason reason, std::string_view what);
  void start();  // the socket's events come from now on
  void send();
  void read();
  void block_granted();
  enum class Due : uint8_t { kNo, kIdle, kStalled, kNoMemory, kUnsent };
  Due due(int64_t now_ms);
  int64_t next_deadline_ms() const;
  void end_unsent();  // for Due::kUnsent
  // Others wait for memory of requests, of answers, or of fetched data.
  void press(int64_t now_ms, bool requests, bool answers, bool responses);
  // Destroys the socket of a closed connection. Not within the socket's own callback.
  void drop_socket() { socket_.reset(); }
  // Nothing refers to the object any more.
  bool removable() const { return closed_ && contexts_ == 0 && !waiting_for_memory_; }
  ListenerMetrics& metrics() const { return metrics_; }

 private:
  // Bytes that were received but cannot be used yet; they begin with a frame's length.
  struct Leftover {
    Slice bytes;
    Reservation reservation;
  };

  // It closes for a fault once the answers before it are sent, or at the deadline.
  struct Ending {
    Reason reason;
    std::string what;
    int64_t deadline_ms;
  };

  // How much has moved since press() looked first.
  struct Progress {
    int64_t since_ms = 0;  // 0: not looked at
    uint64_t moved_then = 0;
    bool too_slow(bool expected, int64_t now_ms, uint64_t moved, uint64_t held);
  };

  // Reading
  bool may_read() const;
  // Further requests have to wait.
  bool full() const {
    return in_flight_ >= kMaxRequestsInFlight || unsent_bytes_ >= kMaxUnsentBytes || put_aside_ > 0 || deferred_ || muted();
  }
  bool read_into_block();
  bool read_into_frame();
  bool received(const runtime::IoResult& result, size_t asked);
  void take_frames(const Buffer& owner, const uint8_t* data, size_t size);
  bool check_length(int32_t length, Bytes begin);
  void keep_leftover(const Buffer& owner, const uint8_t* data, size_t size);
  void begin_frame(const Buffer& owner, const uint8_t* data, size_t size);
  void allocate_frame(uint32_t length, Bytes begin, Reservation reservation);
  void frame_memory_granted(uint32_t length, Reservation reservation);
  bool grow_frame();
  bool grown();
  void frame_memory_grown(Reservation reservation);
  void deliver(Slice frame, Reservation reservation);
  void refuse_foreign(Bytes begin);
  void close_if_done();
  void end(Reason reason, std::string_view what);
  void stop_receiving();
  void give_up_from(QueuedRequest& request);
  void resume();

  // Requests and writing
  void begin(QueuedRequest& request, RequestContextPtr handle);
  void begin_deferred();
  bool must_wait(const QueuedRequest& request) const;
  void count_change(const QueuedRequest& request, int by);
  void mute(int64_t for_ms);
  bool muted() const { return static_cast<bool>(unmute_timer_); }
  void send_gathered();
  void send_file_part();
  void written(const runtime::IoResult& result, uint64_t asked);
  void pop_sent();
  void count_sent(QueuedRequest& request, int64_t now_ns);
  bool holds(bool answers, bool responses) const;

  ConnectionOwner& owner_;
  ShardConnections& shard_;
  std::unique_ptr<runtime::Socket> socket_;
  ListenerMetrics& metrics_;
  ConnectionInfo info_;

  uint8_t length_bytes_[4] = {};  // of a frame whose length is not complete
  uint8_t length_size_ = 0;
  bool readable_ = true;
  bool writable_ = true;
  bool closed_ = false;
  std::optional<Ending> ending_;
  bool peer_done_ = false;  // it has closed its side
  std::shared_ptr<std::atomic<bool>> closed_flag_;
  bool seen_frame_ = false;
  bool waiting_for_memory_ = false;  // a budget callback with our pointer is under way
  bool waiting_for_block_ = false;
  bool taking_frames_ = false;

  // The frame that is being received into its own memory.
  Buffer frame_;
  uint32_t frame_size_ = 0;
  uint32_t frame_filled_ = 0;
  uint32_t frame_filled_at_deadline_ = 0;
  Reservation frame_reservation_;
  MemoryBudget::Ticket ticket_ = 0;
  Leftover leftover_;

  // Requests from the oldest unanswered one on.
  QueuedRequest* first_ = nullptr;
  QueuedRequest* last_ = nullptr;
  unsigned in_flight_ = 0;      // in the queue
  unsigned contexts_ = 0;       // that point here
  unsigned put_aside_ = 0;      // wait for memory to be handled
  unsigned changing_ = 0;       // unanswered requests of RequestKind::kChanges
  unsigned producing_ = 0;      // those of kProduces
  RequestContextPtr deferred_;  // the last one in the queue; waits for those, or for the connection to be muted no more
  runtime::TimerId unmute_timer_;
  int64_t muted_until_ms_ = 0;
  uint64_t unsent_bytes_ = 0;
  uint64_t sent_bytes_ = 0;

  Progress arriving_;
  Progress leaving_;
  int64_t receive_time_ns_ = 0;   // of the last bytes
  int64_t answers_sent_ns_ = 0;   // the last one
  int64_t dispatch_time_ns_ = 0;  // when the next frame's turn begins: the end of the one before, to save clock reads
  int64_t last_activity_ms_ = 0;
  int64_t frame_deadline_ms_ = 0;  // to grow, or to get the memory for it; 0: none
};

}  // namespace weir::broker
