#include "apps/kafka_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sstream>

#include "broker/config/properties_file.h"
#include "broker/metadata/topic_name.h"

namespace weir::apps {

namespace {

constexpr size_t kOffsetDigits = 20;
constexpr uint64_t kWholeFileMax = 64u << 20;
constexpr std::string_view kMetadataTopic = "__cluster_metadata";

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<int64_t> offset_in(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix) || name.size() != kOffsetDigits + suffix.size()) return std::nullopt;
  return offset_in_kafka_name(name);
}

// Nothing if there is no such file.
Result<std::optional<std::string>> read_if_there(runtime::FileSystem& files, const std::string& path) {
  auto there = files.exists(path);
  if (!there) return std::unexpected(there.error());
  if (!*there) return std::optional<std::string>();
  auto text = read_whole_file(files, path);
  if (!text) return std::unexpected(text.error());
  return std::optional(std::move(*text));
}

Result<void> check_properties(runtime::FileSystem& files, KafkaFolder& folder) {
  const std::string path = folder.path + "/meta.properties";
  auto text = read_whole_file(files, path);
  if (!text) {
    return fail(text.error().code, fmt::format("{} is no log directory of Apache Kafka: {}; name the folder that "
                                               "log.dirs of its server.properties names",
                                               folder.path, text.error().message));
  }
  auto parsed = broker::parse_properties(*text);
  if (!parsed) return fail(ErrorCode::kCorrupt, path + ": " + parsed.error().message);
  std::map<std::string, std::string> values;
  for (const broker::Property& property : *parsed) values[property.key] = property.value;
  if (values.contains("weir.format.version")) {
    return fail(ErrorCode::kInvalid, fmt::format("{} is a data folder of Weir already; `weir serve --data-dir {}` serves it",
                                                 folder.path, folder.path));
  }
  if (values["version"] != "1") {
    return fail(ErrorCode::kUnsupported,
                fmt::format("{} has {}, known is 1 (Apache Kafka with KRaft); nothing was changed. A folder of "
                            "the ZooKeeper time has to be brought to KRaft first, one of a later format needs a newer Weir",
                            path, values["version"].empty() ? "no version" : "version '" + values["version"] + "'"));
  }
  folder.cluster_id = values["cluster.id"];
  folder.node_id = values["node.id"];
  folder.directory_id = Uuid::parse(values["directory.id"]);
  if (folder.cluster_id.empty()) return fail(ErrorCode::kCorrupt, path + " has no cluster.id");
  return {};
}

// Kafka holds a lock on this file while it runs; Java's locks are those of fcntl. One for reading keeps it from starting.
Result<runtime::UniqueFd> lock_out_kafka(const std::string& folder) {
  const std::string path = folder + "/.lock";
  runtime::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) {
    if (errno == ENOENT) return runtime::UniqueFd();
    return fail_errno("cannot open " + path, errno);
  }
  struct flock lock{};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_SETLK, &lock) == 0) return file;
  if (errno == ENOLCK) return runtime::UniqueFd();  // a file system without locks: Kafka does not run there
  if (errno != EACCES && errno != EAGAIN) return fail_errno("cannot lock " + path, errno);
  lock.l_type = F_RDLCK;
  const bool known = ::fcntl(file.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  return fail(ErrorCode::kExists, fmt::format("a broker is using {} (process {}); stop it and wait for its end", folder,
                                              known ? std::to_string(lock.l_pid) : "unknown"));
}

Result<void> read_segments(runtime::FileSystem& files, KafkaPartitionFolder& partition, std::vector<std::string>& left_out) {
  auto entries = files.list(partition.path);
  if (!entries) return std::unexpected(entries.error());
  std::vector<std::pair<int64_t, std::string>> indexes;
  for (const runtime::DirectoryEntry& entry : *entries) {
    const std::string path = partition.path + "/" + entry.name;
    if (entry.name.ends_with(".swap")) {
      return fail(ErrorCode::kInvalid, fmt::format("{}: a compaction was interrupted; start Kafka once, let it repair this, "
                                                   "and stop it cleanly",
                                                   path));
    }
    for (const char* suffix : {".index", ".timeindex", ".txnindex"}) {
      if (const auto base = offset_in(entry.name, suffix)) indexes.emplace_back(*base, path);
    }
    if (const auto offset = offset_in(entry.name, ".snapshot"))
      partition.last_snapshot = std::max(partition.last_snapshot, *offset);
    if (!entry.name.ends_with(".log")) continue;
    if (entry.is_directory) return fail(ErrorCode::kCorrupt, path + " is a directory, not a segment");
    const auto base = offset_in(entry.name, ".log");
    if (base) partition.segments.push_back({*base, path, entry.size});
    else left_out.push_back(path + ": no name of a segment");
  }
  std::sort(partition.segments.begin(), partition.segments.end(),
            [](const auto& a, const auto& b) { return a.base_offset < b.base_offset; });
  for (auto& [base, path] : indexes) {
    if (!std::ranges::binary_search(partition.segments, base, {}, &KafkaSegmentFile::base_offset)) {
      partition.orphans.push_back(std::move(path));
    }
  }
  return {};
}

