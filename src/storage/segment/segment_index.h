// Sparse index of a segment: hints that save reading headers from the start of the file. Format:
// docs/formats/segments.md.
//
// Entries are never trusted: each has its own checksum, and the header at its position is compared before
// use. A missing or damaged index costs a scan, never wrong data. Nothing of it is synced.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/file.h"

namespace weir::storage {

struct IndexEntry {
  int64_t base_offset = 0;            // of the batch
  uint64_t position = 0;              // where it starts
  int64_t max_timestamp_before = -1;  // of all batches before it in the segment
  bool operator==(const IndexEntry&) const = default;
};

class SegmentIndex {
 public:
  static constexpr size_t kHeaderBytes = 16;
  static constexpr size_t kEntryBytes = 28;

  // The sound entries of the file up to `valid_length` of the log; none if it is missing or not an index of
  // this segment. Fails only if reading fails.
  static Result<SegmentIndex> load(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset,
                                   uint64_t valid_length);
  // Adds entries to the file, which is created if missing.
  static Result<void> append(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset,
                             std::span<const IndexEntry> entries);
  // Replaces the file.
  Result<void> write(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset) const;

  // The last entry at or before the position asked for; nullptr: begin at the start of the segment.
  const IndexEntry* before_offset(int64_t offset) const;
  const IndexEntry* before_position(uint64_t position) const;
  // The last entry such that no batch before it has a timestamp >= `timestamp`.
  const IndexEntry* before_timestamp(int64_t timestamp) const;

  void add(const IndexEntry& entry) { entries_.push_back(entry); }
  const std::vector<IndexEntry>& entries() const { return entries_; }
  size_t memory_bytes() const { return sizeof(*this) + entries_.capacity() * sizeof(IndexEntry); }

 private:
  std::vector<IndexEntry> entries_;  // ascending in offset and position
};

}  // namespace weir::storage
