#include "storage/metadata/meta_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace weir::storage {

namespace {

Error compacted_error(int64_t asked, int64_t compacted) {
  return {ErrorCode::kNotFound, fmt::format("metadata revision {} is compacted, as is all up to {}", asked, compacted), 0};
}

}  // namespace

struct MetaFeed::Watcher {
  Watcher(runtime::Executor& executor, Function<void(Result<MetaEvents>)> callback)
      : reply_to(executor), told(std::move(callback)) {}

  // The caller's reference goes along, so that the last reference is dropped on the watcher's executor.
  static void post(std::shared_ptr<Watcher> watcher, Result<MetaEvents> what) {
    runtime::Executor& executor = watcher->reply_to;
    executor.post([watcher = std::move(watcher), what = std::move(what)]() mutable {
      if (!watcher->cancelled) watcher->told(std::move(what));
    });
  }

  runtime::Executor& reply_to;
  // On its executor:
  Function<void(Result<MetaEvents>)> told;
  bool cancelled = false;
};

class MetaFeed::Watching final : public MetaWatch {
 public:
  explicit Watching(std::shared_ptr<Watcher> watcher) : watcher_(std::move(watcher)) {}
  ~Watching() override { watcher_->cancelled = true; }

 private:
  std::shared_ptr<Watcher> watcher_;
};

size_t MetaFeed::bytes_of(const Change& change) {
  constexpr size_t kOverhead = 256;
  return kOverhead + change.event.entry.key.size() + change.event.entry.value.size() +
         (change.before ? change.before->value.size() : 0);
}

void MetaFeed::begin(int64_t revision) {
  const std::lock_guard lock(mutex_);
  compacted_ = published_ = revision;
}

void MetaFeed::record(std::vector<Change> changes) {
  const std::lock_guard lock(mutex_);
  for (Change& change : changes) {
    bytes_ += bytes_of(change);
    changes_.push_back(std::move(change));
  }
}

void MetaFeed::publish(int64_t up_to) {
  const std::lock_guard lock(mutex_);
  if (up_to <= published_) return;
  std::erase_if(watchers_, [&](Registered& registered) {
    auto events = events_for(registered, up_to);
    if (!events) return registered.watcher.expired();
    std::shared_ptr<Watcher> watcher = registered.watcher.lock();
    if (!watcher) return true;
    Watcher::post(std::move(watcher), std::move(*events));
    return false;
  });
  published_ = up_to;
  trim(bytes_max_);
}

void MetaFeed::compact() {
  const std::lock_guard lock(mutex_);
  trim(0);
}

// Revisions go as a whole. Unpublished revisions stay.
void MetaFeed::trim(size_t bytes_max) {
  while (!changes_.empty() && changes_.front().revision() <= published_ &&
         (bytes_ > bytes_max || changes_.front().revision() == compacted_)) {
    compacted_ = changes_.front().revision();
    bytes_ -= bytes_of(changes_.front());
    changes_.pop_front();
  }
}

// Nothing if no event concerns the watcher.
std::optional<MetaEvents> MetaFeed::events_for(Registered& registered, int64_t up_to) const {
  MetaEvents events;
  events.revision = up_to;
  auto at = std::ranges::partition_point(changes_, [&](const Change& change) { return change.revision() < registered.next; });
  for (; at != changes_.end() && at->revision() <= up_to; ++at) {
    if (at->event.entry.key.starts_with(registered.prefix)) events.events.push_back(at->event);
  }
  registered.next = std::max(registered.next, up_to + 1);
  if (events.events.empty()) return std::nullopt;
  return events;
}

std::unique_ptr<MetaWatch> MetaFeed::watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                           Function<void(Result<MetaEvents>)> told) {
  const std::lock_guard lock(mutex_);
  if (from == 0) from = published_ + 1;
  auto watcher = std::make_shared<Watcher>(reply_to, std::move(told));
  if (from <= compacted_) {
    Watcher::post(watcher, std::unexpected(compacted_error(from, compacted_)));
  } else {
    Registered registered{std::move(prefix), from, watcher};
    if (auto events = events_for(registered, published_)) Watcher::post(watcher, std::move(*events));
    watchers_.push_back(std::move(registered));
  }
  return std::make_unique<Watching>(std::move(watcher));
}

Result<void> MetaFeed::rewind(std::vector<MetaEntry>& entries, const std::string& first, const std::string& end, int64_t revision,
                              const std::vector<Change>& unrecorded) const {
  const std::lock_guard lock(mutex_);
  if (revision < compacted_) return std::unexpected(compacted_error(revision, compacted_));
  std::map<std::string, MetaEntry> by_key;
  for (MetaEntry& entry : entries) by_key.insert_or_assign(entry.key, std::move(entry));
  const auto undo = [&](const auto& changes) {
    for (auto at = changes.rbegin(); at != changes.rend() && at->revision() > revision; ++at) {
      const std::string& key = at->event.entry.key;
      if (key < first || (!end.empty() && key >= end)) continue;
      if (at->before) by_key.insert_or_assign(key, *at->before);
      else by_key.erase(key);
    }
  };
  undo(unrecorded);
  undo(changes_);
  entries.clear();
  for (auto& [key, entry] : by_key) entries.push_back(std::move(entry));
  return {};
}

}  // namespace weir::storage
