#include "apps/log_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

#include "apps/data_folder.h"
#include "apps/kafka_segment.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/broker_epoch_record.h"
#include "broker/metadata/cluster_id_record.h"
#include "broker/metadata/deleted_topic_record.h"
#include "broker/metadata/producer_ids_record.h"
#include "broker/metadata/topic_name_record.h"
#include "broker/metadata/topic_record.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"

namespace weir::apps {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kIndexedSegmentBytes = 1u << 20;  // as segments that were merged here
constexpr size_t kPartitionsPerCommit = 500;

// Coordinators of Kafka keep their state in these; a new one begins here.
const std::set<std::string> kNotTaken = {"__transaction_state", "__share_group_state"};

Result<void> fail_with(const std::error_code& error, const std::string& what) {
  return fail(ErrorCode::kIo, fmt::format("{}: {}", what, error.message()));
}

// Records without a time are as old as Kafka's file.
int64_t modified_ms(const std::string& path) {
  std::error_code error;
  const auto modified = fs::last_write_time(path, error);
  if (error) return 0;
  const auto since_epoch = std::chrono::file_clock::to_sys(modified).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count();
}

// One partition on its way.
struct Import {
  const KafkaPartitionFolder* source = nullptr;  // null: no data, so no manifest
  storage::PartitionManifest manifest;
  std::vector<storage::ProducerEntry> producers;
  struct File {
    std::string from;
    storage::SegmentInfo info;
    storage::SegmentIndex index;
    bool last = false;  // is appended to from now on
  };
  std::vector<File> files;
};

class Importer {
 public:
  Importer(runtime::FileSystem& files, runtime::Pool& pool, const runtime::Clock& clock, const LogImportOptions& options,
           Function<void(const std::string&)> progress)
      : files_(files), pool_(pool), clock_(clock), options_(options), progress_(std::move(progress)) {}

  Result<LogImportReport> run() {
    if (auto ok = check_target(); !ok) return std::unexpected(ok.error());
    if (auto ok = read_source(); !ok) return std::unexpected(ok.error());
    if (auto ok = choose_topics(); !ok) return std::unexpected(ok.error());
    if (auto ok = read_partitions(); !ok) return std::unexpected(ok.error());
    if (options_.dry_run) return std::move(report_);
    for (auto step : {&Importer::place_files, &Importer::write_manifests, &Importer::write_metadata, &Importer::finish}) {
      if (auto ok = (this->*step)(); !ok) return std::unexpected(ok.error());
    }
    return std::move(report_);
  }

 private:
  void not_taken(std::string what) { report_.not_taken.push_back(std::move(what)); }

  Result<void> check_target();
  Result<void> read_source();
  Result<void> choose_topics();
  Result<void> topics_of_folders();
  Result<void> check_topic(const KafkaTopic& topic);
  void choose_configs(const KafkaTopic& topic, broker::TopicRecord& record);
  Result<void> read_partitions();
  Result<Import> read_partition(const KafkaPartitionFolder& folder, const TopicId& id);
  Result<void> accept_damage(const KafkaPartitionFolder& folder, const KafkaSegmentFile& file, const KafkaSegment& segment,
                             bool last);
  void settle_epochs(const KafkaPartitionFolder& folder, const KafkaPartitionState& state,
                     storage::PartitionManifest& manifest);
  Result<void> place_files();
  Result<void> place(const Import::File& file, const std::string& to);
  Result<void> write_manifests();
  Result<void> write_metadata();
  Result<void> finish();

  runtime::FileSystem& files_;
  runtime::Pool& pool_;
  const runtime::Clock& clock_;
  const LogImportOptions& options_;
  Function<void(const std::string&)> progress_;

