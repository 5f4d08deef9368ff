// Shows and checks one segment file: `weir log dump` and `weir log verify`. Reads only; on a running broker's
// active segment the end may look cut off, for only the manifest knows how much of it is valid. So it is with its index of
// aborted transactions, which is shown as far as it can be one; whether it is right the manifest says (apps/folder_check.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/manifest.h"

namespace weir::storage {

// What the manifest says of a segment. Offsets and leader epochs of batches have no checksum: only this tells.
struct ManifestedSegment {
  SegmentInfo info;
  int64_t log_start_offset = 0;
  std::vector<EpochStart> epochs;  // of its partition
};

struct SegmentDumpOptions {
  bool json = false;                            // an object a line
  bool verify_only = false;                     // lines for damage only
  bool records = false;                         // a line for every record, with its key and value
  const ManifestedSegment* manifest = nullptr;  // if there is one: what is in the file behind its length does not exist
};

struct SegmentDumpSummary {
  uint64_t batches = 0;          // whole ones, damaged or not
  uint64_t records = 0;          // in intact batches
  uint64_t damaged_batches = 0;  // CRC or records wrong
  int64_t first_offset = -1;
  int64_t next_offset = -1;
  uint64_t valid_bytes = 0;     // where the chain of batches ends
  uint64_t trailing_bytes = 0;  // behind it: a write that was cut off, or damage
  uint64_t index_entries = 0;
  uint64_t wrong_index_entries = 0;  // hints that do not fit; harmless
  uint64_t aborted_transactions = 0;
  std::vector<std::string> contradictions;  // of an intact chain of batches, to the manifest
  bool damaged() const { return damaged_batches != 0 || trailing_bytes != 0 || !contradictions.empty(); }
};

// Calls `line` for every line of the listing. Fails if the file cannot be read or its name is not that of a
// segment.
Result<SegmentDumpSummary> dump_segment_file(runtime::FileSystem& files, const std::string& path,
                                             const SegmentDumpOptions& options, Function<void(std::string_view line)> line);

}  // namespace weir::storage
