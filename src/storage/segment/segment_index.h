// Sparse index of a segment. Its entries are hints, with which a reader need not read headers from the start of the file. Format:
// docs/formats/segments.md.
//
// Entries are never trusted. Each has its own checksum, and a reader compares the header at its position before use. A missing or
// damaged index costs a scan, and never gives wrong data. No index is synced.
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

  // Returns the sound entries of the file up to `valid_length` of the log. It has none if the file is missing, or is no index of
  // this segment. Fails only if reading fails.
  static Result<SegmentIndex> load(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset,
                                   uint64_t valid_length);
  // Adds entries to the file. Creates the file if it is missing.
  static Result<void> append(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset,
                             std::span<const IndexEntry> entries);
  // Replaces the file.
  Result<void> write(runtime::FileSystem& files, const std::string& path, int64_t segment_base_offset) const;

  // Returns the last entry at or before the offset or position; nullptr: begin at the start of the segment.
  const IndexEntry* before_offset(int64_t offset) const;
  const IndexEntry* before_position(uint64_t position) const;
  // Returns the last entry such that no batch before it has a timestamp >= `timestamp`.
  const IndexEntry* before_timestamp(int64_t timestamp) const;

  void add(const IndexEntry& entry) { entries_.push_back(entry); }
  const std::vector<IndexEntry>& entries() const { return entries_; }
  size_t memory_bytes() const { return sizeof(*this) + entries_.capacity() * sizeof(IndexEntry); }

 private:
  std::vector<IndexEntry> entries_;  // ascending in offset and position
};

}  // namespace weir::storage