Result<void> read_partition_metadata(runtime::FileSystem& files, KafkaPartitionFolder& partition) {
  const std::string path = partition.path + "/partition.metadata";
  auto text = read_if_there(files, path);
  if (!text) return std::unexpected(text.error());
  if (!*text) return {};
  std::istringstream lines(**text);
  for (std::string line; std::getline(lines, line);) {
    if (line == "version: 0" || line.empty()) continue;
    if (line.starts_with("version:")) return fail(ErrorCode::kUnsupported, path + " is of a later format: " + line);
    constexpr std::string_view kKey = "topic_id: ";
    if (line.starts_with(kKey)) partition.topic_id = Uuid::parse(std::string_view(line).substr(kKey.size()));
  }
  if (!partition.topic_id) return fail(ErrorCode::kCorrupt, path + " names no topic id");
  return {};
}

Result<void> read_epochs(runtime::FileSystem& files, KafkaPartitionFolder& partition) {
  const std::string path = partition.path + "/leader-epoch-checkpoint";
  auto text = read_if_there(files, path);
  if (!text) return std::unexpected(text.error());
  if (!*text) return {};
  auto rows = parse_kafka_checkpoint(**text, 2);
  if (!rows) return fail(rows.error().code, path + ": " + rows.error().message);
  for (const auto& row : *rows) {
    const auto epoch = parse_number<int32_t>(row[0]);
    const auto offset = parse_number<int64_t>(row[1]);
    if (!epoch || !offset || *epoch < 0 || *offset < 0) return fail(ErrorCode::kCorrupt, path + ": not a number");
    partition.epochs.push_back({*epoch, *offset});
  }
  return {};
}

// Nothing if there is no such file.
Result<std::optional<KafkaOffsets>> read_offsets(runtime::FileSystem& files, const std::string& path) {
  auto text = read_if_there(files, path);
  if (!text) return std::unexpected(text.error());
  if (!*text) return std::optional<KafkaOffsets>();
  auto rows = parse_kafka_checkpoint(**text, 3);
  if (!rows) return fail(rows.error().code, path + ": " + rows.error().message);
  KafkaOffsets offsets;
  for (const auto& row : *rows) {
    const auto partition = parse_number<int32_t>(row[1]);
    const auto offset = parse_number<int64_t>(row[2]);
    if (!partition || !offset || *offset < 0) return fail(ErrorCode::kCorrupt, path + ": not a number");
    offsets[{row[0], *partition}] = *offset;
  }
  return std::optional(std::move(offsets));
}

Result<void> read_checkpoints(runtime::FileSystem& files, KafkaFolder& folder) {
  auto starts = read_offsets(files, folder.path + "/log-start-offset-checkpoint");
  if (!starts) return std::unexpected(starts.error());
  auto flushed = read_offsets(files, folder.path + "/recovery-point-offset-checkpoint");
  if (!flushed) return std::unexpected(flushed.error());
  auto cleaned = read_offsets(files, folder.path + "/cleaner-offset-checkpoint");
  if (!cleaned) return std::unexpected(cleaned.error());
  if (*starts) folder.log_starts = std::move(**starts);
  if (*flushed) folder.recovery_points = std::move(**flushed);
  folder.cleaned = std::move(*cleaned);
  return {};
}

}  // namespace

std::optional<int64_t> offset_in_kafka_name(std::string_view name) {
  const auto offset = parse_number<int64_t>(name.substr(0, kOffsetDigits));
  return name.size() > kOffsetDigits && offset && *offset >= 0 ? offset : std::nullopt;
}

