// Makes the next image of an image and of the changes in the store since. All changes go through it: those of this broker, those
// of other brokers, and those that a reading of the whole store finds.
#pragma once

#include <memory>
#include <set>
#include <string_view>

#include "broker/metadata/metadata_image.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class MetadataDelta {
 public:
  explicit MetadataDelta(const MetadataImage& before);

  // Passes over keys that images do not hold, and over entries that cannot be read; the log tells the latter. A key comes at most
  // once.
  void apply(const storage::MetaEvent& event);
  // Takes all entries of the store, in the place of apply(). An entry of the image that is not among them is gone.
  void apply_all(const std::vector<storage::MetaEntry>& entries);
  // Returns nullptr if the image did not change. Call it once.
  std::shared_ptr<const MetadataChange> finish(int64_t revision);

 private:
  void put(const storage::MetaEntry& entry);
  void remove(std::string_view key);
  void put_topic(TopicRecord record);
  void put_configs(ConfigRecord record);
  void reconfigure_topics();
  void find_moved_topics();

  const MetadataImage& before_;
  std::shared_ptr<MetadataImage> image_;
  std::shared_ptr<MetadataChange> change_;
  std::set<TopicId> with_other_replicas_;
};

}  // namespace weir::broker
