#include "broker/metadata/metadata_follower.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "broker/metadata/metadata_delta.h"

namespace weir::broker {

using storage::MetaEntry;
using storage::MetaEvents;
using storage::MetaRange;
using storage::MetaRangeRequest;

MetadataFollower::MetadataFollower(storage::MetaStore& store, runtime::Loop& loop, MetadataPublisher& publisher,
                                   MetadataImagePtr image, int64_t revision)
    : store_(store), loop_(loop), publisher_(publisher), image_(std::move(image)), revision_(revision), served_(revision_) {
  watch();
}

MetadataFollower::~MetadataFollower() { lifetime_.end(); }

void MetadataFollower::watch() {
  // All keys: such a watch is told of every revision, so a missing one is noticed.
  watch_ = store_.watch("", revision_ + 1, loop_, [this, alive = lifetime_.observe()](Result<MetaEvents> events) {
    if (alive) told(std::move(events));
  });
}

void MetadataFollower::told(Result<MetaEvents> events) {
  if (reading_) return;
  if (!events) {
    if (events.error().code == weir::ErrorCode::kNotFound) return read_again(events.error().message);
    log_warn("metadata", "The watch of the metadata ended, and is begun again: {}", events.error().message);
    watch_.reset();
    return later([this] {
      if (!reading_) watch();
    });
  }
  auto at = events->events.begin();
  const auto end = events->events.end();
  while (at != end) {
    const int64_t revision = at->entry.mod_revision;
    const auto next = std::find_if(at, end, [&](const auto& event) { return event.entry.mod_revision != revision; });
    if (revision > revision_ + 1) break;
    if (revision == revision_ + 1) {
      MetadataDelta delta(*image_);
      for (const auto& event : std::ranges::subrange(at, next)) delta.apply(event);
      take(delta.finish(revision), revision);
    }
    at = next;
  }
  if (events->revision <= revision_) return;
  read_again(fmt::format("changes between its revisions {} and {} were not told", revision_, events->revision));
}

// --- reading it all -------------------------------------------------------------------------------------------------

void MetadataFollower::read_again(const std::string& why) {
  log_warn("metadata", "All of the metadata is read again: {}", why);
  watch_.reset();
  reading_ = true;
  arrived_.clear();
  MetaRangeRequest request("");
  request.limit = kPageEntries;
  read_page(std::move(request));
}

void MetadataFollower::read_page(MetaRangeRequest request) {
  store_.range(request, loop_, [this, alive = lifetime_.observe(), request](Result<MetaRange> page) mutable {
    if (alive) page_arrived(std::move(request), std::move(page));
  });
}

void MetadataFollower::page_arrived(MetaRangeRequest request, Result<MetaRange> page) {
  if (!page) {
    // Its revision may be compacted by now: begin again.
    const std::string why = page.error().message;
    return later([this, why] { read_again(why); });
  }
  std::ranges::move(page->entries, std::back_inserter(arrived_));
  if (page->more) {
    request.start = arrived_.back().key + '\0';
    request.revision = page->revision;
    return read_page(std::move(request));
  }
  reading_ = false;
  MetadataDelta delta(*image_);
  delta.apply_all(arrived_);
  arrived_ = {};
  take(delta.finish(page->revision), page->revision);
  watch();
}

void MetadataFollower::later(Function<void()> what) {
  loop_.schedule_after(kRetryNs, [alive = lifetime_.observe(), what = std::move(what)]() mutable {
    if (alive) what();
  });
}

// --- to the shards --------------------------------------------------------------------------------------------------

// `change` is nullptr if images do not hold the entries that changed.
void MetadataFollower::take(std::shared_ptr<const MetadataChange> change, int64_t revision) {
  revision_ = revision;
  if (change == nullptr) {
    if (publishing_ == 0) served_ = revision_;
    return wake();
  }
  image_ = change->image;
  if (on_change_) on_change_(*change);
  ++publishing_;
  publisher_.publish(std::move(change), [this, alive = lifetime_.observe(), revision] {
    if (!alive) return;
    --publishing_;
    served_ = publishing_ == 0 ? revision_ : std::max(served_, revision);
    wake();
  });
}

void MetadataFollower::when_served(int64_t revision, Function<void()> done) {
  if (revision <= served_) return done();
  waiters_.push_back({revision, std::move(done)});
  if (!late_timer_) check_late();
}

void MetadataFollower::wake() {
  std::vector<Function<void()>> ready;
  std::erase_if(waiters_, [&](Waiter& waiter) {
    if (waiter.revision > served_) return false;
    ready.push_back(std::move(waiter.done));
    return true;
  });
  if (waiters_.empty() && late_timer_) loop_.cancel(std::exchange(late_timer_, {}));
  for (auto& done : ready) done();
}

// Finds a transaction that was answered and never told. Without a later revision nothing else would show the gap.
void MetadataFollower::check_late() {
  const int64_t before = revision_;
  late_timer_ = loop_.schedule_after(kLateNs, [this, alive = lifetime_.observe(), before] {
    if (!alive) return;
    late_timer_ = {};
    if (waiters_.empty()) return;
    if (revision_ == before && !reading_ && publishing_ == 0) {
      read_again(fmt::format("nothing after its revision {} was told in time", revision_));
    }
    check_late();
  });
}

}  // namespace weir::broker
