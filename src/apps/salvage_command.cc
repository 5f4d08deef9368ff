#include "apps/salvage_command.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "apps/absolute_path.h"
#include "apps/folder_check.h"
#include "apps/folder_properties.h"
#include "apps/overlay_files.h"
#include "base/counted.h"
#include "base/json.h"
#include "broker/metadata/metadata_loader.h"
#include "runtime/real_runtime.h"
#include "storage/log/log_salvage.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/segment/segment_names.h"

namespace weir::apps {

namespace {

using storage::SalvagedPartition;
using storage::SalvageReport;

// A data folder that is locked, and the further log directories with it.
struct LockedFolder {
  std::vector<std::unique_ptr<runtime::File>> locks;

  Result<void> lock(runtime::FileSystem& files, const std::string& path) {
    auto held = files.lock(path + "/.lock");
    if (!held && held.error().code == ErrorCode::kExists) {
      return fail(ErrorCode::kExists, fmt::format("{} is in use by a broker: stop it first", path));
    }
    if (!held) return std::unexpected(held.error());
    locks.push_back(std::move(*held));
    return {};
  }
};

bool is_there(runtime::FileSystem& files, const storage::ManifestDatabase::Directory& directory) {
  const auto properties = read_folder_properties(files, directory.path);
  return properties && properties->contains("directory.id") && properties->at("directory.id") == directory.id.to_string();
}

// A disk that is not mounted must not look like one whose files are gone, unless the caller says that it is gone. Returns the
// numbers of the directories that are given up.
Result<std::set<uint32_t>> lock_more(runtime::FileSystem& files, storage::ManifestDatabase& manifests,
                                     const std::vector<std::string>& without, LockedFolder& locked) {
  auto directories = manifests.directories();
  if (!directories) return std::unexpected(directories.error());
  std::set<uint32_t> given_up;
  for (const std::string& named : without) {
    const std::string path = absolute_path(named);
    const auto known = std::ranges::find(*directories, path, &storage::ManifestDatabase::Directory::path);
    if (known == directories->end()) {
      std::string paths;
      for (const auto& directory : *directories) paths += (paths.empty() ? ", but " : ", ") + directory.path;
      return fail(ErrorCode::kNotFound,
                  fmt::format("--without {}: it is no further log directory of this data folder{}", path, paths));
    }
    if (is_there(files, *known)) {
      return fail(ErrorCode::kExists,
                  fmt::format("--without {}: it is there. What is intact in it comes back without this option. To "
                              "give it up all the same, unmount it or rename it first",
                              path));
    }
    given_up.insert(known->number);
  }
  for (const auto& directory : *directories) {
    if (given_up.contains(directory.number)) continue;
    if (!is_there(files, directory)) {
      return fail(ErrorCode::kNotFound,
                  fmt::format("{} is not the log directory {} that manifest.db knows there; is the right disk "
                              "mounted? If it is lost, --without {} gives it up",
                              directory.path, directory.id.to_string(), directory.path));
    }
    if (auto done = locked.lock(files, directory.path); !done) return std::unexpected(done.error());
  }
  return given_up;
}

// The topics, read from a copy of meta.db.
struct Topics {
  std::unique_ptr<storage::SqliteMetaStore> store;
  std::unique_ptr<broker::LoadedMetadata> metadata;

  Result<void> load(runtime::FileSystem& overlay, runtime::Runtime& runtime, const std::string& folder) {
    const std::string path = folder + "/meta.db";
    auto exists = overlay.exists(path);
    if (!exists) return std::unexpected(exists.error());
    if (!*exists) return fail(ErrorCode::kNotFound, path + " is gone, and with it the topics: bring it back from a copy first");
    auto opened = storage::SqliteMetaStore::open(overlay, *runtime.pool, {.path = path, .clock = runtime.clock});
    if (!opened) return std::unexpected(opened.error());
    store = std::move(*opened);
    auto loaded = broker::load_metadata(*store, false, runtime.loops[0]->random(), broker::BrokerConfig());
    if (!loaded) return std::unexpected(loaded.error());
    metadata = std::make_unique<broker::LoadedMetadata>(std::move(*loaded));
    return {};
  }
  storage::PartitionLookup lookup(runtime::FileSystem& files, const std::string& folder) {
    return metadata->deleted.lookup(*metadata->image, [&files, folder](const TopicId& topic) {
      return files.exists(fmt::format("{}/{}.deleted", folder, topic.to_string())).value_or(false);
    });
  }
  storage::PartitionList all() const {
    return [this] {
      std::vector<storage::PartitionId> partitions;
      metadata->image->for_each([&](const broker::TopicPtr& topic) {
        for (int32_t i = 0; i < topic->partition_count(); ++i) partitions.push_back(topic->partition(i));
      });
      return partitions;
    };
  }
};

std::string new_folder(runtime::FileSystem& files, const std::string& home, int64_t now_ms) {
  const std::string name =
      fmt::format("{}/{}{:%Y%m%dT%H%M%SZ}", home, storage::kSalvagedPrefix, fmt::gmtime(static_cast<std::time_t>(now_ms / 1000)));
  std::string path = name;
  for (int i = 2; files.exists(path).value_or(false); ++i) path = fmt::format("{}-{}", name, i);
  return path;
}

std::string json_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ",") + json_string(text);
  return "[" + out + "]";
}

