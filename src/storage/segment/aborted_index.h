// The transactions that were aborted in a partition, beside the segment that holds their markers: Kafka's `.txnindex`. Format:
// docs/formats/segments.md.
//
// The segment's row says how many entries there are and what their checksum is (SegmentInfo::aborted): bytes behind them do not
// exist, and fewer or other ones are damage.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/manifest.h"

namespace weir::storage {

inline constexpr size_t kAbortedEntryBytes = 34;
// A segment with so many is complete. Its entries are read as a whole: this bounds the memory for it.
inline constexpr uint32_t kAbortedPerSegment = 64 * 1024;

std::vector<uint8_t> encode_aborted(std::span<const AbortedTransaction> entries);
// The entries up to the first one that cannot have been written.
std::vector<AbortedTransaction> decode_aborted(Bytes bytes);

// What the row says once the entries are in the segment's file behind those it counts.
void add_aborted(SegmentInfo& segment, std::span<const AbortedTransaction> entries);

// The entries of the segment. kCorrupt if the file does not hold them, kNotFound if it is not there.
Result<std::vector<AbortedTransaction>> load_aborted(runtime::FileSystem& files, const std::string& path,
                                                     const SegmentInfo& segment);
// Writes the entries behind the first `before` of the file, which is made if there are none before.
Result<std::unique_ptr<runtime::File>> write_aborted(runtime::FileSystem& files, const std::string& path, uint32_t before,
                                                     std::span<const AbortedTransaction> entries);

}  // namespace weir::storage
