#include "storage/segment/batch_check.h"

#include "protocol/record_window.h"

namespace weir::storage {

std::string_view BatchCheck::fault(const BatchHeader& header, Bytes batch) {
  if (!protocol::crc_matches(header, batch)) return protocol::batch_fault_name(protocol::BatchFault::kBadCrc);
  const Bytes stored = batch.subspan(BatchHeader::kSize);
  protocol::BatchFault fault{};
  if (header.compressed()) {
    decompressor_.open(header.compression(), stored, UINT64_MAX, kCodecBytesMax);
    protocol::RecordWindow records(decompressor_, window_);
    fault = protocol::check_records(header, records, {.contiguous = false});
    const auto why = decompressor_.fault();
    trim();
    // The checksum is right. A batch that needs more memory than there is for it is no damage.
    if (why == protocol::CompressionFault::kTooLarge) return {};
    if (why != protocol::CompressionFault::kNone) return protocol::compression_fault_name(why);
  } else {
    fault = protocol::check_records(header, stored, {.contiguous = false});
  }
  return fault == protocol::BatchFault::kNone ? std::string_view() : protocol::batch_fault_name(fault);
}

void BatchCheck::each_record(const BatchHeader& header, Bytes batch, const Visit& visit) {
  const Bytes stored = batch.subspan(BatchHeader::kSize);
  const auto walk = [&](const BatchHeader& part, Bytes records) {
    protocol::RecordIterator iterator(part, records);
    for (protocol::Record record; iterator.next(record);) visit(record);
  };
  if (!header.compressed()) return walk(header, stored);
  decompressor_.open(header.compression(), stored, UINT64_MAX, kCodecBytesMax);
  protocol::RecordWindow window(decompressor_, window_);
  BatchHeader part = header;
  for (int32_t left = header.record_count; left > 0; left -= part.record_count) {
    const Bytes records = window.whole_records(part.record_count);
    if (part.record_count == 0 || part.record_count > left) break;
    walk(part, records);
  }
  trim();
}

void BatchCheck::trim() {
  decompressor_.trim(kKeptBytes);
  if (window_.capacity() > kKeptBytes) std::vector<uint8_t>().swap(window_);  // an assignment of {} keeps the memory
}

}  // namespace weir::storage
