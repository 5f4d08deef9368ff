// The cluster's metadata as coordinators see it: the broker's image behind an interface.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.h"
#include "storage/types.h"

namespace weir::coordination {

// Immutable, of one moment; any thread.
class Image {
 public:
  virtual ~Image() = default;
  virtual bool has_topic(std::string_view name) const = 0;
  virtual bool has_topic(const Uuid& id) const = 0;
  // Nothing: there is no such topic, or it has fewer partitions.
  virtual std::optional<storage::PartitionId> partition(std::string_view topic, int32_t index) const = 0;

  struct Topic {
    Uuid id;
    int32_t partition_count = 0;
  };
  virtual std::optional<Topic> topic(std::string_view name) const = 0;
  virtual std::optional<std::string> topic_name(const Uuid& id) const = 0;
  // The racks of a partition's replicas, ascending, each once. Empty if brokers have none.
  virtual std::vector<std::string> racks(std::string_view topic, int32_t index) const = 0;
  // In no particular order. For the pool: there may be very many.
  virtual void for_each_topic(const std::function<void(std::string_view name)>& visit) const = 0;
  // Greater in a later image.
  virtual int64_t version() const = 0;
  // A config of a group as it was set, else as the broker's own configuration has it now. Nothing: there is no such config.
  virtual std::optional<std::string> group_config(std::string_view group_id, std::string_view name) const = 0;
};
using ImagePtr = std::shared_ptr<const Image>;

// From one image to the next.
struct ImageChange {
  ImagePtr before;
  ImagePtr after;
  struct Topic {
    std::string name;
    Uuid id;
  };
  std::vector<Topic> deleted = {};
  std::vector<std::string> changed = {};     // topics that are new, gone, or have other partitions or racks; each once
  std::vector<std::string> configured = {};  // groups whose configs changed; each once
  bool defaults_changed = false;             // the broker's own configuration, which groups have for what they do not set
};

}  // namespace weir::coordination
