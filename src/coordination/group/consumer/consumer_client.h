// For tests: a member of a consumer group that does what the answers ask of it.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordination/group/group_world.h"

namespace weir::coordination {

// An image with topics and their numbers of partitions.
inline std::shared_ptr<TestImage> image_with(std::map<std::string, TestImage::Listed, std::less<>> topics,
                                             std::set<std::string, std::less<>> gone = {}) {
  auto image = std::make_shared<TestImage>(std::move(gone));
  image->listed = std::move(topics);
  return image;
}

inline Assignment partitions_of(const std::string& topic, std::vector<int32_t> partitions) {
  return {{TestImage::id_of(topic), std::move(partitions)}};
}

class ConsumerClient {
 public:
  std::string id;
  std::vector<std::string> topics = {"t"};
  std::string group = "g";
  std::optional<std::string> instance = {};
  std::optional<std::string> regex = {};
  std::optional<std::string> assignor = {};
  int32_t rebalance_ms = 30'000;
  TopicFilter may_describe = {};
  bool slow = false;  // to give up partitions: revoke() does it

  int32_t epoch = 0;
  Assignment assigned;  // as it was told
  Assignment owned;     // what it works on
  ConsumerHeartbeatResult last;

  // With all fields on joining and after a change of them, as clients do. The owned list comes once it differs from the last one.
  ErrorCode heartbeat(GroupRequests& world) { return heartbeat(world, epoch == 0 || changed_); }
  ErrorCode full_heartbeat(GroupRequests& world) { return heartbeat(world, true); }
  ErrorCode join(GroupRequests& world) {
    epoch = 0;
    assigned.clear();
    owned.clear();
    return heartbeat(world, true);
  }
  ErrorCode leave(GroupRequests& world, bool for_a_while = false) {
    ConsumerHeartbeatRequest request = base();
    request.member_epoch = for_a_while ? -2 : -1;
    last = world.consumer_heartbeat(std::move(request));
    if (last.error == ErrorCode::kNone) epoch = last.member_epoch;
    return last.error;
  }
  void subscribe(std::vector<std::string> to, std::optional<std::string> to_regex = {}) {
    topics = std::move(to);
    regex = std::move(to_regex);
    changed_ = true;
  }
  // Gives up what it was not asked to keep, and begins with what is new.
  void revoke() { owned = assigned; }
  // A coordinator's error ends its work: it joins again.
  void fence() {
    epoch = 0;
    assigned.clear();
    owned.clear();
  }
  size_t count() const {
    size_t count = 0;
    for (const TopicPartitions& topic : owned) count += topic.partitions.size();
    return count;
  }
  ConsumerHeartbeatRequest base() const {
    ConsumerHeartbeatRequest request;
    request.group_id = group;
    request.member_id = id;
    request.member_epoch = epoch;
    request.instance_id = instance;
    request.client_id = "client";
    request.client_host = "/10.0.0.1";
    request.may_describe = may_describe;
    return request;
  }
  static bool has(const Assignment& assignment, const Uuid& topic, int32_t partition) {
    return std::ranges::any_of(assignment, [&](const TopicPartitions& one) {
      return one.topic_id == topic && std::ranges::binary_search(one.partitions, partition);
    });
  }

 private:
  ErrorCode heartbeat(GroupRequests& world, bool full) {
    ConsumerHeartbeatRequest request = base();
    if (full) {
      request.rebalance_timeout_ms = rebalance_ms;
      request.subscribed_topics = topics;
      request.subscribed_regex = regex.value_or("");
      request.server_assignor = assignor;
    }
    if (full || owned != told_) request.owned = epoch == 0 ? Assignment() : owned;
    const Assignment told = request.owned.value_or(told_);
    last = world.consumer_heartbeat(std::move(request));
    if (last.error != ErrorCode::kNone) return last.error;
    told_ = told;
    changed_ = false;
    id = last.member_id;
    epoch = last.member_epoch;
    if (last.assignment) assigned = *last.assignment;
    if (!slow) revoke();
    return last.error;
  }
  Assignment told_;
  bool changed_ = false;
};

}  // namespace weir::coordination
