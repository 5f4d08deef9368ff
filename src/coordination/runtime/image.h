// The cluster's metadata as coordinators see it: the broker's image behind an interface.
#pragma once

#include <cstdint>
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
  std::vector<Topic> deleted;
};

}  // namespace weir::coordination
