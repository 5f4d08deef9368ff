// Whether a stored batch is what was appended once, and can be read: checksum, compression, records. Compressed batches are
// opened through a window, so that it takes little memory whatever they decompress to.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "protocol/compression.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

class BatchCheck {
 public:
  // Returns the fault, empty if there is none. `batch` is as long as its header says.
  std::string_view fault(const BatchHeader& header, Bytes batch);
  // Of a batch that has no fault. A record is valid during its call; one that is larger than a window is in memory as a whole.
  using Visit = std::function<void(const protocol::Record& record)>;
  void each_record(const BatchHeader& header, Bytes batch, const Visit& visit);

 private:
  static constexpr uint64_t kCodecBytesMax = uint64_t{512} << 20;
  static constexpr uint64_t kKeptBytes = uint64_t{4} << 20;

  void trim();

  protocol::Decompressor decompressor_;
  std::vector<uint8_t> window_;
};

}  // namespace weir::storage
