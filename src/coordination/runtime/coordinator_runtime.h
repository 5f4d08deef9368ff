// A coordinator at work: the state machine of one partition of an internal topic, its log and its clock. It is the same for every
// state machine. CoordinatorPartition<S> adds the type.
//
// load() replays the partition's log into a new state machine. Meanwhile serving() returns COORDINATOR_LOAD_IN_PROGRESS. A load
// that fails is tried again, less and less often; until one succeeds, serving() returns NOT_COORDINATOR, as in Kafka. Then each
// run() is one step. Its log entries are appended together with those of other steps of the same loop turn. Entries of a
// transaction, and markers, are appended within the step, behind waiting entries. No answer, call or post goes out before all
// entries of its step and of earlier ones are durable. One of a step without entries waits only for earlier ones. If an append
// fails, all waiting requests are answered with error_of_failed_append, and the state is built anew from the log. Results for the
// old state are dropped.
//
// Lives on the loop of the shard that owns the partition. Loop thread only. Answers come on that loop, possibly inline.
#pragma once

#include <any>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/lifetime.h"
#include "coordination/log/log_replay.h"
#include "coordination/runtime/coordinator_services.h"
#include "coordination/runtime/state_machine.h"
#include "runtime/runtime.h"
#include "storage/types.h"

namespace weir::storage {
class LogShard;
struct AppendOptions;
struct AppendResult;
}  // namespace weir::storage

namespace weir::coordination {

class CoordinatorRuntime {
 public:
  // All of it outlives the object.
  struct Surroundings {
    runtime::Pool& pool;
    runtime::Loop& loop;
    storage::LogShard& log;
    CoordinatorServices& services;
  };
  struct Names {             // for the process log
    std::string_view topic;  // "__consumer_offsets"
    std::string_view kept;   // "groups"
  };
  using MakeMachine = Function<std::unique_ptr<StateMachine>()>;
  using Step = Function<void(StateMachine&, Instant, Effects&)>;

  CoordinatorRuntime(const Surroundings& surroundings, const storage::PartitionId& id, Names names, MakeMachine make_machine,
                     ImagePtr image);
  ~CoordinatorRuntime();
  CoordinatorRuntime(const CoordinatorRuntime&) = delete;
  CoordinatorRuntime& operator=(const CoordinatorRuntime&) = delete;

  const storage::PartitionId& id() const { return id_; }
  // Calls `settled` once, possibly inline: when the partition serves, or when the first attempt has failed.
  void load(Function<void()> settled = {});
  // Call it before load(). Until release() the state stays as in the log, nothing expires, and requests are refused as during a
  // load. `tried` is called after each load, also after one that failed.
  void hold(Function<void(bool loaded)> tried);
  // Serves all keys but those that are kept back. Until release() these are refused with NOT_COORDINATOR, and stay as they are.
  void release_but(StateMachine::KeptBack kept_back);
  void release();
  // kNone, or the error of requests now: of those about a key that release_but() may keep back, and of others.
  protocol::ErrorCode serving(bool may_be_kept_back = false) const {
    if (!loaded()) return serving_;
    if (held_) return protocol::ErrorCode::kCoordinatorLoadInProgress;
    return may_be_kept_back && kept_back_ ? protocol::ErrorCode::kNotCoordinator : protocol::ErrorCode::kNone;
  }
  bool loaded() const { return serving_ == protocol::ErrorCode::kNone; }
  // Why the last load failed; empty if none has, or a later one succeeded.
  const std::string& failure() const { return failure_; }
  bool failed() const { return !failure_.empty(); }
  int64_t load_ms() const { return load_ms_; }               // what the last load took that succeeded
  const std::string& name() const { return name_; }          // of the partition
  void run(Step step);                                       // while loaded
  const StateMachine& machine() const { return *machine_; }  // while loaded; ahead of the log
  // A coordinator that loads gets the newest image when it has loaded.
  void image_changed(const ImageChange& change);
  // Answers all waiting requests with NOT_COORDINATOR, and serves no more.
  void stop();

 private:
  struct Flight {  // entries on their way to the log, and the answers that wait for them
    size_t appends_left = 0;
    std::vector<Release> replies;
  };
  static constexpr int64_t kReloadDelayNs = runtime::kSecond;
  static constexpr int64_t kLongestRetryNs = 16 * runtime::kSecond;
  static constexpr int64_t kTellAgainMs = 600'000;

  // Loading.
  void replay(const Origin& origin, const protocol::Record& record);
  void replayed(LogReplay::Outcome outcome, const std::string& reason);
  void load_failed(const std::string& reason);
  void load_done();
  void begin_service();

  // Running.
  Instant now() const;
  void take(Effects effects);
  void start_job(Job job);
  void arrived(const Token& token, std::any result);
  void flush_at_turn_end();
  void flush(const storage::AppendOptions& options);
  void append_batches(std::vector<LogEntry> entries, const std::shared_ptr<Flight>& flight,
                      const storage::AppendOptions& options);
  void appended(uint64_t session, const std::shared_ptr<Flight>& flight, const storage::AppendResult& result);
  void release_durable();
  void give_up(protocol::ErrorCode error, const Flight* failed = nullptr);
  void arm_timer();
  void timer_fired();

  // Wraps a callback that must not run once this object, or the session it belongs to, is gone.
  template <typename Callback>
  auto guarded(Callback callback) {
    return [alive = lifetime_.observe(), session = session_, this, callback = std::move(callback)](auto&&... args) mutable {
      if (alive && session == session_) callback(std::forward<decltype(args)>(args)...);
    };
  }

  runtime::Pool& pool_;
  runtime::Loop& loop_;
  storage::LogShard& log_;
  CoordinatorServices& services_;
  const storage::PartitionId id_;
  const std::string name_;  // of the partition
  const std::string kept_;
  MakeMachine make_machine_;
  ImagePtr image_;

  protocol::ErrorCode serving_ = protocol::ErrorCode::kCoordinatorLoadInProgress;
  uint64_t session_ = 0;  // one per state
  std::unique_ptr<StateMachine> machine_;

  std::unique_ptr<LogReplay> replay_;  // while it loads
  uint64_t skipped_records_ = 0;
  int64_t load_began_ms_ = 0;
  int64_t load_ms_ = 0;
  std::string failure_;
  int64_t failure_told_ms_ = 0;
  int64_t retry_delay_ns_ = kReloadDelayNs;
  Function<void()> settled_;
  bool held_ = false;
  std::vector<ImageChange::Topic> deleted_meanwhile_;  // while it loaded or was held
  StateMachine::KeptBack kept_back_;
  Function<void(bool)> on_held_load_;

  std::vector<LogEntry> open_entries_;  // of this turn
  std::vector<Release> open_replies_;
  bool flush_scheduled_ = false;
  std::deque<std::shared_ptr<Flight>> flights_;  // in append order
  runtime::TimerId timer_;
  int64_t timer_at_ms_ = 0;
  Lifetime lifetime_;
};

}  // namespace weir::coordination
