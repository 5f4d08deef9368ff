#include "coordination/runtime/coordinator_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "coordination/runtime/append_errors.h"
#include "coordination/runtime/entry_batches.h"
#include "protocol/record_batch.h"
#include "storage/log/log_shard.h"

namespace weir::coordination {

using protocol::ErrorCode;

CoordinatorRuntime::CoordinatorRuntime(const Surroundings& surroundings, const storage::PartitionId& id, Names names,
                                       MakeMachine make_machine, ImagePtr image)
    : pool_(surroundings.pool),
      loop_(surroundings.loop),
      log_(surroundings.log),
      services_(surroundings.services),
      id_(id),
      name_(fmt::format("{}-{}", names.topic, id.index)),
      kept_(names.kept),
      make_machine_(std::move(make_machine)),
      image_(std::move(image)) {}

CoordinatorRuntime::~CoordinatorRuntime() {
  lifetime_.end();
  if (timer_) loop_.cancel(timer_);
}

Instant CoordinatorRuntime::now() const {
  return {loop_.clock().monotonic_ns() / runtime::kMillisecond, loop_.clock().wall_ms()};
}

// --- load -----------------------------------------------------------------------------------------------------------

void CoordinatorRuntime::load(Function<void()> settled) {
  ++session_;
  load_began_ms_ = now().monotonic_ms;
  // Clients must not wait for one that failed: whether the next attempt does better nobody knows.
  serving_ = failed() ? ErrorCode::kNotCoordinator : ErrorCode::kCoordinatorLoadInProgress;
  if (settled) settled_ = std::move(settled);
  const storage::Partition* partition = log_.find(id_);
  const bool readable = partition != nullptr && !partition->offline();
  if (readable && !log_.failed() && partition->log_end_offset() > partition->high_watermark()) {
    // Entries of the state before this one are on their way. They will be durable, so the new one must have them.
    loop_.schedule_after(kReloadDelayNs, guarded([this] { load(); }));
    return;
  }
  machine_ = make_machine_();
  machine_->keep_back(kept_back_);
  skipped_records_ = 0;
  if (readable && partition->log_start_offset() >= partition->high_watermark()) {
    // Nothing to read: a new coordinator serves at once.
    auto done = std::exchange(settled_, {});
    load_done();
    if (done) done();
    return;
  }
  LogReplay::Callbacks callbacks;
  callbacks.record = [this](const Origin& origin, const protocol::Record& record) { replay(origin, record); };
  callbacks.marker = [this](int64_t offset, const TransactionMarker& marker) { machine_->replay_marker(offset, marker); };
  callbacks.done = [this](LogReplay::Outcome outcome, const std::string& reason) { replayed(outcome, reason); };
  replay_ = std::make_unique<LogReplay>(pool_, loop_, log_, id_, std::move(callbacks));
  replay_->start();
}

void CoordinatorRuntime::replay(const Origin& origin, const protocol::Record& record) {
  if (auto ok = machine_->replay(record.offset, origin, *record.key, record.value); !ok && skipped_records_++ == 0) {
    log_warn(kept_, "{}: the record at offset {} is skipped: {}", name_, record.offset, ok.error().message);
  }
}

void CoordinatorRuntime::replayed(LogReplay::Outcome outcome, const std::string& reason) {
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
      load_failed(fmt::format("at offset {}: {}", finished->next_offset(), reason));
      break;
    case LogReplay::Outcome::kOvertaken:
      ++session_;
      loop_.schedule_after(kReloadDelayNs, guarded([this] { load(); }));
  }
  if (settled) settled();
}

void CoordinatorRuntime::load_failed(const std::string& reason) {
  const int64_t now_ms = now().monotonic_ms;
  if (reason != failure_ || now_ms - failure_told_ms_ >= kTellAgainMs) {
    failure_told_ms_ = now_ms;
    log_event(LogLevel::kError, kept_,
              {.what = fmt::format("{}: {} cannot be loaded, and clients that ask for them are sent away", name_, kept_),
               .reason = reason,
               .remedy = "It is tried again now and then. If it does not come to an end: stop the broker, check with weir log "
                         "verify, and bring the files back from a copy or run weir log salvage"});
  }
  failure_ = reason;
  serving_ = ErrorCode::kNotCoordinator;
  machine_.reset();
  if (held_ || kept_back_) on_held_load_(false);
  ++session_;
  loop_.schedule_after(retry_delay_ns_, guarded([this] { load(); }));
  retry_delay_ns_ = std::min(2 * retry_delay_ns_, kLongestRetryNs);
}

