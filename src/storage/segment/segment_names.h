// Names below a log directory. A partition has a folder `<topic id>-<index>`, a segment files `<base offset, 20 digits>.log`,
// `.index` and `.txnindex`. The files of a rewritten segment are named `<base offset>.<generation>.log`. A folder that waits for
// its removal ends in `-delete`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/types.h"

namespace weir::storage {

inline constexpr std::string_view kDeletedSuffix = "-delete";

std::string partition_folder_name(const PartitionId& partition);
std::optional<PartitionId> parse_partition_folder_name(std::string_view name);

std::string segment_file_name(int64_t base_offset, uint32_t generation = 0);
std::string index_file_name(int64_t base_offset, uint32_t generation = 0);
std::string aborted_index_file_name(int64_t base_offset, uint32_t generation = 0);

struct SegmentFileName {
  int64_t base_offset = 0;
  uint32_t generation = 0;
};
// Of a `.log`, `.index` or `.txnindex` file.
std::optional<SegmentFileName> parse_segment_file_name(std::string_view name);

}  // namespace weir::storage