  std::string target_;  // while it is made
  KafkaFolder folder_;
  KafkaMetadata metadata_;
  broker::BrokerConfig defaults_;
  std::vector<broker::TopicRecord> topics_;
  std::vector<Import> imports_;
  int64_t max_producer_id_ = -1;
  int32_t max_epoch_ = -1;
  LogImportReport report_;
};

// --- reading --------------------------------------------------------------------------------------------------------

Result<void> Importer::check_target() {
  if (options_.data_dir.empty()) {
    if (options_.dry_run) return {};
    return fail(ErrorCode::kInvalid, "say where the new data folder goes: --data-dir DIR (or --dry-run to check only)");
  }
  auto there = files_.exists(options_.data_dir);
  if (!there) return std::unexpected(there.error());
  if (*there) {
    auto entries = files_.list(options_.data_dir);
    if (!entries) return std::unexpected(entries.error());
    if (!entries->empty()) {
      return fail(ErrorCode::kExists, fmt::format("{} is not empty: an import makes a new data folder; name one that does "
                                                  "not exist yet",
                                                  options_.data_dir));
    }
  }
  target_ = options_.data_dir + ".importing";
  return {};
}

Result<void> Importer::read_source() {
  auto folder = read_kafka_folder(files_, options_.source);
  if (!folder) return std::unexpected(folder.error());
  folder_ = std::move(*folder);
  report_.cluster_id = folder_.cluster_id;
  report_.clean_source = folder_.clean;
  if (!folder_.clean && !options_.accept_unclean) {
    return fail(ErrorCode::kInvalid,
                fmt::format("{}: Kafka did not end cleanly (.kafka_cleanshutdown is missing). Start it once and stop it "
                            "with SIGTERM; or give --accept-unclean to cut each log after its last intact batch",
                            options_.source));
  }
  for (const std::string& left_out : folder_.left_out) not_taken(left_out + ".");
  auto metadata = read_kafka_metadata(files_, options_.source);
  if (metadata) {
    metadata_ = std::move(*metadata);
  } else if (metadata.error().code == ErrorCode::kNotFound) {
    report_.has_metadata = false;
    not_taken("The metadata log is missing (" + metadata.error().message +
              "): topics and their ids come from the partitions' folders; configs, partitions without a folder and the "
              "next producer id could not be taken.");
    return topics_of_folders();
  } else {
    return std::unexpected(metadata.error());
  }
  std::map<std::string_view, uint64_t> records;
  for (const auto& [about, what] : metadata_.not_taken) ++records[what];
  for (const auto& [what, count] : records) not_taken(fmt::format("{}: {} records.", what, count));
  return {};
}

Result<void> Importer::topics_of_folders() {
  for (const KafkaPartitionFolder& partition : folder_.partitions) {
    if (!partition.topic_id) {
      return fail(ErrorCode::kInvalid, fmt::format("{} has no partition.metadata, and there is no metadata log: its topic's "
                                                   "id is not known",
                                                   partition.path));
    }
    KafkaTopic& topic = metadata_.topics[partition.topic];
    topic.name = partition.topic;
    topic.id = *partition.topic_id;
    for (int32_t i = 0; i <= partition.partition; ++i) topic.partitions[i];
  }
  return {};
}

Result<void> Importer::check_topic(const KafkaTopic& topic) {
  int32_t expected = 0;
  for (const auto& [index, partition] : topic.partitions) {
    if (index != expected++) {
      return fail(ErrorCode::kCorrupt, fmt::format("topic {}: partition {} is missing in the metadata", topic.name, expected - 1));
    }
    if (partition.replicas.size() > 1) {
      return fail(ErrorCode::kUnsupported,
                  fmt::format("topic {} partition {} has {} replicas: only folders of a single node hold everything; move "
                              "all partitions to one node first (kafka-reassign-partitions)",
                              topic.name, index, partition.replicas.size()));
    }
    for (const Uuid& directory : partition.directories) {
      const bool reserved = std::all_of(directory.bytes.begin(), directory.bytes.begin() + 15, [](uint8_t b) { return b == 0; });
      if (!reserved && folder_.directory_id && directory != *folder_.directory_id) {
        return fail(ErrorCode::kUnsupported, fmt::format("topic {} partition {} lies in another of Kafka's log directories: "
                                                         "one directory is supported; move it here first",
                                                         topic.name, index));
      }
    }
  }
  return {};
}

void Importer::choose_configs(const KafkaTopic& topic, broker::TopicRecord& record) {
  for (const auto& [name, value] : topic.configs) {
    const auto checked = broker::check_topic_config(name, value);
    if (checked) record.configs[name] = value;
    else not_taken(fmt::format("Config {}={} of topic {}: {}.", name, value, topic.name, checked.error().message));
  }
  if (const auto all = broker::check_topic_configs(record.configs, defaults_); !all) {
    not_taken(fmt::format("Configs of topic {}: {}.", topic.name, all.error().message));
    record.configs.clear();
  }
  const auto tiered = topic.configs.find("remote.storage.enable");
  if (tiered != topic.configs.end() && tiered->second == "true") {
    not_taken(fmt::format("Segments of topic {} in tiered storage: its log begins with what is in this folder.", topic.name));
  }
}

Result<void> Importer::choose_topics() {
  for (const auto& [name, topic] : metadata_.topics) {
    if (kNotTaken.contains(name)) {
      not_taken(fmt::format("{}: {}.", name,
                            name == "__transaction_state"
                                ? "state of transactions; transactional producers get new ids"
                                : "state of share groups; they begin anew"));
      continue;
    }
    if (auto ok = check_topic(topic); !ok) return ok;
    broker::TopicRecord record;
    record.id = topic.id;
    record.name = name;
    record.partition_count = static_cast<int32_t>(topic.partitions.size());
    choose_configs(topic, record);
    topics_.push_back(std::move(record));
    report_.partitions += topic.partitions.size();
  }
  report_.topics = topics_.size();
  return {};
}

Result<void> Importer::read_partitions() {
  uint64_t all_bytes = 0, done_bytes = 0, said_bytes = 0;
  for (const KafkaPartitionFolder& folder : folder_.partitions) {
    for (const KafkaSegmentFile& segment : folder.segments) all_bytes += segment.bytes;
  }
  std::set<std::pair<std::string, int32_t>> seen;
  for (const KafkaPartitionFolder& folder : folder_.partitions) {
    const std::string name = fmt::format("{}-{}", folder.topic, folder.partition);
    const auto topic = std::find_if(topics_.begin(), topics_.end(), [&](const auto& t) { return t.name == folder.topic; });
    if (topic == topics_.end()) {
      if (!kNotTaken.contains(folder.topic)) not_taken(fmt::format("Folder {}: no topic of this name exists (any more).", name));
      continue;
    }
    if (folder.topic_id && *folder.topic_id != topic->id) {
      not_taken(fmt::format("Folder {}: it belongs to an earlier topic of this name.", name));
      continue;
    }
    if (folder.partition >= topic->partition_count) {
      not_taken(fmt::format("Folder {}: the topic has {} partitions.", name, topic->partition_count));
      continue;
    }
    auto import = read_partition(folder, topic->id);
    if (!import) return std::unexpected(import.error());
    seen.insert({folder.topic, folder.partition});
    for (const KafkaSegmentFile& segment : folder.segments) done_bytes += segment.bytes;
    imports_.push_back(std::move(*import));
    if (done_bytes - said_bytes >= std::max<uint64_t>(all_bytes / 20, 64u << 20)) {
      progress_(fmt::format("checked {} of {} MB", done_bytes >> 20, all_bytes >> 20));
      said_bytes = done_bytes;
    }
  }
  for (const broker::TopicRecord& topic : topics_) {
    for (int32_t i = 0; report_.has_metadata && i < topic.partition_count; ++i) {
      if (!seen.contains({topic.name, i})) not_taken(fmt::format("Data of {}-{}: it has no folder here; it is empty.", topic.name, i));
    }
  }
  report_.leader_epoch = max_epoch_ + 1;
  report_.next_producer_id = std::max(metadata_.next_producer_id, max_producer_id_ + 1);
  return {};
}

Result<void> Importer::accept_damage(const KafkaPartitionFolder& folder, const KafkaSegmentFile& file,
                                     const KafkaSegment& segment, bool last) {
  const std::string what = fmt::format("{}: {}; {} bytes follow the last intact batch", file.path, segment.damage,
                                       segment.trailing_bytes);
  if (!last) {
    return fail(ErrorCode::kCorrupt, what + ". It is not the last segment, so acknowledged records are damaged: restore it "
                                            "from a copy, or delete the topic in Kafka");
  }
  if (folder_.clean && !options_.accept_unclean) {
    return fail(ErrorCode::kCorrupt, what + ", although Kafka ended cleanly. Give --accept-unclean to cut the log there");
  }
  report_.cut.push_back(fmt::format("{}-{} was cut after offset {}: {}.", folder.topic, folder.partition,
                                    segment.info.next_offset - 1, what));
  return {};
}

Result<Import> Importer::read_partition(const KafkaPartitionFolder& folder, const TopicId& id) {
  Import import;
  import.source = &folder;
  KafkaPartitionState state;
  state.id = {id, folder.partition};
  import.manifest.partition = state.id;
  int64_t end = 0;
  for (size_t i = 0; i < folder.segments.size(); ++i) {
    const KafkaSegmentFile& file = folder.segments[i];
    end = std::max(end, file.base_offset);  // an empty segment tells where the log goes on
    auto segment = read_kafka_segment(files_, file, state);
    if (!segment) return std::unexpected(segment.error());
    if (!segment->damage.empty()) {
      if (auto ok = accept_damage(folder, file, *segment, i + 1 == folder.segments.size()); !ok) {
        return std::unexpected(ok.error());
      }
    }
    if (segment->info.length == 0) continue;
    // Whether the times that its headers say are right, the broker finds out (SegmentInfo::times_known).
    segment->info.created_ms = segment->info.modified_ms = modified_ms(file.path);
    end = std::max(end, segment->info.next_offset);
    ++report_.segments;
    report_.bytes += segment->info.length;
    import.manifest.segments.push_back(segment->info);
    import.files.push_back({file.path, segment->info, std::move(segment->index), false});
  }
  if (!import.files.empty()) import.files.back().last = true;
  report_.batches += state.batches;
  const auto start = folder_.log_starts.find({folder.topic, folder.partition});
  int64_t log_start = start == folder_.log_starts.end() ? 0 : start->second;
  if (!folder.segments.empty()) log_start = std::max(log_start, folder.segments.front().base_offset);
  import.manifest.log_start_offset = std::min(log_start, end);
  import.manifest.end_offset = end;
  settle_epochs(folder, state, import.manifest);
  for (const auto& [producer, entry] : state.producers.entries()) import.producers.push_back(entry);
  max_producer_id_ = std::max(max_producer_id_, state.max_producer_id);
  const std::string name = fmt::format("{}-{}", folder.topic, folder.partition);
  if (state.aborted_transactions > 0) {
    not_taken(fmt::format("{} has {} aborted transactions: their records are there, and consumers with read_committed see "
                          "them until transactions are supported.",
                          name, state.aborted_transactions));
  }
  for (const auto& [producer, offset] : state.open_transactions) {
    not_taken(fmt::format("{}: the transaction of producer {} from offset {} on was never ended; its records are visible.",
                          name, producer, offset));
  }
  return import;
}

// The checkpoint, as far as it speaks of offsets that are there; without one, what the batches say.
void Importer::settle_epochs(const KafkaPartitionFolder& folder, const KafkaPartitionState& state,
                             storage::PartitionManifest& manifest) {
  std::vector<storage::EpochStart> epochs = folder.epochs;
  std::erase_if(epochs, [&](const auto& e) { return e.start_offset >= manifest.end_offset; });
  const auto descends = [](const auto& a, const auto& b) { return a.epoch >= b.epoch || a.start_offset > b.start_offset; };
  const bool sound = std::adjacent_find(epochs.begin(), epochs.end(), descends) == epochs.end();
  const bool complete = state.epochs.empty() || (!epochs.empty() && epochs.back().epoch >= state.epochs.back().epoch);
  manifest.epochs = sound && complete ? epochs : state.epochs;
  for (const auto& list : {folder.epochs, state.epochs}) {
    for (const auto& epoch : list) max_epoch_ = std::max(max_epoch_, epoch.epoch);
  }
}

// --- writing --------------------------------------------------------------------------------------------------------

Result<void> Importer::place(const Import::File& file, const std::string& to) {
  std::error_code error;
  // The last segment is appended to from now on: it must not be the file that Kafka has.
  if (!file.last && !options_.copy) {
    fs::create_hard_link(file.from, to, error);
    if (!error) {
      report_.linked_bytes += file.info.length;
      return {};
    }
  }
  error.clear();
  fs::copy_file(file.from, to, error);
  if (error) return fail_with(error, fmt::format("copying {} to {}", file.from, to));
  report_.copied_bytes += file.info.length;
  auto copy = files_.open(to, {.write = true});
  if (!copy) return std::unexpected(copy.error());
  return (*copy)->truncate(file.info.length);
}

Result<void> Importer::place_files() {
  if (auto ok = files_.remove_all(target_); !ok) return ok;
  if (auto ok = files_.create_directories(target_); !ok) return ok;
  uint64_t done_bytes = 0, said_bytes = 0;
  for (const Import& import : imports_) {
    if (import.files.empty()) continue;
    const std::string folder = target_ + "/" + storage::partition_folder_name(import.manifest.partition);
    if (auto ok = files_.create_directories(folder); !ok) return ok;
    for (const Import::File& file : import.files) {
      if (auto ok = place(file, folder + "/" + storage::segment_file_name(file.info.base_offset)); !ok) return ok;
      if (file.info.length >= kIndexedSegmentBytes) {
        const std::string index = folder + "/" + storage::index_file_name(file.info.base_offset);
        if (auto ok = file.index.write(files_, index, file.info.base_offset); !ok) return ok;
      }
      done_bytes += file.info.length;
      if (done_bytes - said_bytes >= (1u << 30)) {
        progress_(fmt::format("placed {} of {} MB", done_bytes >> 20, report_.bytes >> 20));
        said_bytes = done_bytes;
      }
    }
  }
  return files_.sync_file_system(target_);
}

Result<void> Importer::write_manifests() {
  auto database = storage::ManifestDatabase::open(files_, target_ + "/manifest.db", &clock_);
  if (!database) return std::unexpected(database.error());
  int64_t row = 1;
  for (size_t begin = 0; begin < imports_.size(); begin += kPartitionsPerCommit) {
    const size_t end = std::min(imports_.size(), begin + kPartitionsPerCommit);
    std::vector<storage::MergePlan> plans(end - begin);
    std::vector<storage::MergePartition> merges(end - begin);
    std::vector<storage::ManifestDatabase::Change> changes;
    for (size_t i = begin; i < end; ++i) {
      plans[i - begin].after = imports_[i].manifest;
      merges[i - begin].partition = imports_[i].manifest.partition;
      merges[i - begin].producers = imports_[i].producers;
      changes.push_back({row++, true, &plans[i - begin], &merges[i - begin]});
    }
    if (auto ok = (*database)->commit(changes); !ok) return ok;
  }
  return {};
}

Result<void> Importer::write_metadata() {
  auto store = storage::SqliteMetaStore::open(files_, pool_, {.path = target_ + "/meta.db", .clock = &clock_});
  if (!store) return std::unexpected(store.error());
  std::vector<std::pair<std::string, std::string>> entries = {
      {std::string(broker::ClusterIdRecord::kKey), broker::ClusterIdRecord{folder_.cluster_id}.encode()},
      {std::string(broker::BrokerEpochRecord::kKey), broker::BrokerEpochRecord{report_.leader_epoch}.encode()},
      {std::string(broker::ProducerIdsRecord::kKey), broker::ProducerIdsRecord{report_.next_producer_id}.encode()},
      {std::string(broker::DeletionsNotedRecord::kKey), broker::DeletionsNotedRecord::encode()}};
  for (const broker::TopicRecord& topic : topics_) {
    const broker::TopicNameRecord name{topic.name, topic.id};
    entries.emplace_back(topic.key(), topic.encode());
    entries.emplace_back(name.key(), name.encode());
  }
  for (size_t begin = 0; begin < entries.size(); begin += storage::MetaStore::kMaxOperations) {
    storage::MetaTransaction transaction;
    const size_t end = std::min(entries.size(), begin + storage::MetaStore::kMaxOperations);
    for (size_t i = begin; i < end; ++i) {
      transaction.operations.push_back({storage::MetaOperation::Kind::kPut, entries[i].first, entries[i].second});
    }
    auto outcome = (*store)->transact_blocking(std::move(transaction));
    if (!outcome) return std::unexpected(outcome.error());
    if (!outcome->succeeded) return fail(ErrorCode::kIo, "the metadata could not be written");
  }
  return {};
}

// Reads the folder as a broker does at its start, then gives it its name.
Result<void> Importer::finish() {
  {
    auto store = storage::LocalSegmentStore::open(files_, pool_, clock_, {.log_dir = target_});
    if (!store) return std::unexpected(store.error());
    auto loaded = (*store)->load();
    if (!loaded) return std::unexpected(loaded.error());
    if (loaded->size() != imports_.size()) {
      return fail(ErrorCode::kCorrupt, fmt::format("{} partitions were written, {} are read back", imports_.size(), loaded->size()));
    }
  }
  if (auto ok = DataFolder::write_initial_properties(files_, target_, folder_.cluster_id); !ok) return ok;
  if (auto ok = files_.sync_file_system(target_); !ok) return ok;
  auto there = files_.exists(options_.data_dir);
  if (!there) return std::unexpected(there.error());
  if (*there) {
    if (auto ok = files_.remove(options_.data_dir); !ok) return ok;  // empty, or this fails
  }
  if (auto ok = files_.rename(target_, options_.data_dir); !ok) return ok;
  const std::string parent = fs::path(options_.data_dir).parent_path().string();
  return files_.sync_directory(parent.empty() ? "." : parent);
}

}  // namespace

Result<LogImportReport> import_kafka_log(runtime::FileSystem& files, runtime::Pool& pool, const runtime::Clock& clock,
                                         const LogImportOptions& options, Function<void(const std::string&)> progress) {
  return Importer(files, pool, clock, options, std::move(progress)).run();
}

}  // namespace weir::apps
