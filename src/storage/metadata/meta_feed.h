// The latest changes of a store that lives in this process, for its watchers and for ranges as of an earlier revision.
//
// The store records changes when they are committed, and publishes them when others may rely on them; watchers then learn of
// them. Changes beyond `bytes_max` are compacted, oldest first. Thread-safe. record() and publish() are called in the order of
// revisions.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/metadata/meta_store.h"

namespace weir::storage {

class MetaFeed {
 public:
  struct Change {
    MetaEvent event;
    std::optional<MetaEntry> before;  // the key's entry before the change
    int64_t revision() const { return event.entry.mod_revision; }
  };
  static constexpr size_t kBytesMax = 1 << 20;

  explicit MetaFeed(size_t bytes_max = kBytesMax) : bytes_max_(bytes_max) {}
  // The store begins at `revision`. Earlier changes are not known.
  void begin(int64_t revision);
  void record(std::vector<Change> changes);
  void publish(int64_t up_to);
  // Forgets all published changes, as an etcd that is told to compact.
  void compact();

  std::unique_ptr<MetaWatch> watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                   Function<void(Result<MetaEvents>)> told);
  // `entries`: those with keys in [first, end) (an empty `end`: no end), after all recorded changes and then `unrecorded`. Makes
  // them the entries as of `revision`. kNotFound if that revision is compacted.
  Result<void> rewind(std::vector<MetaEntry>& entries, const std::string& first, const std::string& end, int64_t revision,
                      const std::vector<Change>& unrecorded) const;

 private:
  struct Watcher;
  class Watching;

  struct Registered {
    std::string prefix;
    int64_t next;
    std::weak_ptr<Watcher> watcher;
  };

  static size_t bytes_of(const Change& change);
  void trim(size_t bytes_max);
  std::optional<MetaEvents> events_for(Registered& registered, int64_t up_to) const;

  const size_t bytes_max_;
  mutable std::mutex mutex_;
  // mutex_
  std::deque<Change> changes_;
  size_t bytes_ = 0;
  int64_t compacted_ = 0;  // changes up to here are gone
  int64_t published_ = 0;
  std::vector<Registered> watchers_;
};

}  // namespace weir::storage
