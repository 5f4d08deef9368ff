// Shows and checks one segment file, for `weir log dump` and `weir log verify`. Reads only.
//
// The end of a running broker's active segment may look cut off, because only the manifest knows the valid length. The same holds
// for its index of aborted transactions. The dump shows the entries that are possible; apps/folder_check.h compares them with the
// manifest.
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

// A segment by its manifest. Offsets and leader epochs of batches have no checksum, so only the manifest shows their damage.
struct ManifestedSegment {
  SegmentInfo info;
  int64_t log_start_offset = 0;
  std::vector<EpochStart> epochs;  // of its partition
};

struct SegmentDumpOptions {
  bool json = false;                            // an object a line
  bool verify_only = false;                     // lines for damage only
  bool records = false;                         // a line for every record, with its key and value
  const ManifestedSegment* manifest = nullptr;  // if known: bytes behind its length do not exist
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

// Calls `line` for every line of the listing. Fails if the file cannot be read, or if it is not named as a segment.
Result<SegmentDumpSummary> dump_segment_file(runtime::FileSystem& files, const std::string& path,
                                             const SegmentDumpOptions& options, Function<void(std::string_view line)> line);

}  // namespace weir::storage
