#include "broker/metadata/metadata_image.h"

#include <algorithm>

namespace weir::broker {

bool is_internal_topic(std::string_view name) {
  return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state";
}

std::vector<TopicPtr> MetadataImage::sorted_by_name() const {
  std::vector<TopicPtr> topics;
  topics.reserve(topic_count());
  for_each([&](const TopicPtr& topic) { topics.push_back(topic); });
  std::sort(topics.begin(), topics.end(), [](const TopicPtr& a, const TopicPtr& b) { return a->name() < b->name(); });
  return topics;
}

void MetadataImage::put(TopicPtr topic) {
  if (const Topic* before = find(topic->id())) partition_count_ -= before->partition_count();
  partition_count_ += topic->partition_count();
  by_id_.put(topic->id(), topic);
  by_name_.put(topic->name(), topic);
}

void MetadataImage::remove(const TopicId& id) {
  const TopicPtr* found = find_shared(id);
  if (found == nullptr) return;
  const TopicPtr topic = *found;
  partition_count_ -= topic->partition_count();
  by_id_.erase(id);
  by_name_.erase(topic->name());
}

}  // namespace weir::broker
