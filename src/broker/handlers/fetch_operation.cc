#include "broker/handlers/fetch_operation.h"

#include <algorithm>
#include <utility>

#include "broker/handlers/fetch.h"
#include "broker/requests/partition_at_home.h"

namespace weir::broker {

using protocol::ErrorCode;

void handle_fetch(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<FetchOperation>(broker, std::move(context))->begin();
}

void FetchOperation::begin() {
  if (!context_->decode(request_)) return;
  if (!context_->reserve(std::min(memory_of_partitions(), context_->most_answer_bytes()))) return;
  context_->may_wait_ms(request_.max_wait_ms);
  read_committed_ = request_.isolation_level == 1;
  max_bytes_ = static_cast<uint64_t>(std::clamp(request_.max_bytes, 0, broker_.settings().fetch_max_bytes));
  min_bytes_ = std::min(static_cast<uint64_t>(std::max(request_.min_bytes, 0)), max_bytes_);
  deadline_ns_ = home().loop.clock().monotonic_ns() + int64_t{std::max(request_.max_wait_ms, 0)} * runtime::kMillisecond;
  if (!open_session()) return;
  if (session_) add_from_session();
  else add_from_request();
  assign(items_);
  last_round_ = request_.max_wait_ms <= 0 || items_.empty();
  start_round();
}

// --- read round -----------------------------------------------------------------------------------------------------

// On the shard of the part. Each shard reads as if the whole budget were its own. trim() cuts the excess.
void FetchOperation::run(Part& part) {
  ++part.walk;
  read_some(part, 0, max_bytes_, true);
}

void FetchOperation::read_some(Part& part, size_t first, uint64_t budget, bool at_least_one) {
  const size_t end = end_of_turn(part, first);
  for (size_t i = first; i < end; ++i) {
    stop_waiting_for(part, *part.items[i]);
    read_item(part, *part.items[i], budget, at_least_one);
  }
  if (end == part.items.size()) return;
  run_later(part, [this, &part, end, budget, at_least_one] { read_some(part, end, budget, at_least_one); });
}

void FetchOperation::read_item(Part& part, FetchItem& item, uint64_t& budget, bool& at_least_one) {
  item.read = storage::ReadResult();
  item.diverging_epoch = -1;
  storage::Partition* partition = part.shard->log.find(item.id);
  if (partition == nullptr) {
    item.read.error = ErrorCode::kUnknownTopicOrPartition;
    return item_done(part);
  }
  item.read.error = check_epochs(*partition, item);
  if (item.read.error != ErrorCode::kNone) return item_done(part);
  if (item.diverging_epoch >= 0) {
    item.read.high_watermark = partition->high_watermark();
    item.read.last_stable_offset = partition->last_stable_offset();
    item.read.log_start_offset = partition->log_start_offset();
    return item_done(part);
  }
  storage::ReadRequest request;
  request.offset = item.offset;
  request.max_bytes = std::min(item.max_bytes, budget);
  request.at_least_one = at_least_one;
  request.read_committed = read_committed_;
  const bool inline_answer = part.shard->log.read(*partition, request, item.read,
                                                  [self = runtime::HomeRef(this), this, &part, &item](storage::ReadResult read) {
                                                    item.read = std::move(read);
                                                    item_done(part);
                                                  });
  // The bytes of a read from disk are not known yet. It counts with the most that it may bring.
  const uint64_t taken = inline_answer ? item.read.bytes : std::max<uint64_t>(request.max_bytes, 1);
  budget -= std::min(budget, taken);
  if (taken > 0) at_least_one = false;
  if (inline_answer) item_done(part);
}

// Whether the client knows the current leader epoch, and has a prefix of our log (KIP-320, KIP-595).
ErrorCode FetchOperation::check_epochs(const storage::Partition& partition, FetchItem& item) {
  const ErrorCode error = leader_epoch_error(partition, item.leader_epoch);
  if (error != ErrorCode::kNone) return error;
  if (item.last_fetched_epoch < 0) return ErrorCode::kNone;
  const storage::EpochStart end = partition.epoch_end(item.last_fetched_epoch);
  if (end.epoch < 0 || end.start_offset < 0) return ErrorCode::kOffsetOutOfRange;
  if (end.epoch < item.last_fetched_epoch || end.start_offset < item.offset) {
    item.diverging_epoch = end.epoch;
    item.diverging_end_offset = end.start_offset;
  }
  return ErrorCode::kNone;
}

// All parts are back home.
void FetchOperation::complete() {
  trim();
  if (bytes_ >= min_bytes_ || failed_ || last_round_ || context_->connection_closed()) return finish();
  wait();
}

// Gives each partition its share of max_bytes in order, for the shards read independently of each other. One whole batch is
// allowed above the limits of its partition and of the request: one in all, not one a shard.
void FetchOperation::trim() {
  bytes_ = 0;
  failed_ = false;
  for (FetchItem& item : items_) {
    failed_ = failed_ || item.read.error != ErrorCode::kNone || item.diverging_epoch >= 0;
    auto& pieces = item.read.pieces;
    if (bytes_ > 0 && item.read.bytes > item.max_bytes) {
      item.read.bytes = 0;
      pieces.clear();
    }
    while (!pieces.empty() && bytes_ + item.read.bytes > max_bytes_ && (bytes_ > 0 || pieces.size() > 1)) {
      const storage::FetchPiece& last = pieces.back();
      const uint64_t size =
          std::holds_alternative<Slice>(last) ? std::get<Slice>(last).size : std::get<storage::FileRange>(last).length;
      item.read.bytes -= size;
      pieces.pop_back();
    }
    bytes_ += item.read.bytes;
  }
}

// --- waiting --------------------------------------------------------------------------------------------------------

void FetchOperation::wait() {
  state_ = State::kWaiting;
  if (!timer_) arm_timer();
  if (!stop_noted_) {
    stop_noted_ = true;
    ++home().waiting_fetches;
    auto& all = home().on_stop;
    on_stop_ = all.insert(all.end(), [self = runtime::HomeRef(this), this] { stop_called(); });
  }
  on_each_part([self = runtime::HomeRef(this), this](Part& part) {
    ++part.walk;
    part.noticed = false;
    wait_on(part, 0);
  });
}

// On the shard of the part. A change since the read counts as a wake, so none is missed.
void FetchOperation::wait_on(Part& part, size_t first) {
  if (part.noticed) return;
  const size_t end = end_of_turn(part, first);
  for (size_t i = first; i < end; ++i) {
    FetchItem* const item = part.items[i];
    storage::Partition* partition = part.shard->log.find(item->id);
    const bool moved = partition != nullptr && (partition->last_stable_offset() != item->read.last_stable_offset ||
                                                (!read_committed_ && partition->high_watermark() != item->read.high_watermark));
    if (partition == nullptr || moved || partition->log_start_offset() != item->read.log_start_offset || partition->offline()) {
      return notice(part, false);
    }
    item->waiter = part.shard->log.add_waiter(*partition, read_committed_, [self = runtime::HomeRef(this), this, &part, item] {
      item->waiter = 0;
      notice(part, true);
    });
  }
  if (end < part.items.size()) walk_on(part, [this, &part, end] { wait_on(part, end); });
}

// In another turn, unless another walk over the part has begun by then.
template <typename Rest>
void FetchOperation::walk_on(Part& part, Rest rest) {
  part.shard->loop.post([self = runtime::HomeRef(this), &part, walk = part.walk, rest] {
    if (walk == part.walk) rest();
  });
}

// Tells the home shard, once a wait.
void FetchOperation::notice(Part& part, bool inline_at_home) {
  if (part.noticed) return;
  part.noticed = true;
  // The log wakes waiters once all of its flush is visible, so a read at once sees everything.
  if (inline_at_home && part.shard->index() == home_) return woken();
  broker_.shard(home_).loop.post([self = runtime::HomeRef(this), this] { woken(); });
}

void FetchOperation::stop_waiting_on(Part& part, size_t first) {
  if (first == 0) ++part.walk;
  const size_t end = end_of_turn(part, first);
  for (size_t i = first; i < end; ++i) stop_waiting_for(part, *part.items[i]);
  if (end < part.items.size()) walk_on(part, [this, &part, end] { stop_waiting_on(part, end); });
}

void FetchOperation::stop_waiting_for(Part& part, FetchItem& item) {
  if (item.waiter == 0) return;
  if (storage::Partition* partition = part.shard->log.find(item.id)) part.shard->log.remove_waiter(*partition, item.waiter);
  item.waiter = 0;
}

void FetchOperation::woken() {
  if (state_ != State::kWaiting) return;
  state_ = State::kReading;
  start_round();
}

// Checks now and then whether the client is still there, and whether others wait for the request's memory. max_wait_ms may be
// days.
void FetchOperation::arm_timer() {
  constexpr int64_t kLookNs = 1 * runtime::kSecond;
  const int64_t left = deadline_ns_ - home().loop.clock().monotonic_ns();
  timer_ =
      home().loop.schedule_after(std::clamp<int64_t>(left, 0, kLookNs), [self = runtime::HomeRef(this), this] { timer_fired(); });
}

void FetchOperation::timer_fired() {
  timer_ = {};
  if (state_ == State::kDone) return;
  const bool over =
      home().loop.clock().monotonic_ns() >= deadline_ns_ || context_->connection_closed() || context_->holds_up_others();
  if (!over) return arm_timer();
  last_round_ = true;  // of a round under way
  if (state_ == State::kWaiting) finish();
}

void FetchOperation::stop_called() {
  --home().waiting_fetches;
  stop_noted_ = false;  // no longer in the list
  last_round_ = true;
  if (state_ == State::kWaitingForTurn) return respond();
  if (state_ == State::kWaitingForMemory && broker_.budget().cancel(MemoryShare::kResponses, ticket_)) return respond();
  if (state_ == State::kWaiting) finish();
}

// --- end ------------------------------------------------------------------------------------------------------------

// The answer is settled, but for its memory.
void FetchOperation::finish() {
  if (!reserve_memory()) return;
  respond();
}

// Readers share a budget of their own. Without room the data is let go, and read again when it is this request's turn. Then it is
// little: a few clients that ask for much and do not read it cannot keep all others from their turn.
bool FetchOperation::reserve_memory() {
  constexpr uint64_t kWaitingReaderBytes = 1 << 20;
  uint64_t in_memory = 0;
  uint64_t first_batch = 0;  // has to be sent whole
  for (const FetchItem& item : items_) {
    for (const storage::FetchPiece& piece : item.read.pieces) {
      const Slice* slice = std::get_if<Slice>(&piece);
      if (slice == nullptr) continue;
      if (first_batch == 0) first_batch = slice->size;
      in_memory += slice->size;
    }
  }
  if (in_memory <= memory_.bytes()) return true;
  // One answer a connection, for later ones could not be sent. A client that pipelines and does not read would otherwise hold the
  // memory of all.
  if (!context_->first_in_line()) {
    let_data_go(State::kWaitingForTurn);
    context_->when_first_in_line([self = runtime::HomeRef(this), this] { read_again(State::kWaitingForTurn); });
    return false;
  }
  if (auto granted = broker_.budget().try_reserve(MemoryShare::kResponses, in_memory)) {
    memory_ = std::move(*granted);
    return true;
  }
  let_data_go(State::kWaitingForMemory);
  const uint64_t wanted = std::min(in_memory, std::max(first_batch, kWaitingReaderBytes));
  ticket_ = broker_.budget().wait(MemoryShare::kResponses, wanted, home().loop,
                                  [self = runtime::HomeRef(this), this](Reservation granted) {
                                    if (state_ != State::kWaitingForMemory) return;
                                    memory_ = std::move(granted);
                                    max_bytes_ = std::min(max_bytes_, memory_.bytes());
                                    read_again(State::kWaitingForMemory);
                                  });
  return false;
}

void FetchOperation::let_data_go(State until) {
  if (state_ == State::kWaiting) on_each_part([this](Part& part) { stop_waiting_on(part, 0); });
  for (FetchItem& item : items_) {
    item.read.pieces.clear();
    item.read.bytes = 0;
  }
  state_ = until;
  last_round_ = true;
}

void FetchOperation::read_again(State waited) {
  if (state_ != waited) return;
  state_ = State::kReading;
  start_round();
}

}  // namespace weir::broker
