#include "apps/log_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/absolute_path.h"
#include "apps/folder_check.h"
#include "apps/log_import.h"
#include "apps/salvage_command.h"
#include "apps/topic_names_file.h"
#include "base/counted.h"
#include "base/json.h"
#include "base/paths.h"
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

std::string_view action_name(const cli::LogCommand& command) {
  return command.action == cli::LogCommand::Action::kVerify ? "verify" : "dump";
}
bool verifies_in_json(const cli::LogCommand& command) {
  return command.json && command.action == cli::LogCommand::Action::kVerify;
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> endings) {
  for (const std::string_view ending : endings) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}
bool is_segment(std::string_view name) { return name.ends_with(".log"); }
bool is_wal(std::string_view name) { return ends_with_any(name, {".wal", ".spare"}); }

// The files to look at, and what the caller knows of them.
struct Findings {
  std::vector<std::string> paths;
  std::map<std::string, storage::ManifestedSegment> segments;  // where a manifest tells
  bool in_use = false;                                         // by a broker: a file may go before it is looked at
  size_t problems = 0;                                         // beside those of files that were read
  size_t damaged_files = 0;
  bool intact() const { return problems == 0 && damaged_files == 0; }
};

// For people on stderr; for programs an object.
void tell(const cli::LogCommand& command, const FolderProblem& problem) {
  if (verifies_in_json(command)) {
    fmt::print("{{\"type\":\"problem\",\"kind\":{},\"path\":{},\"text\":{}}}\n", json_string(problem.kind),
               json_string(problem.path), json_string(problem.text));
  } else {
    fmt::print(stderr, "{}\n", problem.text);
  }
}

void tell_fault(const cli::LogCommand& command, std::string_view kind, const std::string& path, std::string_view text) {
  const std::string line =
      verifies_in_json(command) ? std::string(text) : fmt::format("weir log {}: {}", action_name(command), text);
  tell(command, {std::string(kind), path, line});
}

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
      // A checkpoint or a deletion that did not come to its end leaves files that are part of no log.
      if (manifests.has_manifests && !manifests.segments.contains(below)) continue;
      into.paths.push_back(below);
    }
  }
  return {};
}

// A file, or a folder of them.
Result<void> collect_named(runtime::FileSystem& files, std::string named, const cli::LogCommand& command, Findings& into) {
  while (named.size() > 1 && named.back() == '/') named.pop_back();
  std::error_code error;
  if (!std::filesystem::exists(named, error) && !error) return fail(ErrorCode::kNotFound, named + " does not exist");
  if (!std::filesystem::is_directory(named, error)) {
    into.paths.push_back(named);  // opening it tells what is wrong
    return {};
  }
  auto check = check_folder(files, named);
  if (!check) return std::unexpected(check.error());
  if (!check->note.empty() && verifies_in_json(command))
    print_line(fmt::format("{{\"type\":\"note\",\"text\":{}}}", json_string(check->note)));
  else if (!check->note.empty()) fmt::print(stderr, "weir log {}: {}\n", action_name(command), check->note);
  for (const FolderProblem& problem : check->problems) tell(command, problem);
  into.problems += check->problems.size();
  into.in_use = into.in_use || check->in_use;
  const size_t before = into.paths.size();
  if (auto ok = collect(files, named, *check, into); !ok) return ok;
  into.segments.merge(check->segments);
  if (into.paths.size() == before && into.problems == 0) {
    return fail(ErrorCode::kNotFound,
                fmt::format("there is no log in {}: no segment file (*.log) and no WAL file (*.wal)", named));
  }
  return {};
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
  const auto id = storage::parse_partition_folder_name(name_in(folder));
  const auto name = id ? names.find(id->topic) : names.end();
  return {name == names.end() ? std::string() : name->second, id ? id->index : -1};
}

// Says in JSON which file it is: of a segment's dump before its lines, of a check behind them, with `found`.
void print_file_line(const std::string& path, const Owner& owner, std::string_view found = {}) {
  fmt::print("{{\"type\":\"file\",\"path\":{}", json_string(path));
  if (owner.partition >= 0) fmt::print(",\"topic\":{},\"partition\":{}", json_string(owner.topic), owner.partition);
  fmt::print("{}}}\n", found);
}