void CoordinatorRuntime::load_done() {
  serving_ = ErrorCode::kNone;
  load_ms_ = now().monotonic_ms - load_began_ms_;
  retry_delay_ns_ = kReloadDelayNs;
  if (failed()) log_info(kept_, "{}: {} are loaded after all", name_, kept_);
  failure_.clear();
  if (log_enabled(LogLevel::kDebug)) {
    if (const std::string loaded = machine_->summary(); !loaded.empty()) log_debug(kept_, "{}: {} loaded", name_, loaded);
  }
  const bool tell = held_ || kept_back_;
  if (!held_) begin_service();
  if (tell) on_held_load_(true);
}

void CoordinatorRuntime::hold(Function<void(bool)> tried) {
  held_ = true;
  on_held_load_ = std::move(tried);
}

void CoordinatorRuntime::release_but(StateMachine::KeptBack kept_back) {
  kept_back_ = std::move(kept_back);
  if (machine_) machine_->keep_back(kept_back_);
  if (std::exchange(held_, false) && loaded()) begin_service();
}

void CoordinatorRuntime::release() {
  const bool kept_some_back = std::exchange(kept_back_, {}) != nullptr;
  if (machine_) machine_->keep_back({});
  if ((std::exchange(held_, false) || kept_some_back) && loaded()) begin_service();
}

void CoordinatorRuntime::begin_service() {
  run([this](StateMachine& machine, Instant at, Effects& effects) { machine.loaded(image_, at, effects); });
  // The present image does not show a topic that was deleted and made anew.
  if (deleted_meanwhile_.empty()) return;
  const ImageChange missed{nullptr, image_, std::exchange(deleted_meanwhile_, {}), {}, {}};
  run([&missed](StateMachine& machine, Instant at, Effects& effects) { machine.image_changed(missed, at, effects); });
}

void CoordinatorRuntime::image_changed(const ImageChange& change) {
  image_ = change.after;
  if (!loaded() || held_) {
    deleted_meanwhile_.insert(deleted_meanwhile_.end(), change.deleted.begin(), change.deleted.end());
    return;
  }
  run([&change](StateMachine& machine, Instant at, Effects& effects) { machine.image_changed(change, at, effects); });
}

// --- steps ----------------------------------------------------------------------------------------------------------

void CoordinatorRuntime::run(Step step) {
  WEIR_CHECK(serving_ == ErrorCode::kNone);
  Effects effects;
  const Instant at = now();
  // A batch has one large record, and nothing else.
  constexpr int64_t kBatchOverhead = 4096;
  const storage::Partition* partition = log_.find(id_);
  if (partition != nullptr) machine_->limit_record(static_cast<int64_t>(partition->config().segment_bytes) - kBatchOverhead);
  step(*machine_, at, effects);
  if (!held_) {
    if (machine_->next_deadline_ms() <= at.monotonic_ms) machine_->tick(at, effects);
    arm_timer();
  }
  take(std::move(effects));
}

void CoordinatorRuntime::take(Effects effects) {
  for (Job& job : effects.jobs) start_job(std::move(job));
  for (ControllerCall& call : effects.calls) {
    auto done = guarded([this, token = call.token](ControllerResult result) { arrived(token, result); });
    effects.replies.push_back([this, call = std::move(call), done = std::move(done)](ErrorCode failure) mutable {
      if (failure == ErrorCode::kNone) services_.call(std::move(call.request), std::move(done));
    });
  }
  for (Post& post : effects.posts) {
    auto done = guarded([this, token = post.token](std::any result) { arrived(token, std::move(result)); });
    effects.replies.push_back([this, post = std::move(post), done = std::move(done)](ErrorCode failure) mutable {
      if (failure == ErrorCode::kNone) services_.post(post.to, std::move(post.message), std::move(done));
    });
  }
  const bool nothing_waits = open_entries_.empty() && open_replies_.empty() && flights_.empty();
  if (effects.log.empty() && nothing_waits) {
    for (Release& release : effects.replies) release(ErrorCode::kNone);
    return;
  }
  const bool of_producers = std::any_of(effects.log.begin(), effects.log.end(), [](const LogEntry& entry) {
    return std::holds_alternative<TransactionMarker>(entry.what) || entry.origin.producer_id != Origin().producer_id;
  });
  std::move(effects.log.begin(), effects.log.end(), std::back_inserter(open_entries_));
  std::move(effects.replies.begin(), effects.replies.end(), std::back_inserter(open_replies_));
  if (of_producers) flush(effects.options);
  else flush_at_turn_end();
}

void CoordinatorRuntime::start_job(Job job) {
  struct Running {
    Job job;
    std::any result;
  };
  auto running = std::make_shared<Running>(std::move(job));
  pool_.submit([running] { running->result = running->job.work(); }, loop_,
               guarded([this, running] { arrived(running->job.token, std::move(running->result)); }));
}

void CoordinatorRuntime::arrived(const Token& token, std::any result) {
  run([&](StateMachine& machine, Instant at, Effects& effects) { machine.arrived(token, std::move(result), at, effects); });
}