std::optional<std::pair<std::string, int32_t>> parse_kafka_partition_name(std::string_view name) {
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  const auto partition = parse_number<int32_t>(name.substr(dash + 1));
  if (!partition || *partition < 0 || std::to_string(*partition) != name.substr(dash + 1)) return std::nullopt;
  if (broker::topic_name_fault(name.substr(0, dash))) return std::nullopt;
  return std::pair(std::string(name.substr(0, dash)), *partition);
}

Result<std::vector<std::vector<std::string>>> parse_kafka_checkpoint(std::string_view text, size_t fields) {
  if (text.empty()) return std::vector<std::vector<std::string>>();  // as Kafka creates it
  std::istringstream in{std::string(text)};
  std::string line;
  const auto next_number = [&]() -> std::optional<int64_t> {
    return std::getline(in, line) ? parse_number<int64_t>(line) : std::nullopt;
  };
  const auto version = next_number();
  if (!version) return fail(ErrorCode::kCorrupt, "the first line is no version");
  if (*version != 0) return fail(ErrorCode::kUnsupported, fmt::format("version {} is not known, only 0", *version));
  const auto count = next_number();
  if (!count || *count < 0) return fail(ErrorCode::kCorrupt, "the second line is no count");
  std::vector<std::vector<std::string>> rows;
  while (std::getline(in, line)) {
    if (line.empty()) continue;
    std::istringstream words(line);
    std::vector<std::string> row;
    for (std::string word; words >> word;) row.push_back(word);
    if (row.size() != fields) return fail(ErrorCode::kCorrupt, "a line has not " + std::to_string(fields) + " fields: " + line);
    rows.push_back(std::move(row));
  }
  if (rows.size() != static_cast<size_t>(*count)) {
    return fail(ErrorCode::kCorrupt, fmt::format("{} entries are announced, {} are there", *count, rows.size()));
  }
  return rows;
}

Result<std::string> read_whole_file(runtime::FileSystem& files, const std::string& path) {
  auto file = files.open(path, {});
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > kWholeFileMax) return fail(ErrorCode::kInvalid, fmt::format("{} is too large: {} bytes", path, *size));
  std::string text(*size, '\0');
  auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  if (!read) return std::unexpected(read.error());
  text.resize(*read);
  return text;
}

Result<KafkaFolder> read_kafka_folder(runtime::FileSystem& files, const std::string& path) {
  KafkaFolder folder;
  folder.path = path;
  if (auto ok = check_properties(files, folder); !ok) return std::unexpected(ok.error());
  auto lock = lock_out_kafka(path);
  if (!lock) return std::unexpected(lock.error());
  folder.lock = std::move(*lock);
  auto clean = files.exists(path + "/.kafka_cleanshutdown");
  if (!clean) return std::unexpected(clean.error());
  folder.clean = *clean;
  if (auto ok = read_checkpoints(files, folder); !ok) return std::unexpected(ok.error());
  auto entries = files.list(path);
  if (!entries) return std::unexpected(entries.error());
  for (const runtime::DirectoryEntry& entry : *entries) {
    if (!entry.is_directory || entry.name == "lost+found") continue;
    if (entry.name.ends_with("-delete")) continue;  // of a deleted topic
    auto name = parse_kafka_partition_name(entry.name);
    if (!name) {
      folder.left_out.push_back(entry.name + ": no folder of a partition's data");
      continue;
    }
    if (name->first == kMetadataTopic) continue;
    KafkaPartitionFolder partition;
    partition.topic = std::move(name->first);
    partition.partition = name->second;
    partition.path = path + "/" + entry.name;
    if (auto ok = read_segments(files, partition, folder.left_out); !ok) return std::unexpected(ok.error());
    if (auto ok = read_partition_metadata(files, partition); !ok) return std::unexpected(ok.error());
    if (auto ok = read_epochs(files, partition); !ok) return std::unexpected(ok.error());
    folder.partitions.push_back(std::move(partition));
  }
  std::sort(folder.partitions.begin(), folder.partitions.end(),
            [](const auto& a, const auto& b) { return std::tie(a.topic, a.partition) < std::tie(b.topic, b.partition); });
  return folder;
}

}  // namespace weir::apps
