#include "coordination/group/group_partition.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "protocol/record_batch.h"
#include "protocol/record_batch_builder.h"

namespace weir::coordination {
namespace {

constexpr std::string_view kModule = "groups";

Slice copy_of(Bytes bytes) {
  Slice slice;
  slice.owner = Buffer::allocate(bytes.size());
  std::memcpy(slice.owner.data(), bytes.data(), bytes.size());
  slice.data = slice.owner.data();
  slice.size = bytes.size();
  return slice;
}

}  // namespace

GroupPartition::GroupPartition(runtime::Pool& pool, runtime::Loop& loop, storage::LogShard& log,
                               const storage::PartitionId& id, const GroupConfig& config)
    : pool_(pool), loop_(loop), log_(log), id_(id), config_(config) {}

GroupPartition::~GroupPartition() {
  *alive_ = false;
  if (timer_) loop_.cancel(timer_);
}

Instant GroupPartition::now() const {
  return {loop_.clock().monotonic_ns() / runtime::kMillisecond, loop_.clock().wall_ms()};
}

// --- load -----------------------------------------------------------------------------------------------------------

void GroupPartition::load() {
  ++session_;
  serving_ = ErrorCode::kCoordinatorLoadInProgress;
  state_ = std::make_unique<GroupCoordinatorState>(config_, loop_.random());
  load_pieces_.clear();
  skipped_records_ = 0;
  load_offset_ = -1;
  read_more();
}

void GroupPartition::read_more() {
  storage::Partition* partition = log_.find(id_);
  if (partition == nullptr) return stop();
  load_offset_ = std::max(load_offset_, partition->log_start_offset());
  if (load_offset_ >= partition->high_watermark()) return load_done();
  storage::ReadRequest request;
  request.offset = load_offset_;
  request.max_bytes = kReadBytes;
  storage::ReadResult result;
  const bool inline_answer =
      log_.read(*partition, request, result, guarded([this](storage::ReadResult late) { read_arrived(std::move(late)); }));
  if (inline_answer) read_arrived(std::move(result));
}

void GroupPartition::read_arrived(storage::ReadResult result) {
  if (result.error == ErrorCode::kOffsetOutOfRange) return reload_later();  // retention overtook us
  if (result.error != ErrorCode::kNone) return load_failed("the log cannot be read");
  if (result.pieces.empty()) return load_failed("the log ends before its high watermark");
  load_pieces_.assign(result.pieces.begin(), result.pieces.end());
  replay_pieces();
}

// One read at most in memory; the loop gets a turn between two of them.
void GroupPartition::replay_pieces() {
  while (!load_pieces_.empty()) {
    storage::FetchPiece piece = std::move(load_pieces_.front());
    load_pieces_.pop_front();
    if (const Slice* slice = std::get_if<Slice>(&piece)) {
      if (!replay_batches(slice->bytes())) return;
      continue;
    }
    struct Loaded {
      storage::FileRange range;
      Buffer buffer;
      Result<size_t> read = size_t{0};
    };
    auto loaded = std::make_shared<Loaded>();
    loaded->range = std::get<storage::FileRange>(piece);
    pool_.submit(
        [loaded] {
          loaded->buffer = Buffer::allocate(loaded->range.length);
          loaded->read = loaded->range.file->read_at(loaded->range.offset, {loaded->buffer.data(), loaded->range.length});
        },
        loop_, guarded([this, loaded] {
          if (!loaded->read || *loaded->read != loaded->range.length) return load_failed("a segment cannot be read");
          if (replay_batches({loaded->buffer.data(), loaded->range.length})) replay_pieces();
        }));
    return;
  }
  loop_.post(guarded([this] { read_more(); }));
}

bool GroupPartition::replay_batches(Bytes batches) {
  protocol::BatchSplitter splitter(batches);
  while (splitter.next()) {
    const protocol::BatchHeader& header = splitter.header();
    if (header.next_offset() <= load_offset_) continue;
    if (header.compressed()) {
      load_failed("a batch is compressed");
      return false;
    }
    protocol::RecordIterator records(splitter.batch());
    for (protocol::Record record; !header.control() && records.next(record);) {
      if (record.offset < load_offset_ || !record.key) continue;
      if (auto ok = state_->replay(*record.key, record.value); !ok) {
        if (skipped_records_++ == 0) {
          log_warn(kModule, "__consumer_offsets-{}: the record at offset {} is skipped: {}", id_.index, record.offset,
                   ok.error().message);
        }
      }
    }
    load_offset_ = header.next_offset();
  }
  if (splitter.fault() == protocol::BatchFault::kNone) return true;
  load_failed(std::string(protocol::batch_fault_name(splitter.fault())));
  return false;
}

void GroupPartition::load_failed(const std::string& reason) {
  log_error(kModule, "__consumer_offsets-{}: groups cannot be loaded at offset {}: {}. It is tried again.", id_.index,
            load_offset_, reason);
  reload_later();
}

void GroupPartition::reload_later() {
  ++session_;
  load_pieces_.clear();
  loop_.schedule_after(kReloadDelayNs, guarded([this] { load(); }));
}

void GroupPartition::load_done() {
  serving_ = ErrorCode::kNone;
  if (state_->group_count() > 0) {
    log_debug(kModule, "__consumer_offsets-{}: {} groups with {} offsets loaded", id_.index, state_->group_count(),
              state_->offset_count());
  }
  run([](GroupCoordinatorState& state, Instant at, Effects& effects) { state.loaded(at, effects); });
}

// --- steps ----------------------------------------------------------------------------------------------------------

void GroupPartition::run(Step step) {
  WEIR_CHECK(serving_ == ErrorCode::kNone);
  Effects effects;
  const Instant at = now();
  step(*state_, at, effects);
  if (state_->next_deadline_ms() <= at.monotonic_ms) state_->tick(at, effects);
  arm_timer();
  take(std::move(effects));
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
    if (builder.size() < kBatchBytes && i + 1 < records.size()) continue;
    storage::Partition* partition = log_.find(id_);
    if (partition == nullptr) return give_up(ErrorCode::kNotCoordinator);
    ++flight->appends_left;
    log_.append(*partition, copy_of(builder.finish()), false,
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
  loop_.schedule_after(kReloadDelayNs, guarded([this] { load(); }));
  for (Release& release : replies) release(error);
  for (Release& release : effects.replies) release(ErrorCode::kNone);
}

void GroupPartition::stop() {
  give_up(ErrorCode::kNotCoordinator);
  ++session_;  // and no reload
  serving_ = ErrorCode::kNotCoordinator;
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
