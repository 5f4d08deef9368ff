// A coordinator at work: the state machine of one partition of `__consumer_offsets`, its log and its clock.
//
// load() reads the partition's log into a new state. While that goes on, serving() says COORDINATOR_LOAD_IN_PROGRESS; a load
// that fails is tried again.
// Then each run() is one step. Its records are appended together with those of the other steps of the same loop turn, and
// no answer is given before all records of its step and of earlier ones are durable; an answer to a step without records
// waits only if something before it does. If an append fails, everything that waits is answered with NOT_COORDINATOR and
// the state is built anew from what the log holds.
//
// Lives on the loop of the shard that owns the partition; loop thread only. Answers come on that loop, possibly inline.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/function.h"
#include "coordination/group/group_coordinator_state.h"
#include "coordination/log/log_replay.h"
#include "runtime/runtime.h"
#include "storage/log/log_shard.h"

namespace weir::coordination {

class GroupPartition {
 public:
  using Step = Function<void(GroupCoordinatorState&, Instant, Effects&)>;

  // Everything given outlives the object.
  GroupPartition(runtime::Pool& pool, runtime::Loop& loop, storage::LogShard& log, const storage::PartitionId& id,
                 const GroupConfig& config, GroupMemory& memory, GroupCoordinatorState::TopicExists topic_exists);
  ~GroupPartition();
  GroupPartition(const GroupPartition&) = delete;

  const storage::PartitionId& id() const { return id_; }
  // `settled` is called once, possibly inline: when the partition serves, or the first attempt has failed.
  void load(Function<void()> settled = {});
  // Before load(): the state stays as the log has it, nothing expires, and requests are refused as while it loads, until
  // release(). `tried` is called after each load, and after each that failed.
  void hold(Function<void(bool loaded)> tried);
  // Serves, but the groups that are kept back: they are refused as while it loads, and stay as they are, until release().
  void release_but(GroupCoordinatorState::KeptBack kept_back);
  void release();
  // kNone, or what requests are answered with now: those about a group that release_but() may keep back, and others.
  ErrorCode serving(bool may_be_kept_back = false) const {
    const bool refused = held_ || (may_be_kept_back && kept_back_);
    return refused && loaded() ? ErrorCode::kCoordinatorLoadInProgress : serving_;
  }
  bool loaded() const { return serving_ == ErrorCode::kNone; }
  void run(Step step);                                            // while loaded
  const GroupCoordinatorState& state() const { return *state_; }  // while loaded; ahead of the log
  // Answers everything that waits with NOT_COORDINATOR and serves no more.
  void stop();

 private:
  struct Flight {  // records on their way to the log, and what waits for them
    size_t appends_left = 0;
    std::vector<Release> replies;
  };
  static constexpr size_t kBatchBytes = size_t{512} << 10;
  static constexpr int64_t kReloadDelayNs = runtime::kSecond;

  // Loading.
  void replay(const protocol::Record& record);
  void replayed(LogReplay::Outcome outcome, const std::string& reason);
  void load_done();
  void begin_service();

  // Running.
  Instant now() const;
  void take(Effects effects);
  void warn_of_memory();
  void flush_at_turn_end();
  void flush();
  void append_batches(std::vector<CoordinatorRecord> records, const std::shared_ptr<Flight>& flight);
  void appended(uint64_t session, const std::shared_ptr<Flight>& flight, const storage::AppendResult& result);
  void release_durable();
  void give_up(ErrorCode error);
  void arm_timer();
  void timer_fired();

  // Wraps a callback that must not run once this object, or the session it belongs to, is gone.
  template <typename Callback>
  auto guarded(Callback callback) {
    return [alive = alive_, session = session_, this, callback = std::move(callback)](auto&&... args) mutable {
      if (*alive && session == session_) callback(std::forward<decltype(args)>(args)...);
    };
  }

  runtime::Pool& pool_;
  runtime::Loop& loop_;
  storage::LogShard& log_;
  const storage::PartitionId id_;
  const GroupConfig config_;
  GroupMemory& memory_;
  const GroupCoordinatorState::TopicExists topic_exists_;

  ErrorCode serving_ = ErrorCode::kCoordinatorLoadInProgress;
  uint64_t session_ = 0;  // one per state
  std::unique_ptr<GroupCoordinatorState> state_;

  std::unique_ptr<LogReplay> replay_;  // while it loads
  uint64_t skipped_records_ = 0;
  Function<void()> settled_;
  bool held_ = false;
  GroupCoordinatorState::KeptBack kept_back_;
  Function<void(bool)> on_held_load_;

  std::vector<CoordinatorRecord> open_records_;  // of this turn
  std::vector<Release> open_replies_;
  bool flush_scheduled_ = false;
  std::deque<std::shared_ptr<Flight>> flights_;  // in append order
  runtime::TimerId timer_;
  int64_t timer_at_ms_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::coordination
