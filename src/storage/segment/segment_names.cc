#include "storage/segment/segment_names.h"

#include <fmt/format.h>

#include <charconv>

namespace weir::storage {

namespace {

constexpr size_t kTopicIdLength = 22;
constexpr size_t kOffsetDigits = 20;

std::string file_name(int64_t base_offset, uint32_t generation, const char* suffix) {
  if (generation != 0) return fmt::format("{:020}.{}{}", base_offset, generation, suffix);
  return fmt::format("{:020}{}", base_offset, suffix);
}

}  // namespace

std::string partition_folder_name(const PartitionId& partition) {
  return fmt::format("{}-{}", partition.topic.to_string(), partition.index);
}

std::optional<PartitionId> parse_partition_folder_name(std::string_view name) {
  if (name.size() < kTopicIdLength + 2 || name[kTopicIdLength] != '-') return std::nullopt;
  const auto topic = Uuid::parse(name.substr(0, kTopicIdLength));
  if (!topic) return std::nullopt;
  PartitionId partition{*topic, 0};
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kTopicIdLength + 1, end, partition.index);
  if (error != std::errc() || stop != end || partition.index < 0) return std::nullopt;
  if (partition_folder_name(partition) != name) return std::nullopt;
  return partition;
}

std::string segment_file_name(int64_t base_offset, uint32_t generation) { return file_name(base_offset, generation, ".log"); }
std::string index_file_name(int64_t base_offset, uint32_t generation) { return file_name(base_offset, generation, ".index"); }
std::string aborted_index_file_name(int64_t base_offset, uint32_t generation) {
  return file_name(base_offset, generation, ".txnindex");
}

std::optional<SegmentFileName> parse_segment_file_name(std::string_view name) {
  SegmentFileName parsed;
  if (name.size() < kOffsetDigits) return std::nullopt;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + kOffsetDigits, parsed.base_offset);
  if (error != std::errc() || stop != name.data() + kOffsetDigits || parsed.base_offset < 0) return std::nullopt;
  const size_t dot = name.rfind('.');
  if (dot > kOffsetDigits && dot != std::string_view::npos) {
    const auto [end, wrong] = std::from_chars(name.data() + kOffsetDigits + 1, name.data() + dot, parsed.generation);
    if (wrong != std::errc() || end != name.data() + dot) return std::nullopt;
  }
  if (name == segment_file_name(parsed.base_offset, parsed.generation) ||
      name == index_file_name(parsed.base_offset, parsed.generation) ||
      name == aborted_index_file_name(parsed.base_offset, parsed.generation)) {
    return parsed;
  }
  return std::nullopt;
}

}  // namespace weir::storage
