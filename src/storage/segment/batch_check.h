// Whether a stored batch is what was appended once, and can be read: checksum, compression, records.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "protocol/compression.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

class BatchCheck {
 public:
  // Returns the fault, empty if there is none. `batch` is as long as its header says.
  std::string_view fault(const BatchHeader& header, Bytes batch);
  // Of the batch checked last, which had no fault: its records, decompressed. Valid until the next call.
  Bytes records() const { return records_; }

 private:
  // A batch that unpacks to more is called damaged: nobody could read it.
  static constexpr uint64_t kUnpackedMax = uint64_t{512} << 20;

  protocol::Decompressor decompressor_;
  std::vector<uint8_t> unpacked_;
  Bytes records_;
};

}  // namespace weir::storage
