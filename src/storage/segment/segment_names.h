// Names below a log directory: folders `<topic id>-<index>`, files `<base offset, 20 digits>.log` and
// `.index`. Folders that wait for their removal end in `-delete`.
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

std::string segment_file_name(int64_t base_offset);
std::string index_file_name(int64_t base_offset);
// Base offset of a `.log` or `.index` file.
std::optional<int64_t> parse_segment_file_name(std::string_view name);

}  // namespace weir::storage
