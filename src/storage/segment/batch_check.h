// Checks that a stored batch is as it was appended, and that it can be read: checksum, compression, records. A compressed batch
// is opened through a window, so a check takes little memory whatever the batch decompresses to.
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
  // Returns the fault; empty if the batch has none. `batch` is as long as its header says.
  std::string_view fault(const BatchHeader& header, Bytes batch);
  // Calls `visit` for each record of a batch without a fault. A record is valid during its call. A record that is larger than a
  // window is in memory as a whole.
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
