// A request about many partitions, spread over the shards that own them. A round has at most one message to each shard and one
// back, and none for partitions of the connection's own shard.
//
// It dies on the home shard (runtime/homebound.h), whichever shard drops the last reference.
//
// The derived class holds the request's context. run() is called on each owning shard with that shard's items. It calls
// item_done() once for each of them, at once or later, on the same shard. When all are done complete() is called on the home
// shard. Between start_round() and complete() the home shard must not touch the items.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "broker/broker.h"
#include "broker/server/request_context.h"
#include "runtime/homebound.h"

namespace weir::broker {

// Item: has `storage::PartitionId id`.
template <typename Item>
class ShardedOperation : public runtime::Homebound {
 protected:
  // The items of one shard.
  struct Part {
    BrokerShard* shard = nullptr;
    std::vector<Item*> items;
    size_t pending = 0;
    bool running = false;
    // For the derived class.
    bool noticed = false;
    uint32_t walk = 0;
  };

  ShardedOperation(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()), broker_(broker), context_(std::move(context)), home_(context_->loop().index()) {}

  // Assigns the items to shards; they must not move any more.
  void assign(std::span<Item> items) {
    for (Item& item : items) {
      const unsigned owner = broker_.owner(item.id);
      auto part = std::find_if(parts_.begin(), parts_.end(), [&](const Part& p) { return p.shard->index() == owner; });
      if (part == parts_.end()) {
        Part added;
        added.shard = &broker_.shard(owner);
        part = parts_.insert(parts_.end(), std::move(added));
      }
      part->items.push_back(&item);
    }
  }

  // Runs all parts. Without any, completes inline.
  void start_round() {
    pending_parts_ = parts_.size();
    if (parts_.empty()) return complete();
    auto self = runtime::HomeRef(this);  // complete() may let go of everything else
    Part* local = nullptr;
    for (Part& part : parts_) {
      if (part.shard->index() == home_) local = &part;
      else part.shard->loop.post([this, self, &part] { begin_part(part); });
    }
    if (local != nullptr) begin_part(*local);
  }

  void item_done(Part& part) {
    if (--part.pending == 0 && !part.running) part_done(part);
  }

  // A task for each part's shard, without an answer.
  template <typename Task>
  void on_each_part(Task task) {
    for (Part& part : parts_) broker_.run_on(part.shard->index(), [self = runtime::HomeRef(this), task, &part] { task(part); });
  }

  // Goes on with run(part) in another turn of the part's loop.
  template <typename Rest>
  void run_later(Part& part, Rest rest) {
    part.shard->loop.post([self = runtime::HomeRef(this), &part, rest] { self->run_part(part, rest); });
  }

  virtual void run(Part& part) = 0;
  virtual void complete() = 0;

  BrokerShard& home() { return broker_.shard(home_); }

  Broker& broker_;
  RequestContextPtr context_;  // home shard only
  const unsigned home_;
  std::vector<Part> parts_;

 private:
  void begin_part(Part& part) {
    part.pending = part.items.size();
    run_part(part, [this, &part] { run(part); });
  }
  template <typename Work>
  void run_part(Part& part, const Work& work) {
    part.running = true;
    work();
    part.running = false;
    if (part.pending == 0) part_done(part);
  }
  void part_done(Part& part) {
    if (part.shard->index() == home_) return part_came_home();
    broker_.shard(home_).loop.post([self = runtime::HomeRef(this)] { self->part_came_home(); });
  }
  void part_came_home() {
    if (--pending_parts_ == 0) complete();
  }

  size_t pending_parts_ = 0;  // home shard only
};

}  // namespace weir::broker
