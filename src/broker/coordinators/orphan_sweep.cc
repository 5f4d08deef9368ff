#include "broker/coordinators/orphan_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/counted.h"
#include "base/log.h"
#include "broker/broker.h"
#include "broker/coordinators/transaction_coordinators.h"

namespace weir::broker {

using protocol::ErrorCode;

OrphanSweep::OrphanSweep(Broker& broker, TransactionCoordinators& coordinators, int64_t transaction_max_timeout_ms)
    : broker_(broker), coordinators_(coordinators), late_after_ms_(transaction_max_timeout_ms + kLateMs) {
  broker_.shard(0).loop.post(lifetime_.guard([this] { schedule(kFirstDelayNs); }));
}

void OrphanSweep::schedule(int64_t delay_ns) {
  broker_.shard(0).loop.schedule_after(delay_ns, lifetime_.guard([this] { begin(); }));
}

void OrphanSweep::begin() {
  unclaimed_.clear();
  last_listed_.reset();
  late_ = 0;
  list(0, {});
}

// --- open transactions ----------------------------------------------------------------------------------------------

void OrphanSweep::list(unsigned shard, const Open::Position& from) {
  broker_.shard(shard).loop.post([this, alive = lifetime_.observe(), shard, from] {
    if (!alive) return;
    broker_.run_on(0, [this, alive, shard, open = broker_.shard(shard).log.list_open_transactions(from)] {
      if (alive) listed(shard, open);
    });
  });
}

void OrphanSweep::listed(unsigned shard, const Open& open) {
  const int64_t now_ms = broker_.shard(0).loop.clock().wall_ms();
  for (const storage::OpenTransaction& transaction : open.found) {
    // The first one of a partition is the one that holds up its readers.
    const bool first = last_listed_ != transaction.partition;
    last_listed_ = transaction.partition;
    if (first && transaction.last_timestamp >= 0 && now_ms - transaction.last_timestamp > late_after_ms_) ++late_;
    unclaimed_.insert_or_assign({transaction.producer_id, transaction.partition}, transaction);
  }
  if (open.next) return list(shard, *open.next);
  if (shard + 1 < broker_.shard_count()) return list(shard + 1, {});
  late_partitions_ = late_;
  ask(0);
}

// --- claims ---------------------------------------------------------------------------------------------------------

void OrphanSweep::ask(int32_t coordinator) {
  if (unclaimed_.empty() || coordinator == coordinators_.partition_count(0)) return found();
  Function<void(Claims)> reply = [this, alive = lifetime_.observe(), coordinator](Claims claims) {
    broker_.run_on(0, [this, alive, coordinator, claims = std::make_shared<const Claims>(std::move(claims))]() mutable {
      if (!alive) return;
      if (claims->error == ErrorCode::kNone) return claimed(coordinator, std::move(claims), 0);
      end(retry_delay_ns_);
      retry_delay_ns_ = std::min(2 * retry_delay_ns_, kIntervalNs);
    });
  };
  coordinators_.call_partition<Claims>(
      0, coordinator, std::move(reply),
      [image = broker_.shard(0).image](const auto& state, auto answer, auto, coordination::Effects& effects) {
        Claims claims;
        state.each_claim([&](int64_t producer_id, std::string_view name, int32_t index) {
          const Topic* topic = image->find(name);
          if (topic != nullptr) claims.of.emplace_back(producer_id, topic->partition(index));
        });
        effects.answer(std::move(answer), std::move(claims));
      });
}

void OrphanSweep::claimed(int32_t coordinator, std::shared_ptr<const Claims> claims, size_t done) {
  const size_t end = std::min(claims->of.size(), done + kClaimsPerSlice);
  for (; done < end; ++done) unclaimed_.erase(claims->of[done]);
  broker_.shard(0).loop.post(lifetime_.guard([this, coordinator, claims = std::move(claims), done]() mutable {
    if (done == claims->of.size()) ask(coordinator + 1);
    else claimed(coordinator, std::move(claims), done);
  }));
}

// --- orphans --------------------------------------------------------------------------------------------------------

void OrphanSweep::found() {
  retry_delay_ns_ = kFirstDelayNs;
  orphans_ = unclaimed_.size();
  if (unclaimed_.empty()) return end(kIntervalNs);
  const bool abort = broker_.shard(0).image->config()->boolean("weir.transaction.abort.orphans");
  tell(abort);
  if (!abort) return end(kIntervalNs);
  abort_next();
}

void OrphanSweep::tell(bool abort) const {
  constexpr size_t kNamedMax = 5;
  std::string named;
  size_t count = 0;
  for (const auto& [key, transaction] : unclaimed_) {
    if (count++ == kNamedMax) break;
    const Topic* topic = broker_.shard(0).image->find(transaction.partition.topic);
    named += fmt::format("{}{}-{} from offset {} on (producer {}, epoch {})", named.empty() ? "" : ", ",
                         topic == nullptr ? transaction.partition.topic.to_string() : topic->name(), transaction.partition.index,
                         transaction.first_offset, transaction.producer_id, transaction.producer_epoch);
  }
  if (unclaimed_.size() > kNamedMax) named += ", ...";
  log_event(LogLevel::kWarn, "transactions",
            {.what = fmt::format("{} in partitions without a coordinator that knows: {}",
                                 counted(unclaimed_.size(), "open transaction"), named),
             .reason = "readers of committed records get nothing behind them",
             .remedy = abort ? "They are aborted now (weir.transaction.abort.orphans)"
                             : "Abort them with kafka-transactions.sh abort, or set weir.transaction.abort.orphans=true"});
}

void OrphanSweep::abort_next() {
  if (unclaimed_.empty()) return end(kIntervalNs);
  const storage::OpenTransaction orphan = unclaimed_.extract(unclaimed_.begin()).mapped();
  const unsigned owner = broker_.owner(orphan.partition);
  broker_.shard(owner).loop.post([this, alive = lifetime_.observe(), orphan, owner] {
    if (!alive) return;
    const storage::MarkerAppend marker{.producer_id = orphan.producer_id,
                                       .producer_epoch = orphan.producer_epoch,
                                       .coordinator_epoch = std::max(orphan.coordinator_epoch, 0),
                                       .only_first_offset = orphan.first_offset};
    coordinators_.markers(owner).write(orphan.partition, marker, [this, alive](ErrorCode error) {
      if (!alive) return;
      broker_.run_on(0, [this, alive, error] {
        if (!alive) return;
        // One that could not be aborted is found again.
        if (error == ErrorCode::kNone) ++aborted_;
        abort_next();
      });
    });
  });
}

void OrphanSweep::end(int64_t next_delay_ns) {
  unclaimed_.clear();
  schedule(next_delay_ns);
}

}  // namespace weir::broker
