#include "coordination/group/group_partition.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "protocol/record_batch.h"
#include "protocol/record_batch_builder.h"

namespace weir::coordination {
namespace {

constexpr std::string_view kModule = "groups";

size_t size_of(const CoordinatorRecord& record) { return record.key.size() + (record.value ? record.value->size() : 0); }

}  // namespace

GroupPartition::GroupPartition(runtime::Pool& pool, runtime::Loop& loop, storage::LogShard& log, const storage::PartitionId& id,
                               const GroupConfig& config, GroupMemory& memory, GroupCoordinatorState::TopicExists topic_exists)
    : pool_(pool), loop_(loop), log_(log), id_(id), config_(config), memory_(memory), topic_exists_(std::move(topic_exists)) {}

GroupPartition::~GroupPartition() {
  *alive_ = false;
  if (timer_) loop_.cancel(timer_);
}

Instant GroupPartition::now() const { return {loop_.clock().monotonic_ns() / runtime::kMillisecond, loop_.clock().wall_ms()}; }

// --- load -----------------------------------------------------------------------------------------------------------

void GroupPartition::load(Function<void()> settled) {
  ++session_;
  serving_ = ErrorCode::kCoordinatorLoadInProgress;
  if (settled) settled_ = std::move(settled);
  state_ = std::make_unique<GroupCoordinatorState>(config_, loop_.random(), memory_);
  state_->keep_back(kept_back_);
  skipped_records_ = 0;
  const storage::Partition* partition = log_.find(id_);
  if (partition != nullptr && !partition->offline() && partition->log_start_offset() >= partition->high_watermark()) {
    // Nothing to read: a new coordinator serves at once.
    auto done = std::exchange(settled_, {});
    load_done();
    if (done) done();
    return;
  }
  replay_ = std::make_unique<LogReplay>(
      pool_, loop_, log_, id_,
      LogReplay::Callbacks{.record = [this](const LogReplay::Origin&, const protocol::Record& record) { replay(record); },
                           .marker = [](const LogReplay::Marker&) {},  // offsets of transactions are not committed yet
                           .done = [this](LogReplay::Outcome outcome, const std::string& reason) { replayed(outcome, reason); }});
  replay_->start();
}

void GroupPartition::replay(const protocol::Record& record) {
  if (auto ok = state_->replay(*record.key, record.value); !ok && skipped_records_++ == 0) {
    log_warn(kModule, "__consumer_offsets-{}: the record at offset {} is skipped: {}", id_.index, record.offset,
             ok.error().message);
  }
}

void GroupPartition::replayed(LogReplay::Outcome outcome, const std::string& reason) {
  const auto finished = std::move(replay_);
  auto settled = std::exchange(settled_, {});
  switch (outcome) {
    case LogReplay::Outcome::kComplete:
      load_done();
      break;
    case LogReplay::Outcome::kNoPartition:
      stop();
      break;
    case LogReplay::Outcome::kFailed:
      log_error(kModule, "__consumer_offsets-{}: groups cannot be loaded at offset {}: {}. It is tried again.", id_.index,
                finished->next_offset(), reason);
      if (held_ || kept_back_) on_held_load_(false);
      [[fallthrough]];
    case LogReplay::Outcome::kOvertaken:
      ++session_;
      loop_.schedule_after(kReloadDelayNs, guarded([this] { load(); }));
  }
  if (settled) settled();
}

void GroupPartition::load_done() {
  serving_ = ErrorCode::kNone;
  if (state_->group_count() > 0) {
    log_debug(kModule, "__consumer_offsets-{}: {} with {} loaded", id_.index, counted(state_->group_count(), "group"),
              counted(state_->offset_count(), "offset"));
  }
  const bool tell = held_ || kept_back_;
  if (!held_) begin_service();
  if (tell) on_held_load_(true);
}

void GroupPartition::hold(Function<void(bool)> tried) {
  held_ = true;
  on_held_load_ = std::move(tried);
}

void GroupPartition::release_but(GroupCoordinatorState::KeptBack kept_back) {
  kept_back_ = std::move(kept_back);
  if (state_) state_->keep_back(kept_back_);
  if (std::exchange(held_, false) && loaded()) begin_service();
}

void GroupPartition::release() {
  const bool kept_some_back = std::exchange(kept_back_, {}) != nullptr;
  if (state_) state_->keep_back({});
  if ((std::exchange(held_, false) || kept_some_back) && loaded()) begin_service();
}

void GroupPartition::begin_service() {
  run([this](GroupCoordinatorState& state, Instant at, Effects& effects) {
    state.loaded(at, effects);
    state.check_topics(topic_exists_, at);
  });
}

// --- steps ----------------------------------------------------------------------------------------------------------

void GroupPartition::run(Step step) {
  WEIR_CHECK(serving_ == ErrorCode::kNone);
  Effects effects;
  const Instant at = now();
  // A batch holds one record that is large, and nothing else.
  constexpr int64_t kBatchOverhead = 4096;
  const storage::Partition* partition = log_.find(id_);
  if (partition != nullptr) state_->limit_record(static_cast<int64_t>(partition->config().segment_bytes) - kBatchOverhead);
  step(*state_, at, effects);
  if (!held_) {
    if (state_->next_deadline_ms() <= at.monotonic_ms) state_->tick(at, effects);
    arm_timer();
  }
  if (state_->take_refused_for_memory()) warn_of_memory();
  take(std::move(effects));
}

void GroupPartition::warn_of_memory() {
  if (!memory_.refused(now().monotonic_ms)) return;
  log_warn(kModule,
           "Groups hold {} of {} MiB: new offsets, groups or members are asked to try again later. Delete groups that are not "
           "needed, or raise weir.max.memory.bytes.",
           memory_.used_bytes() >> 20, memory_.limit_bytes() >> 20);
}

void GroupPartition::take(Effects effects) {
  const bool nothing_waits = open_records_.empty() && open_replies_.empty() && flights_.empty();
  if (effects.records.empty() && nothing_waits) {
    for (Release& release : effects.replies) release(ErrorCode::kNone);
    return;
  }
  std::move(effects.records.begin(), effects.records.end(), std::back_inserter(open_records_));
  std::move(effects.replies.begin(), effects.replies.end(), std::back_inserter(open_replies_));
  flush_at_turn_end();
}

void GroupPartition::flush_at_turn_end() {
  if (std::exchange(flush_scheduled_, true)) return;
  loop_.at_turn_end(guarded([this] {
    flush_scheduled_ = false;
    flush();
  }));
}

void GroupPartition::flush() {
  if (open_records_.empty() && flights_.empty()) {
    for (Release& release : std::exchange(open_replies_, {})) release(ErrorCode::kNone);
    return;
  }
  auto flight = std::make_shared<Flight>();
  flight->replies = std::exchange(open_replies_, {});
  flights_.push_back(flight);
  append_batches(std::exchange(open_records_, {}), flight);
}

void GroupPartition::append_batches(std::vector<CoordinatorRecord> records, const std::shared_ptr<Flight>& flight) {
  const uint64_t session = session_;
  const int64_t timestamp = loop_.clock().wall_ms();
  flight->appends_left = 1;  // until all are under way
  protocol::RecordBatchBuilder builder;
  for (size_t i = 0; i < records.size() && session == session_; ++i) {
    const CoordinatorRecord& record = records[i];
    std::optional<Bytes> value;
    if (record.value) value = as_bytes(*record.value);
    builder.append(timestamp, as_bytes(record.key), value);
    const bool last = i + 1 == records.size();
    if (!last && builder.size() + size_of(records[i + 1]) < kBatchBytes) continue;
    storage::Partition* partition = log_.find(id_);
    if (partition == nullptr) return give_up(ErrorCode::kNotCoordinator);
    ++flight->appends_left;
    log_.append(*partition, Slice::copy_of(builder.finish()), false,
                [alive = alive_, this, session, flight](storage::AppendResult result) {
                  if (*alive) appended(session, flight, result);
                });
    builder.clear({});
  }
  storage::AppendResult under_way;
  appended(session, flight, under_way);
}

void GroupPartition::appended(uint64_t session, const std::shared_ptr<Flight>& flight, const storage::AppendResult& result) {
  if (session != session_) return;
  if (result.error != ErrorCode::kNone) {
    log_error(kModule, "__consumer_offsets-{}: groups could not be stored: {}. They are loaded again.", id_.index,
              result.message.empty() ? protocol::error_name(result.error) : std::string_view(result.message));
    return give_up(ErrorCode::kNotCoordinator);
  }
  if (--flight->appends_left == 0) release_durable();
}

void GroupPartition::release_durable() {
  const uint64_t session = session_;
  while (session == session_ && !flights_.empty() && flights_.front()->appends_left == 0) {
    const auto flight = std::move(flights_.front());
    flights_.pop_front();
    for (Release& release : flight->replies) release(ErrorCode::kNone);
  }
}

// The state in memory is ahead of the log for good: nobody may see it any more.
void GroupPartition::give_up(ErrorCode error) {
  ++session_;
  serving_ = ErrorCode::kCoordinatorLoadInProgress;
  if (timer_) loop_.cancel(timer_);
  timer_ = {};
  flush_scheduled_ = false;
  std::vector<Release> replies;
  for (const auto& flight : std::exchange(flights_, {})) {
    std::move(flight->replies.begin(), flight->replies.end(), std::back_inserter(replies));
  }
  std::move(open_replies_.begin(), open_replies_.end(), std::back_inserter(replies));
  open_replies_.clear();
  open_records_.clear();
  Effects effects;
  if (state_) state_->abandon(error, effects);
  state_.reset();
  replay_.reset();
  loop_.schedule_after(kReloadDelayNs, guarded([this] { load(); }));
  for (Release& release : replies) release(error);
  for (Release& release : effects.replies) release(ErrorCode::kNone);
}

void GroupPartition::stop() {
  give_up(ErrorCode::kNotCoordinator);
  ++session_;  // and no reload
  serving_ = ErrorCode::kNotCoordinator;
  if (settled_) loop_.post(std::exchange(settled_, {}));
}

// --- time -----------------------------------------------------------------------------------------------------------

void GroupPartition::arm_timer() {
  const int64_t next_ms = state_->next_deadline_ms();
  if (timer_ && timer_at_ms_ <= next_ms) return;  // it looks again when it fires
  if (timer_) loop_.cancel(timer_);
  timer_ = {};
  if (next_ms == Deadlines::kNever) return;
  timer_at_ms_ = next_ms;
  const int64_t delay_ns = next_ms * runtime::kMillisecond - loop_.clock().monotonic_ns();
  timer_ = loop_.schedule_after(std::max<int64_t>(delay_ns, 0), guarded([this] { timer_fired(); }));
}

void GroupPartition::timer_fired() {
  timer_ = {};
  run([](GroupCoordinatorState& state, Instant at, Effects& effects) { state.tick(at, effects); });
}

}  // namespace weir::coordination
