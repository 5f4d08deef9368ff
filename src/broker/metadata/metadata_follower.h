// Keeps the image of this broker as the store is. It watches all changes, makes the next image of each transaction, and brings it
// to all shards. The controller of this broker changes the store, and so do other brokers; their changes come into the image in
// one way.
//
// Revisions have no gaps. The follower reads the whole store again if a revision was not told, if the watch cannot go on from its
// revision, or if a revision does not come that somebody waits for. So an image never misses a change that a later one has.
//
// Lives on shard 0. All calls are on its loop, but for the construction, which comes before the loops run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/lifetime.h"
#include "broker/metadata/metadata_image.h"
#include "runtime/loop.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

// Brings an image to all shards.
class MetadataPublisher {
 public:
  virtual ~MetadataPublisher() = default;
  // `done` on the caller's loop once every shard serves from the new image. Changes arrive everywhere in the order of the calls.
  virtual void publish(std::shared_ptr<const MetadataChange> change, Function<void()> done) = 0;
};

class MetadataFollower {
 public:
  // How long a revision may take to be told after its transaction was answered.
  static constexpr int64_t kLateNs = runtime::kSecond;
  static constexpr int64_t kRetryNs = 200 * runtime::kMillisecond;
  static constexpr size_t kPageEntries = 1000;

  // From `image` on, which is as of `revision`.
  MetadataFollower(storage::MetaStore& store, runtime::Loop& loop, MetadataPublisher& publisher, MetadataImagePtr image,
                   int64_t revision);
  ~MetadataFollower();
  MetadataFollower(const MetadataFollower&) = delete;

  // Has all that the watch told. Shards may still have earlier images.
  const MetadataImagePtr& image() const { return image_; }
  // Calls `done` once every shard serves from an image as of `revision` or later. The call may be inline.
  void when_served(int64_t revision, Function<void()> done);
  // `told` gets each change before the shards do. Before the loops run.
  void on_change(std::function<void(const MetadataChange&)> told) { on_change_ = std::move(told); }

 private:
  struct Waiter {
    int64_t revision;
    Function<void()> done;
  };

  void watch();
  void told(Result<storage::MetaEvents> events);
  void read_again(const std::string& why);
  void read_page(storage::MetaRangeRequest request);
  void page_arrived(storage::MetaRangeRequest request, Result<storage::MetaRange> page);
  void later(Function<void()> what);
  void take(std::shared_ptr<const MetadataChange> change, int64_t revision);
  void wake();
  void check_late();

  storage::MetaStore& store_;
  runtime::Loop& loop_;
  MetadataPublisher& publisher_;
  std::function<void(const MetadataChange&)> on_change_;
  MetadataImagePtr image_;
  int64_t revision_;  // image_ has all up to here
  int64_t served_;    // every shard has all up to here
  size_t publishing_ = 0;
  std::unique_ptr<storage::MetaWatch> watch_;
  bool reading_ = false;                     // the whole store
  std::vector<storage::MetaEntry> arrived_;  // of it
  std::vector<Waiter> waiters_;
  runtime::TimerId late_timer_;  // while somebody waits
  Lifetime lifetime_;
};

}  // namespace weir::broker