std::string json_of(const SalvagedPartition& one) {
  std::string lost;
  for (const auto& range : one.lost)
    lost += fmt::format("{}{{\"first\":{},\"last\":{}}}", lost.empty() ? "" : ",", range.first, range.next - 1);
  return fmt::format(
      "{{\"topic\":{},\"partition\":{},\"folder\":{},\"damage\":{},\"lost_offsets\":[{}],\"more_may_be_lost\":{},"
      "\"log_start_offset\":{},\"log_end_offset\":{},\"batches_written_anew\":{},\"batches_mended\":{}}}",
      json_string(one.topic), one.partition.index, json_string(storage::partition_folder_name(one.partition)),
      json_list(one.damage), lost, one.end_unknown, one.log_start_offset, one.log_end_offset, one.rescued, one.mended);
}

// Lists faults for which a start refuses the folder all the same, or that it would find: salvage does not mend their files. The
// folder is not locked any more.
std::vector<std::string> troubles_of_a_start(runtime::FileSystem& files, const std::string& folder) {
  const auto check = check_folder(files, folder);
  if (!check) return {fmt::format("whether a start takes it could not be tried: {}", check.error().message)};
  std::vector<std::string> troubles;
  for (const FolderProblem& problem : check->problems) troubles.push_back(problem.text);
  return troubles;
}

// The findings of a salvage, and its changes.
struct Outcome {
  std::string folder;
  SalvageReport report;
  std::string aside;
  bool applied = false;
  std::vector<std::string> troubles;  // of a start that comes next
};

std::string json_of(const Outcome& outcome) {
  const SalvageReport& report = outcome.report;
  std::string partitions;
  for (const SalvagedPartition& one : report.partitions) partitions += (partitions.empty() ? "" : ",") + json_of(one);
  return fmt::format(
      "{{\"folder\":{},\"intact\":{},\"applied\":{},\"partitions\":[{}],\"damage\":{},\"set_aside_in\":{},"
      "\"set_aside\":{},\"start\":{}}}",
      json_string(outcome.folder), report.intact() && outcome.troubles.empty(), outcome.applied, partitions,
      json_list(report.damage), json_string(report.set_aside.empty() ? "" : outcome.aside), json_list(report.set_aside),
      json_list(outcome.troubles));
}

std::string text_of(const SalvageReport& report) {
  std::string out;
  for (const std::string& line : report.damage) out += line + "\n";
  for (const SalvagedPartition& one : report.partitions) {
    out += storage::partition_text(one.topic, one.partition) + ":\n";
    for (const std::string& line : one.damage) out += "  damage  " + line + "\n";
    for (const auto& range : one.lost) {
      out += fmt::format("  lost    offsets {} to {} (at most {})\n", range.first, range.next - 1,
                         counted(range.next - range.first, "record"));
    }
    if (one.end_unknown) {
      out += fmt::format("  lost    perhaps the newest records; how many is not known, so new ones begin at offset {}\n",
                         one.log_end_offset);
    }
    const int64_t served = one.log_end_offset - (one.end_unknown ? storage::kOffsetsOfUnknownEnd : 0);
    out += served > one.log_start_offset ? fmt::format("  served  offsets {} to {}", one.log_start_offset, served - 1)
                                         : fmt::format("  served  none; the log goes on at {}", one.log_end_offset);
    out += fmt::format("; {} written anew", counted(one.rescued, "batch", "batches"));
    out += one.mended ? fmt::format(", {} of them mended\n", one.mended) : "\n";
  }
  return out;
}

