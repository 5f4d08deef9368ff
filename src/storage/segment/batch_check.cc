#include "storage/segment/batch_check.h"

#include "base/crc32c.h"

namespace weir::storage {

std::string_view BatchCheck::fault(const BatchHeader& header, Bytes batch) {
  if (crc32c(batch.subspan(BatchHeader::kCrcStart)) != header.crc)
    return protocol::batch_fault_name(protocol::BatchFault::kBadCrc);
  records_ = batch.subspan(BatchHeader::kSize);
  if (header.compressed()) {
    unpacked_.clear();
    const auto fault = decompressor_.decompress(header.compression(), records_, kUnpackedMax, unpacked_);
    if (fault != protocol::CompressionFault::kNone) return protocol::compression_fault_name(fault);
    records_ = Bytes(unpacked_);
  }
  const auto fault = protocol::check_records(header, records_, {.contiguous = false});
  return fault == protocol::BatchFault::kNone ? std::string_view() : protocol::batch_fault_name(fault);
}

}  // namespace weir::storage
