// The broker's metadata image as coordinators see it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/metadata/metadata_image.h"
#include "coordination/runtime/image.h"

namespace weir::broker {

class CoordinatorImage final : public coordination::Image {
 public:
  explicit CoordinatorImage(MetadataImagePtr image) : image_(std::move(image)) {}
  bool has_topic(std::string_view name) const override { return image_->find(name) != nullptr; }
  bool has_topic(const Uuid& id) const override { return image_->find(id) != nullptr; }
  std::optional<storage::PartitionId> partition(std::string_view name, int32_t index) const override;
  std::optional<Topic> topic(std::string_view name) const override;
  std::optional<std::string> topic_name(const Uuid& id) const override;
  std::vector<std::string> racks(std::string_view name, int32_t index) const override;
  void for_each_topic(const std::function<void(std::string_view name)>& visit) const override;
  int64_t version() const override { return image_->revision(); }
  std::optional<std::string> group_config(std::string_view group_id, std::string_view name) const override;

 private:
  const MetadataImagePtr image_;
};

// The change as coordinators are told of it, which have the image `before`.
coordination::ImageChange image_change(coordination::ImagePtr before, const MetadataChange& change);

}  // namespace weir::broker
