// The next image, made of one and of what changed in the store since. Whatever changed it, this broker, another one or a reading
// of the whole store, goes through here.
#pragma once

#include <memory>
#include <string_view>

#include "broker/metadata/metadata_image.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class MetadataDelta {
 public:
  explicit MetadataDelta(const MetadataImage& before);

  // Keys that images do not hold are passed over; so are entries that cannot be read, which the log tells. A key comes once at
  // most.
  void apply(const storage::MetaEvent& event);
  // Instead of that: all entries of the store. What the image has and they do not is gone.
  void apply_all(const std::vector<storage::MetaEntry>& entries);
  // nullptr if the image is as it was. Once.
  std::shared_ptr<const MetadataChange> finish(int64_t revision);

 private:
  void put(const storage::MetaEntry& entry);
  void remove(std::string_view key);
  void put_topic(TopicRecord record);
  void put_configs(ConfigRecord record);
  void reconfigure_topics();

  const MetadataImage& before_;
  std::shared_ptr<MetadataImage> image_;
  std::shared_ptr<MetadataChange> change_;
};

}  // namespace weir::broker
