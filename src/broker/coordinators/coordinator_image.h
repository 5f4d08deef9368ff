// The broker's metadata image as coordinators see it.
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "broker/metadata/metadata_image.h"
#include "coordination/runtime/image.h"

namespace weir::broker {

class CoordinatorImage final : public coordination::Image {
 public:
  explicit CoordinatorImage(MetadataImagePtr image) : image_(std::move(image)) {}
  bool has_topic(std::string_view name) const override { return image_->find(name) != nullptr; }
  bool has_topic(const Uuid& id) const override { return image_->find(id) != nullptr; }
  std::optional<storage::PartitionId> partition(std::string_view name, int32_t index) const override {
    const Topic* topic = image_->find(name);
    if (topic == nullptr || !topic->has_partition(index)) return std::nullopt;
    return topic->partition(index);
  }

 private:
  const MetadataImagePtr image_;
};

}  // namespace weir::broker
