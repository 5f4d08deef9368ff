// The noted deletions, at start: they say which data may go. Notes that are not needed any more are removed.
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
  // Blocking, as all functions are. `new_cluster`: nothing was ever stored in the folder.
  static Result<DeletedTopics> load(storage::MetaStore& store, bool new_cluster);

  bool noted(const TopicId& topic) const { return notes_.contains(topic); }
  // An image as of `revision` is also as of the revision that this returns. Between the two lie only this object's own writes,
  // and images do not hold those.
  int64_t revision_after(int64_t revision) const { return own_from_ <= revision && revision <= own_to_ ? own_to_ : revision; }

  // Tells storage::open_log what `image` and the notes say of a partition. `given_up`: whether an operator asked for the deletion
  // of an unknown topic. An earlier version did not note deletions. The first start over its folder takes each unknown topic for
  // deleted. Both kinds of deletions are noted before data goes. failure() tells the first note that could not be written.
  storage::PartitionLookup lookup(const MetadataImage& image, std::function<bool(const TopicId&)> given_up = {});
  const std::optional<Error>& failure() const { return failure_; }

  // `remains`: the topics whose data open_log has found. The notes of all others go, but for a note that somebody else changed
  // meanwhile. The caller has made removals from the disk durable (sync_removals).
  Result<void> settle(const std::unordered_set<TopicId>& remains);
  // Whether settle() would remove a note.
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
