// The transactions that were aborted in a partition. They lie beside the segment that holds their markers, in Kafka's `.txnindex`
// format (docs/formats/segments.md).
//
// The segment's row has the number of the entries and their checksum (SegmentInfo::aborted). Bytes behind these entries do not
// exist. Fewer entries, or other ones, are damage.
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
// A segment with so many entries is complete. The bound limits memory, because the entries of a segment are read as a whole.
inline constexpr uint32_t kAbortedPerSegment = 64 * 1024;

std::vector<uint8_t> encode_aborted(std::span<const AbortedTransaction> entries);
// Returns the entries up to the first one that cannot have been written.
std::vector<AbortedTransaction> decode_aborted(Bytes bytes);

// Adds entries to number and checksum in the row. In the file they come behind the entries that the row has already.
void add_aborted(SegmentInfo& segment, std::span<const AbortedTransaction> entries);

// Returns the entries of the segment. kCorrupt if the file does not hold them, kNotFound if there is no file.
Result<std::vector<AbortedTransaction>> load_aborted(runtime::FileSystem& files, const std::string& path,
                                                     const SegmentInfo& segment);
// Writes the entries behind the first `before` entries of the file. Makes the file if `before` is 0.
Result<std::unique_ptr<runtime::File>> write_aborted(runtime::FileSystem& files, const std::string& path, uint32_t before,
                                                     std::span<const AbortedTransaction> entries);

}  // namespace weir::storage