void CoordinatorRuntime::flush_at_turn_end() {
  if (std::exchange(flush_scheduled_, true)) return;
  loop_.at_turn_end(guarded([this] {
    flush_scheduled_ = false;
    flush({});
  }));
}

void CoordinatorRuntime::flush(const storage::AppendOptions& options) {
  if (open_entries_.empty() && flights_.empty()) {
    for (Release& release : std::exchange(open_replies_, {})) release(ErrorCode::kNone);
    return;
  }
  auto flight = std::make_shared<Flight>();
  flight->replies = std::exchange(open_replies_, {});
  flights_.push_back(flight);
  append_batches(std::exchange(open_entries_, {}), flight, options);
}

void CoordinatorRuntime::append_batches(std::vector<LogEntry> entries, const std::shared_ptr<Flight>& flight,
                                        const storage::AppendOptions& options) {
  const uint64_t session = session_;
  const int64_t timestamp = loop_.clock().wall_ms();
  flight->appends_left = 1;  // until all are under way
  EntryBatches batches(std::move(entries));
  while (session == session_) {
    const std::optional<Bytes> batch = batches.next(timestamp);
    if (!batch) break;
    storage::Partition* partition = log_.find(id_);
    if (partition == nullptr) return give_up(error_of_failed_append(ErrorCode::kUnknownTopicOrPartition));
    ++flight->appends_left;
    log_.append(
        *partition, Slice::copy_of(*batch), false,
        [alive = lifetime_.observe(), this, session, flight](storage::AppendResult result) {
          if (alive) appended(session, flight, result);
        },
        options);
  }
  storage::AppendResult under_way;
  appended(session, flight, under_way);
}

void CoordinatorRuntime::appended(uint64_t session, const std::shared_ptr<Flight>& flight, const storage::AppendResult& result) {
  if (session != session_) return;
  if (result.error != ErrorCode::kNone) {
    log_error(kept_, "{}: {} could not be stored: {}. They are loaded again.", name_, kept_,
              result.message.empty() ? protocol::error_name(result.error) : std::string_view(result.message));
    return give_up(error_of_failed_append(result.error), flight.get());
  }
  if (--flight->appends_left == 0) release_durable();
}

void CoordinatorRuntime::release_durable() {
  const uint64_t session = session_;
  while (session == session_ && !flights_.empty() && flights_.front()->appends_left == 0) {
    const auto flight = std::move(flights_.front());
    flights_.pop_front();
    for (Release& release : flight->replies) release(ErrorCode::kNone);
  }
}

// The state in memory is ahead of the log for good: nobody may see it any more.
// `failed`: the flight that is answered with `error`. All others have to look for the coordinator again.
void CoordinatorRuntime::give_up(ErrorCode error, const Flight* failed) {
  const ErrorCode others = failed != nullptr ? ErrorCode::kNotCoordinator : error;
  ++session_;
  serving_ = ErrorCode::kCoordinatorLoadInProgress;
  if (timer_) loop_.cancel(timer_);
  timer_ = {};
  flush_scheduled_ = false;
  std::vector<Release> replies, of_failed;
  for (const auto& flight : std::exchange(flights_, {})) {
    std::ranges::move(flight->replies, std::back_inserter(flight.get() == failed ? of_failed : replies));
  }
  std::move(open_replies_.begin(), open_replies_.end(), std::back_inserter(replies));
  open_replies_.clear();
  open_entries_.clear();
  Effects effects;
  if (machine_) machine_->abandon(others, effects);
  machine_.reset();
  replay_.reset();
  loop_.schedule_after(kReloadDelayNs, guarded([this] { load(); }));
  for (Release& release : of_failed) release(error);
  for (Release& release : replies) release(others);
  for (Release& release : effects.replies) release(ErrorCode::kNone);
}

void CoordinatorRuntime::stop() {
  give_up(ErrorCode::kNotCoordinator);
  ++session_;  // and no reload
  serving_ = ErrorCode::kNotCoordinator;
  if (settled_) loop_.post(std::exchange(settled_, {}));
}

// --- time -----------------------------------------------------------------------------------------------------------

void CoordinatorRuntime::arm_timer() {
  const int64_t next_ms = machine_->next_deadline_ms();
  if (timer_ && timer_at_ms_ <= next_ms) return;  // it looks again when it fires
  if (timer_) loop_.cancel(timer_);
  timer_ = {};
  if (next_ms == StateMachine::kNever) return;
  timer_at_ms_ = next_ms;
  const int64_t delay_ns = next_ms * runtime::kMillisecond - loop_.clock().monotonic_ns();
  timer_ = loop_.schedule_after(std::max<int64_t>(delay_ns, 0), guarded([this] { timer_fired(); }));
}

void CoordinatorRuntime::timer_fired() {
  timer_ = {};
  run([](StateMachine& machine, Instant at, Effects& effects) { machine.tick(at, effects); });
}

}  // namespace weir::coordination
