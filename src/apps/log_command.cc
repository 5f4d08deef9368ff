#include "apps/log_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "apps/folder_check.h"
#include "apps/log_import.h"
#include "apps/salvage_command.h"
#include "apps/topic_names_file.h"
#include "base/json.h"
#include "base/printable.h"
#include "runtime/posix_file_system.h"
#include "runtime/real_runtime.h"
#include "storage/log/log_salvage.h"
#include "storage/segment/segment_dump.h"
#include "storage/segment/segment_names.h"
#include "storage/wal/dump.h"

namespace weir::apps {

namespace {

void print_line(std::string_view line) { fmt::print("{}\n", line); }

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> endings) {
  for (const std::string_view ending : endings) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}
bool is_segment(std::string_view name) { return name.ends_with(".log"); }
bool is_wal(std::string_view name) { return ends_with_any(name, {".wal", ".spare"}); }

// What is to be looked at, and what is known before.
struct Findings {
  std::vector<std::string> paths;
  std::map<std::string, uint64_t> valid_bytes;  // of segments, where a manifest tells
  bool intact = true;
};

bool is_link(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_symlink(path, ignored);
}

// Adds the log files of a folder and of those below. `manifests`: of its data folder. Links are not followed: they lead
// out of the folder that was named.
Result<void> collect(runtime::FileSystem& files, const std::string& folder, const FolderCheck& manifests, Findings& into) {
  auto entries = files.list(folder);
  if (!entries) return std::unexpected(entries.error());
  for (const runtime::DirectoryEntry& entry : *entries) {
    const std::string below = folder + "/" + entry.name;
    if (is_link(below)) continue;
    if (entry.is_directory && manifests.has_manifests && entry.name.starts_with(storage::kSalvagedPrefix)) continue;
    if (entry.is_directory) {
      if (auto ok = collect(files, below, manifests, into); !ok) return ok;
    } else if (entry.name.ends_with(".wal")) {
      into.paths.push_back(below);
    } else if (is_segment(entry.name)) {
      // A merge or a deletion that did not come to its end leaves files that are part of no log.
      if (manifests.has_manifests && !manifests.valid_bytes.contains(below)) continue;
      into.paths.push_back(below);
    }
  }
  return {};
}

// A file, or a folder of them.
Result<void> collect_named(runtime::FileSystem& files, std::string named, Findings& into) {
  while (named.size() > 1 && named.back() == '/') named.pop_back();
  std::error_code error;
  if (!std::filesystem::is_directory(named, error)) {
    into.paths.push_back(named);  // what is wrong with it is said when it is opened
    return {};
  }
  auto check = check_folder(files, named);
  if (!check) return std::unexpected(check.error());
  if (!check->note.empty()) fmt::print(stderr, "weir: {}\n", check->note);
  for (const std::string& problem : check->problems) {
    fmt::print(stderr, "{}\n", problem);
    into.intact = false;
  }
  const size_t before = into.paths.size();
  if (auto ok = collect(files, named, *check, into); !ok) return ok;
  into.valid_bytes.merge(check->valid_bytes);
  if (into.paths.size() == before && into.intact) {
    return fail(ErrorCode::kNotFound,
                fmt::format("there is no log in {}: no segment file (*.log) and no WAL file (*.wal)", named));
  }
  return {};
}

std::string parent_of(std::string path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// The file that lies beside the folders of partitions, and two levels above the files of a write-ahead log.
std::string names_folder_of(const std::string& path) {
  const std::string above = parent_of(parent_of(path));
  return is_segment(path) ? above : parent_of(above);
}

// Which topic a segment is of, for people: ` (orders-3)`, or nothing.
struct Owner {
  std::string topic;
  int32_t partition = -1;
  std::string text() const { return topic.empty() ? std::string() : fmt::format(" ({}-{})", topic, partition); }
};

Owner owner_of(const std::string& path, const std::map<TopicId, std::string>& names) {
  const std::string folder = parent_of(path);
  const auto id = storage::parse_partition_folder_name(folder.substr(folder.rfind('/') + 1));
  const auto name = id ? names.find(id->topic) : names.end();
  return {name == names.end() ? std::string() : name->second, id ? id->index : -1};
}

// Says in JSON which file the lines that follow are about.
void print_file_line(const std::string& path, const Owner& owner) {
  fmt::print("{{\"type\":\"file\",\"path\":{}", json_string(path));
  if (owner.partition >= 0) fmt::print(",\"topic\":{},\"partition\":{}", json_string(owner.topic), owner.partition);
  fmt::print("}}\n");
}

bool process_segment(runtime::FileSystem& files, const std::string& path, uint64_t valid_bytes,
                     const cli::LogCommand& command, const std::map<TopicId, std::string>& names) {
  const Owner owner = owner_of(path, names);
  if (command.json) print_file_line(path, owner);
  storage::SegmentDumpOptions options;
  options.valid_bytes = valid_bytes;
  options.verify_only = command.action == cli::LogCommand::Action::kVerify;
  options.records = command.print_records;
  options.json = command.json;
  const auto summary = storage::dump_segment_file(files, path, options, print_line);
  if (!summary) {
    fmt::print(stderr, "weir: {}\n", summary.error().message);
    return false;
  }
  if (!command.json) {
    fmt::print("{}{}: {} batches, {} records, offsets {} to {}, {} bytes{}\n", path, owner.text(), summary->batches,
               summary->records, summary->first_offset, summary->next_offset, summary->valid_bytes,
               summary->damaged() ? fmt::format("; DAMAGED: {} batches, {} bytes after the last whole batch",
                                                summary->damaged_batches, summary->trailing_bytes)
                                  : std::string("; intact"));
  }
  return !summary->damaged();
}

bool process_wal(runtime::FileSystem& files, const std::string& path, const cli::LogCommand& command,
                 const std::map<TopicId, std::string>& names) {
  if (command.json) print_file_line(path, {});
  storage::WalDumpOptions options;
  options.json = command.json;
  options.topic_name = [&names](const TopicId& id) {
    const auto name = names.find(id);
    return name == names.end() ? std::string() : name->second;
  };
  const bool verify = command.action == cli::LogCommand::Action::kVerify;
  const auto summary =
      storage::dump_wal_file(files, path, options, [&](std::string_view line) { if (!verify) print_line(line); });
  if (!summary) {
    fmt::print(stderr, "weir: {}\n", summary.error().message);
    return false;
  }
  if (!command.json) {
    fmt::print("{}: chunks {} to {}, {} batches{}\n", path, summary->first_chunk, summary->last_chunk, summary->batches,
               summary->damaged() ? fmt::format("; DAMAGED: {} batches, {} chunks, {} chunks missing{}{}",
                                                summary->damaged_batches, summary->damaged_chunks, summary->missing_chunks,
                                                summary->header_damaged ? ", the file's header" : "",
                                                summary->short_file()
                                                    ? fmt::format(", cut short ({} bytes of {} are there)",
                                                                  summary->bytes, summary->bytes_promised)
                                                    : std::string())
                                  : std::string("; intact"));
  }
  return !summary->damaged();
}

int run_import(const cli::LogCommand& command) {
  runtime::RealRuntime machine({.loops = 1, .pool_threads = 1});
  const runtime::Runtime& runtime = machine.runtime();
  LogImportOptions options;
  options.source = command.files.front();
  options.data_dir = command.data_dir;
  options.dry_run = command.dry_run;
  options.copy = command.copy;
  options.accept_unclean = command.accept_unclean;
  for (std::string* path : {&options.source, &options.data_dir}) {
    while (path->size() > 1 && path->back() == '/') path->pop_back();
  }
  const auto report = import_kafka_log(*runtime.files, *runtime.pool, *runtime.clock, options,
                                       [](const std::string& line) { fmt::print(stderr, "{}\n", line); });
  if (!report) {
    fmt::print(stderr, "weir: {}\n", one_line(report.error().message));
    return 1;
  }
  if (command.json) {
    print_line(report->json());
  } else {
    fmt::print("{}", report->text());
    if (command.dry_run) fmt::print("Nothing was written.\n");
    else fmt::print("{} is ready: weir serve --data-dir {}\n", options.data_dir, options.data_dir);
  }
  return 0;
}

}  // namespace

int run_log_command(const cli::LogCommand& command) {
  if (command.action == cli::LogCommand::Action::kImport) return run_import(command);
  if (command.action == cli::LogCommand::Action::kSalvage) return run_salvage(command);
  runtime::PosixFileSystem files(runtime::FlushEngineKind::kAuto);
  Findings findings;
  for (const std::string& named : command.files) {
    if (auto ok = collect_named(files, named, findings); !ok) {
      fmt::print(stderr, "weir: {}\n", ok.error().message);
      return 1;
    }
  }
  std::map<std::string, std::map<TopicId, std::string>> names;  // by folder
  for (const std::string& path : findings.paths) {
    const std::string folder = names_folder_of(path);
    if (!names.contains(folder)) names[folder] = read_topic_names(files, folder);
    if (is_segment(path)) {
      const auto known = findings.valid_bytes.find(path);
      const uint64_t valid_bytes = known == findings.valid_bytes.end() ? UINT64_MAX : known->second;
      findings.intact &= process_segment(files, path, valid_bytes, command, names[folder]);
    } else if (is_wal(path)) {
      findings.intact &= process_wal(files, path, command, names[folder]);
    } else {
      fmt::print(stderr, "weir: {} is neither a segment file (*.log) nor a WAL file (*.wal)\n", path);
      return 2;
    }
  }
  return findings.intact ? 0 : 1;
}

}  // namespace weir::apps
