// The deletions that the metadata has noted, at start: whose data may go, and which notes are not needed any more.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "broker/metadata/metadata_image.h"
#include "storage/log/log_recovery.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class DeletedTopics {
 public:
  // Blocking, as all of it is. `new_cluster`: nothing was ever stored in the folder.
  static Result<DeletedTopics> load(storage::MetaStore& store, bool new_cluster);

  bool noted(const TopicId& topic) const { return notes_.contains(topic); }
  // An image as of `revision` is also as of the revision that this returns: all between the two is what this object wrote, which
  // is of no concern to images.
  int64_t revision_after(int64_t revision) const { return own_from_ <= revision && revision <= own_to_ ? own_to_ : revision; }

  // What `image` and the notes say of a partition, for storage::open_log. `given_up`: whether an operator asked for the
  // deletion of a topic that is not known. An earlier version did not note deletions: then, once, what is not known counts as
  // deleted. Both are noted before they are acted upon; the first failure to do so is told by failure().
  storage::PartitionLookup lookup(const MetadataImage& image, std::function<bool(const TopicId&)> given_up = {});
  const std::optional<Error>& failure() const { return failure_; }

  // After open_log has found what `remains`: other notes go, but for a note that somebody else changed meanwhile. What was
  // removed from the disk stays so (sync_removals).
  Result<void> settle(const std::unordered_set<TopicId>& remains);
  // Any note that settle() would remove?
  bool outdated(const std::unordered_set<TopicId>& remains) const;

 private:
  explicit DeletedTopics(storage::MetaStore& store) : store_(&store) {}
  // One transaction, which changes something if it succeeds. Returns whether it did.
  Result<bool> write(std::vector<storage::MetaCompare> compares, std::vector<storage::MetaOperation> operations);
  Result<void> note_all_from_now_on();
  bool note(const TopicId& topic);

  storage::MetaStore* store_;
  bool complete_ = true;                        // every deletion has a note
  std::unordered_map<TopicId, int64_t> notes_;  // with the revision of the note
  // Transactions of this object have the revisions from own_from_ + 1 to own_to_, with nobody else's between them.
  int64_t own_from_ = 0;
  int64_t own_to_ = 0;
  std::optional<Error> failure_;
};

}  // namespace weir::broker
