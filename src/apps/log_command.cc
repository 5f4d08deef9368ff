#include "apps/log_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "apps/log_import.h"
#include "runtime/posix_file_system.h"
#include "runtime/real_runtime.h"
#include "storage/segment/segment_dump.h"
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

// The files to look at: what was named, and of folders their log files, theirs below included.
Result<void> collect(runtime::FileSystem& files, const std::string& path, std::vector<std::string>& into) {
  auto entries = files.list(path);
  if (!entries) {
    into.push_back(path);  // not a folder; what is wrong with it is said when it is opened
    return {};
  }
  for (const runtime::DirectoryEntry& entry : *entries) {
    const std::string below = path + "/" + entry.name;
    if (entry.is_directory) {
      if (auto ok = collect(files, below, into); !ok) return ok;
    } else if (is_segment(entry.name) || entry.name.ends_with(".wal")) {
      into.push_back(below);
    }
  }
  return {};
}

bool process_segment(runtime::FileSystem& files, const std::string& path, const cli::LogCommand& command) {
  storage::SegmentDumpOptions options;
  options.verify_only = command.action == cli::LogCommand::Action::kVerify;
  options.records = command.print_records;
  options.json = command.json;
  const auto summary = storage::dump_segment_file(files, path, options, print_line);
  if (!summary) {
    fmt::print(stderr, "weir: {}\n", summary.error().message);
    return false;
  }
  if (!command.json) {
    fmt::print("{}: {} batches, {} records, offsets {} to {}, {} bytes{}\n", path, summary->batches, summary->records,
               summary->first_offset, summary->next_offset, summary->valid_bytes,
               summary->damaged() ? fmt::format("; DAMAGED: {} batches, {} bytes after the last whole batch",
                                                summary->damaged_batches, summary->trailing_bytes)
                                  : std::string("; intact"));
  }
  return !summary->damaged();
}

bool process_wal(runtime::FileSystem& files, const std::string& path, const cli::LogCommand& command) {
  storage::WalDumpOptions options;
  options.json = command.json;
  const bool verify = command.action == cli::LogCommand::Action::kVerify;
  const auto summary =
      storage::dump_wal_file(files, path, options, [&](std::string_view line) { if (!verify) print_line(line); });
  if (!summary) {
    fmt::print(stderr, "weir: {}\n", summary.error().message);
    return false;
  }
  if (!command.json) {
    fmt::print("{}: chunks {} to {}, {} batches{}\n", path, summary->first_chunk, summary->last_chunk, summary->batches,
               summary->damaged() ? fmt::format("; DAMAGED: {} batches, {} chunks, {} chunks missing",
                                                summary->damaged_batches, summary->damaged_chunks, summary->missing_chunks)
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
    fmt::print(stderr, "weir: {}\n", report.error().message);
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
  runtime::PosixFileSystem files(runtime::FlushEngineKind::kAuto);
  std::vector<std::string> paths;
  for (const std::string& named : command.files) {
    if (auto ok = collect(files, named, paths); !ok) {
      fmt::print(stderr, "weir: {}\n", ok.error().message);
      return 1;
    }
  }
  bool intact = true;
  for (const std::string& path : paths) {
    if (is_segment(path)) {
      intact &= process_segment(files, path, command);
    } else if (is_wal(path)) {
      intact &= process_wal(files, path, command);
    } else {
      fmt::print(stderr, "weir: {} is neither a segment file (*.log) nor a WAL file (*.wal)\n", path);
      return 2;
    }
  }
  if (paths.empty()) fmt::print("no log files found\n");
  return intact ? 0 : 1;
}

}  // namespace weir::apps
