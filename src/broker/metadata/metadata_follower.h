// Keeps the image of this broker as the store has it: watches all changes, makes each transaction the next image, and brings it
// to all shards. The controller of this broker and other brokers change the store; the way of a change into the image is the
// same.
//
// Revisions are without gaps. If one was not told, if the watch cannot go on from where it was, or if somebody waits for a
// revision that does not come, all of the store is read anew. So no image misses a change that a later one has.
//
// Lives on shard 0: loop thread only, but for the construction, which is before the loops run.
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

  // Of all that was told. Shards may have earlier ones.
  const MetadataImagePtr& image() const { return image_; }
  // `done` once every shard serves from what the store had at `revision`, or from something later. Perhaps inline.
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
  int64_t revision_;  // up to here all is in image_
  int64_t served_;    // up to here all is on every shard
  size_t publishing_ = 0;
  std::unique_ptr<storage::MetaWatch> watch_;
  bool reading_ = false;                     // the whole store
  std::vector<storage::MetaEntry> arrived_;  // of it
  std::vector<Waiter> waiters_;
  runtime::TimerId late_timer_;  // while somebody waits
  Lifetime lifetime_;
};

}  // namespace weir::broker