void tell_unreadable(const cli::LogCommand& command, const std::string& path, const Owner& owner, const Error& error) {
  if (verifies_in_json(command)) {
    print_file_line(path, owner, fmt::format(",\"state\":\"unreadable\",\"error\":{}", json_string(error.message)));
  } else {
    fmt::print(stderr, "weir log {}: {}\n", action_name(command), error.message);
  }
}

std::string json_of(const storage::SegmentDumpSummary& found) {
  return fmt::format(
      ",\"batches\":{},\"records\":{},\"first_offset\":{},\"next_offset\":{},\"bytes\":{},\"damaged_batches\":{},"
      "\"trailing_bytes\":{},\"state\":\"{}\"",
      found.batches, found.records, found.first_offset, found.next_offset, found.valid_bytes, found.damaged_batches,
      found.trailing_bytes, found.damaged() ? "damaged" : "intact");
}

std::string json_of(const storage::WalDumpSummary& found) {
  return fmt::format(
      ",\"first_chunk\":{},\"last_chunk\":{},\"batches\":{},\"bytes\":{},\"bytes_expected\":{},\"damaged_batches\":{},"
      "\"damaged_chunks\":{},\"missing_chunks\":{},\"header_damaged\":{},\"state\":\"{}\"",
      found.first_chunk, found.last_chunk, found.batches, found.bytes, found.bytes_promised, found.damaged_batches,
      found.damaged_chunks, found.missing_chunks, found.header_damaged, found.damaged() ? "damaged" : "intact");
}

std::string offsets_text(const storage::SegmentDumpSummary& found) {
  if (found.batches == 0) return "no offsets";
  return fmt::format("offsets {} to {}", found.first_offset, found.next_offset - 1);
}

std::string chunks_text(const storage::WalDumpSummary& found) {
  if (found.chunks == 0) return "no chunks";
  return fmt::format("chunks {} to {}", found.first_chunk, found.last_chunk);
}

// Prints the lines of a file; for people its name in front of them.
Function<void(std::string_view)> below_title(const cli::LogCommand& command, std::string title) {
  return [title = std::move(title), told = command.json](std::string_view line) mutable {
    if (!std::exchange(told, true)) print_line(title + ":");
    print_line(line);
  };
}

// `manifest`: null if none tells of the file.
bool process_segment(runtime::FileSystem& files, const std::string& path, const storage::ManifestedSegment* manifest,
                     bool may_be_gone, const cli::LogCommand& command, const std::map<TopicId, std::string>& names) {
  const Owner owner = owner_of(path, names);
  if (command.json && !verifies_in_json(command)) print_file_line(path, owner);
  storage::SegmentDumpOptions options;
  options.manifest = manifest;
  options.verify_only = command.action == cli::LogCommand::Action::kVerify;
  options.records = command.print_records;
  options.json = command.json;
  const auto summary = storage::dump_segment_file(files, path, options, below_title(command, path + owner.text()));
  if (!summary) {
    if (may_be_gone && summary.error().code == ErrorCode::kNotFound) return true;
    tell_unreadable(command, path, owner, summary.error());
    return false;
  }
  if (verifies_in_json(command)) print_file_line(path, owner, json_of(*summary));
  if (!command.json) {
    const char* contradicted =
        summary->contradictions.empty() ? "" : ", other offsets, times or leader epochs than in manifest.db";
    fmt::print("{}{}: {}, {}, {}, {}{}\n", path, owner.text(), counted(summary->batches, "batch", "batches"),
               counted(summary->records, "record"), offsets_text(*summary), counted(summary->valid_bytes, "byte"),
               summary->damaged() ? fmt::format("; DAMAGED: {}, {} after the last whole batch{}",
                                                counted(summary->damaged_batches, "batch", "batches"),
                                                counted(summary->trailing_bytes, "byte"), contradicted)
                                  : std::string("; intact"));
  }
  return !summary->damaged();
}