Result<void> write_report(runtime::FileSystem& files, const std::string& aside, const std::string& text) {
  if (auto done = files.create_directories(aside); !done) return done;
  auto file = files.open(aside + "/report.json", {.write = true, .create = true, .truncate = true});
  if (!file) return std::unexpected(file.error());
  if (auto done = (*file)->write_at(0, as_bytes(text + "\n")); !done) return done;
  if (auto done = (*file)->sync(); !done) return done;
  return files.sync_directory(aside);
}

// Holds the locks only meanwhile.
Result<Outcome> look_and_apply(const cli::LogCommand& command, runtime::Runtime& runtime, const std::string& folder) {
  auto overlay = OverlayFiles::create(*runtime.files);
  if (!overlay) return std::unexpected(overlay.error());
  runtime::FileSystem& files = command.apply ? *runtime.files : **overlay;

  auto folder_exists = files.exists(folder);
  if (!folder_exists) return std::unexpected(folder_exists.error());
  if (!*folder_exists) return fail(ErrorCode::kNotFound, folder + " does not exist");
  auto exists = files.exists(folder + "/manifest.db");
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) {
    if (auto below = refuse_folder_of_weir_in(files, folder); !below) return std::unexpected(below.error());
    return fail(ErrorCode::kNotFound,
                fmt::format("{}/manifest.db is not there: {} is no data folder, or the database is gone; then "
                            "bring it back from a copy first",
                            folder, folder));
  }
  LockedFolder locked;
  if (auto done = locked.lock(files, folder); !done) return std::unexpected(done.error());
  Topics topics;
  if (auto done = topics.load(**overlay, runtime, folder); !done) return std::unexpected(done.error());
  auto manifests = storage::ManifestDatabase::open_damaged(files, folder + "/manifest.db", runtime.clock, topics.store.get());
  if (!manifests) return std::unexpected(manifests.error());
  auto given_up = lock_more(files, **manifests, command.without, locked);
  if (!given_up) return std::unexpected(given_up.error());

  storage::LogSalvage job(files, *runtime.clock, **manifests, folder, topics.lookup(files, folder), topics.all(),
                          std::move(*given_up));
  auto report = job.look();
  if (!report) return std::unexpected(report.error());
  Outcome outcome{.folder = folder, .report = std::move(*report), .aside = {}, .troubles = {}};
  outcome.aside = new_folder(files, folder, runtime.clock->wall_ms());
  outcome.applied = command.apply && !outcome.report.intact();
  if (!outcome.applied) return outcome;
  if (auto done = write_report(files, outcome.aside, json_of(outcome)); !done) return std::unexpected(done.error());
  if (auto done = job.apply(outcome.aside); !done) return std::unexpected(done.error());
  return outcome;
}

void print(const Outcome& outcome) {
  if (outcome.report.intact() && outcome.troubles.empty()) {
    fmt::print("{}: nothing is damaged\n", outcome.folder);
  } else if (outcome.report.intact()) {
    fmt::print("{}: nothing is damaged that weir log salvage mends\n", outcome.folder);
  } else {
    fmt::print("{}", text_of(outcome.report));
    for (const std::string& path : outcome.report.set_aside) {
      fmt::print("{}  {}\n", outcome.applied ? "set aside" : "would be set aside", path);
    }
    if (outcome.applied) fmt::print("What was set aside and this report are in {}.", outcome.aside);
    else fmt::print("Nothing was changed; --apply does it.\n");
    if (outcome.applied) fmt::print("{}\n", outcome.troubles.empty() ? " The next start serves what is left." : "");
  }
  for (const std::string& line : outcome.troubles) fmt::print("{}\n", line);
}

Result<int> salvage(const cli::LogCommand& command) {
  runtime::RealRuntime machine({.loops = 1, .pool_threads = 1});
  runtime::Runtime runtime = machine.runtime();
  const std::string folder = absolute_path(command.files.front());
  auto outcome = look_and_apply(command, runtime, folder);
  if (!outcome) return std::unexpected(outcome.error());
  const bool nothing_left = outcome->report.intact() || outcome->applied;
  if (nothing_left) outcome->troubles = troubles_of_a_start(*runtime.files, folder);
  if (command.json) fmt::print("{}\n", json_of(*outcome));
  else print(*outcome);
  return nothing_left && outcome->troubles.empty() ? 0 : 1;
}

}  // namespace

int run_salvage(const cli::LogCommand& command) {
  const auto status = salvage(command);
  if (status) return *status;
  fmt::print(stderr, "weir log salvage: {}\n", status.error().message);
  return 1;
}

}  // namespace weir::apps