bool process_wal(runtime::FileSystem& files, const std::string& path, bool may_be_gone, const cli::LogCommand& command,
                 const std::map<TopicId, std::string>& names) {
  storage::WalDumpOptions options;
  options.json = command.json;
  options.topic_name = [&names](const TopicId& id) {
    const auto name = names.find(id);
    return name == names.end() ? std::string() : name->second;
  };
  const bool verify = command.action == cli::LogCommand::Action::kVerify;
  auto print = below_title(command, path);
  const auto summary = storage::dump_wal_file(files, path, options, [&](std::string_view line) {
    if (!verify) print(line);
  });
  if (!summary) {
    if (may_be_gone && summary.error().code == ErrorCode::kNotFound) return true;
    tell_unreadable(command, path, {}, summary.error());
    return false;
  }
  if (verifies_in_json(command)) print_file_line(path, {}, json_of(*summary));
  if (!command.json) {
    fmt::print("{}: {}, {}{}\n", path, chunks_text(*summary), counted(summary->batches, "batch", "batches"),
               summary->damaged()
                   ? fmt::format("; DAMAGED: {}, {}, {} missing{}{}", counted(summary->damaged_batches, "batch", "batches"),
                                 counted(summary->damaged_chunks, "chunk"), counted(summary->missing_chunks, "chunk"),
                                 summary->header_damaged ? ", the file's header" : "",
                                 summary->short_file() ? fmt::format(", cut short ({} bytes of {} are there)", summary->bytes,
                                                                     summary->bytes_promised)
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
    if (!path->empty()) *path = absolute_path(*path);
  }
  const auto report = import_kafka_log(*runtime.files, *runtime.pool, *runtime.clock, options,
                                       [](const std::string& line) { fmt::print(stderr, "{}\n", line); });
  if (!report) {
    fmt::print(stderr, "weir log import: {}\n", one_line(report.error().message));
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

// The exit code.
int look_at_all(runtime::FileSystem& files, const cli::LogCommand& command, Findings& findings) {
  for (const std::string& named : command.files) {
    if (auto ok = collect_named(files, named, command, findings); !ok) {
      tell_fault(command, ok.error().code == ErrorCode::kNotFound ? "missing" : "unreadable", named, ok.error().message);
      ++findings.problems;
      return 1;
    }
  }
  if (command.print_records && std::ranges::any_of(findings.paths, is_wal)) {
    fmt::print(stderr, "weir log dump: records are printed of segment files (*.log) only; of WAL files their batches\n");
  }
  std::map<std::string, std::map<TopicId, std::string>> names;  // by folder
  for (const std::string& path : findings.paths) {
    const std::string folder = names_folder_of(path);
    if (!names.contains(folder)) names[folder] = read_topic_names(files, folder);
    if (is_segment(path)) {
      const auto known = findings.segments.find(path);
      const storage::ManifestedSegment* manifest = known == findings.segments.end() ? nullptr : &known->second;
      findings.damaged_files += !process_segment(files, path, manifest, findings.in_use, command, names[folder]);
    } else if (is_wal(path)) {
      findings.damaged_files += !process_wal(files, path, findings.in_use, command, names[folder]);
    } else {
      tell_fault(command, "not a log file", path, path + " is neither a segment file (*.log) nor a WAL file (*.wal)");
      ++findings.problems;
      return 2;
    }
  }
  return findings.intact() ? 0 : 1;
}

}  // namespace

int run_log_command(const cli::LogCommand& command) {
  if (command.action == cli::LogCommand::Action::kImport) return run_import(command);
  if (command.action == cli::LogCommand::Action::kSalvage) return run_salvage(command);
  runtime::PosixFileSystem files(runtime::FlushEngineKind::kAuto);
  Findings findings;
  const int status = look_at_all(files, command, findings);
  if (verifies_in_json(command)) {
    print_line(fmt::format("{{\"type\":\"verdict\",\"intact\":{},\"files\":{},\"damaged_files\":{},\"problems\":{}}}",
                           status == 0, findings.paths.size(), findings.damaged_files, findings.problems));
  }
  return status;
}

}  // namespace weir::apps
