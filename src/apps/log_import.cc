#include "apps/log_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "apps/data_folder.h"
#include "apps/import_target.h"
#include "apps/kafka_partition.h"
#include "apps/kafka_segment_copy.h"
#include "base/counted.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/broker_epoch_record.h"
#include "broker/metadata/cluster_id_record.h"
#include "broker/metadata/deleted_topic_record.h"
#include "broker/metadata/producer_ids_record.h"
#include "broker/metadata/topic_name.h"
#include "broker/metadata/topic_name_record.h"
#include "broker/metadata/topic_record.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_names.h"

namespace weir::apps {

namespace {

constexpr uint64_t kIndexedSegmentBytes = 1u << 20;  // as segments that were checkpointed here
constexpr size_t kPartitionsPerCommit = 500;

using Import = KafkaPartitionImport;

class Importer {
 public:
  Importer(runtime::FileSystem& files, runtime::Pool& pool, const runtime::Clock& clock, const LogImportOptions& options,
           Function<void(const std::string&)> progress)
      : files_(files),
        pool_(pool),
        clock_(clock),
        options_(options),
        progress_(std::move(progress)),
        target_(files, options.data_dir) {}

  Result<LogImportReport> run() {
    auto done = check_target();
    if (done && !options_.dry_run) done = target_.lock(options_.source);
    using Step = Result<void> (Importer::*)();
    for (const Step step : {&Importer::read_source, &Importer::choose_topics, &Importer::read_partitions}) {
      if (done) done = (this->*step)();
    }
    for (const Step step : {&Importer::place_files, &Importer::write_manifests, &Importer::write_metadata, &Importer::finish}) {
      if (done && !options_.dry_run) done = (this->*step)();
    }
    if (done) return std::move(report_);
    target_.give_up();
    return std::unexpected(done.error());
  }

 private:
  // Without a metadata log it is not known which producer ids transactions have.
  bool takes(const std::string& topic) const {
    return topic != "__share_group_state" && (topic != "__transaction_state" || report_.has_metadata);
  }
  void not_taken(std::string what) { report_.not_taken.push_back(std::move(what)); }

  Result<void> check_target();
  Result<void> read_source();
  Result<void> choose_topics();
  Result<void> topics_of_folders();
  Result<void> check_topic(const KafkaTopic& topic);
  void choose_configs(const KafkaTopic& topic, broker::TopicRecord& record);
  Result<void> read_partitions();
  KafkaPartitionInfo info_of(const KafkaPartitionFolder& folder, const broker::TopicRecord& topic) const;
  Result<Import> read_partition(const KafkaPartitionFolder& folder, const broker::TopicRecord& topic);
  Result<void> missing_partition(const std::string& topic, int32_t partition);
  Result<void> place_files();
  Result<void> write_manifests();
  Result<void> write_metadata();
  Result<void> finish();

  runtime::FileSystem& files_;
  runtime::Pool& pool_;
  const runtime::Clock& clock_;
  const LogImportOptions& options_;
  Function<void(const std::string&)> progress_;

  ImportTarget target_;
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
  return target_.check(options_.source);
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
  if (metadata_.next_producer_id < 0 || metadata_.next_producer_id > kHighestKafkaProducerId) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("the metadata log says that the next producer id is {}", metadata_.next_producer_id));
  }
  if (!metadata_.damage.empty()) {
    if (!options_.accept_unclean) {
      return fail(ErrorCode::kCorrupt, metadata_.damage + ". Give --accept-unclean to go on with what is intact");
    }
    report_.cut.push_back("The metadata log was cut: " + metadata_.damage + ".");
  }
  std::map<std::string_view, uint64_t> records;
  for (const auto& [about, what] : metadata_.not_taken) ++records[what];
  for (const auto& [what, count] : records) not_taken(fmt::format("{}: {}.", what, counted(count, "record")));
  for (const auto& [about, what] : metadata_.configs_not_taken) not_taken(what);
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
    if (topic.id != Uuid() && topic.id != *partition.topic_id) {
      return fail(ErrorCode::kCorrupt, fmt::format("{}: other partitions of its topic have another topic id", partition.path));
    }
    topic.id = *partition.topic_id;
    topic.partitions[partition.partition];
  }
  return {};
}

Result<void> Importer::check_topic(const KafkaTopic& topic) {
  int32_t expected = 0;
  for (const auto& [index, partition] : topic.partitions) {
    if (index != expected++) {
      if (!report_.has_metadata) return missing_partition(topic.name, expected - 1);
      return fail(ErrorCode::kCorrupt,
                  fmt::format("topic {}: partition {} is missing in the metadata", topic.name, expected - 1));
    }
    if (partition.leader_epoch < 0 || partition.leader_epoch > kHighestKafkaEpoch) {
      return fail(ErrorCode::kCorrupt, fmt::format("topic {} partition {}: the metadata log says it is in leader epoch {}",
                                                   topic.name, index, partition.leader_epoch));
    }
    max_epoch_ = std::max(max_epoch_, partition.leader_epoch);  // clients may know it
    if (partition.replicas.size() > 1) {
      return fail(ErrorCode::kUnsupported,
                  fmt::format("topic {} partition {} has {} replicas: only folders of a single node hold everything; move "
                              "all partitions to one node first (kafka-reassign-partitions)",
                              topic.name, index, partition.replicas.size()));
    }
    if (partition.replicas.size() == 1 && std::to_string(partition.replicas.front()) != folder_.node_id) {
      return fail(ErrorCode::kUnsupported,
                  fmt::format("topic {} partition {} lies on node {}, this folder is of node {}: move it here "
                              "first (kafka-reassign-partitions)",
                              topic.name, index, partition.replicas.front(), folder_.node_id));
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
  std::set<TopicId> ids;
  for (const auto& [name, topic] : metadata_.topics) {
    if (!takes(name)) {
      not_taken(fmt::format("{}: {}.", name,
                            name == "__transaction_state" ? "state of transactions; transactional producers begin anew"
                                                          : "state of share groups; they begin anew"));
      continue;
    }
    if (const auto fault = broker::topic_name_fault(name)) return fail(ErrorCode::kCorrupt, *fault);
    if (topic.id == Uuid() || !ids.insert(topic.id).second) {
      return fail(ErrorCode::kCorrupt, fmt::format("topic {} has no id of its own, but {}", name, topic.id.to_string()));
    }
    if (auto ok = check_topic(topic); !ok) return ok;
    broker::TopicRecord record;
    record.id = topic.id;
    record.name = name;
    record.partition_count = static_cast<int32_t>(topic.partitions.size());
    choose_configs(topic, record);
    // Also where no metadata log says so: retention would delete what groups have committed.
    if (name == "__consumer_offsets" || name == "__transaction_state") record.configs.try_emplace("cleanup.policy", "compact");
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
      if (takes(folder.topic)) not_taken(fmt::format("Folder {}: no topic of this name exists (any more).", name));
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
    auto import = read_partition(folder, *topic);
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
    for (int32_t i = 0; i < topic.partition_count; ++i) {
      if (seen.contains({topic.name, i})) continue;
      if (auto ok = missing_partition(topic.name, i); !ok) return ok;
    }
  }
  report_.leader_epoch = max_epoch_ + 1;  // both are far below their types' ends, see kHighestKafkaEpoch
  report_.next_producer_id = std::max(metadata_.next_producer_id, max_producer_id_ + 1);
  return {};
}

KafkaPartitionInfo Importer::info_of(const KafkaPartitionFolder& folder, const broker::TopicRecord& topic) const {
  KafkaPartitionInfo info;
  info.topic_id = topic.id;
  info.now_ms = clock_.wall_ms();
  info.clean = folder_.clean;
  info.accept_unclean = options_.accept_unclean;
  info.with_coordinators = takes("__transaction_state");
  const auto offset_in = [&](const KafkaOffsets& offsets) -> std::optional<int64_t> {
    const auto found = offsets.find({folder.topic, folder.partition});
    return found == offsets.end() ? std::nullopt : std::optional(found->second);
  };
  info.log_start = offset_in(folder_.log_starts);
  info.recovery_point = offset_in(folder_.recovery_points);
  if (report_.has_metadata || folder_.cleaned) info.compacted = false;
  if (folder.topic == "__consumer_offsets" || (folder_.cleaned && offset_in(*folder_.cleaned))) info.compacted = true;
  const auto known = metadata_.topics.find(folder.topic);
  if (known == metadata_.topics.end()) return info;
  const auto& configs = known->second.configs;
  const auto policy = configs.find("cleanup.policy"), tiered = configs.find("remote.storage.enable");
  if (policy != configs.end() && policy->second.find("compact") != std::string::npos) info.compacted = true;
  info.tiered = tiered != configs.end() && tiered->second == "true";
  // A metadata log that lost its end may not know the last epochs.
  const auto partition = known->second.partitions.find(folder.partition);
  if (report_.has_metadata && metadata_.damage.empty() && partition != known->second.partitions.end()) {
    info.leader_epoch = partition->second.leader_epoch;
  }
  return info;
}

Result<Import> Importer::read_partition(const KafkaPartitionFolder& folder, const broker::TopicRecord& topic) {
  auto import = read_kafka_partition(files_, folder, info_of(folder, topic));
  if (!import) return import;
  report_.segments += import->files.size();
  report_.batches += import->batches;
  report_.bytes += import->bytes;
  max_producer_id_ = std::max(max_producer_id_, import->max_producer_id);
  for (const auto& epoch : import->manifest.epochs) max_epoch_ = std::max(max_epoch_, epoch.epoch);
  for (std::string& line : import->not_taken) not_taken(std::move(line));
  for (std::string& line : import->uncertain) report_.uncertain.push_back(std::move(line));
  for (std::string& line : import->cut) report_.cut.push_back(std::move(line));
  return import;
}

Result<void> Importer::missing_partition(const std::string& topic, int32_t partition) {
  const std::string name = fmt::format("{}-{}", topic, partition);
  if (!report_.has_metadata) {
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("{} has no folder here, and there is no metadata log: only folders of a single node hold everything. If "
                    "it held nothing, make an empty folder of that name",
                    name));
  }
  const auto flushed = folder_.recovery_points.find({topic, partition});
  if (flushed == folder_.recovery_points.end() || flushed->second == 0) {
    not_taken(fmt::format("Data of {}: it has no folder here; it is empty.", name));
    return {};
  }
  const std::string what = fmt::format(
      "{} has no folder here, but recovery-point-offset-checkpoint says that it held records up to "
      "offset {}",
      name, flushed->second - 1);
  if (!options_.accept_unclean) {
    return fail(ErrorCode::kCorrupt, what + ". Bring the folder back from a copy, or give --accept-unclean to go on without it");
  }
  report_.cut.push_back(what + ": it is empty now.");
  return {};
}

// --- writing --------------------------------------------------------------------------------------------------------

Result<void> Importer::place_files() {
  if (auto ok = target_.clear(); !ok) return ok;
  uint64_t done_bytes = 0, said_bytes = 0;
  for (const Import& import : imports_) {
    if (import.files.empty()) continue;
    const std::string folder = target_.path() + "/" + storage::partition_folder_name(import.manifest.partition);
    if (auto ok = files_.create_directories(folder); !ok) return ok;
    for (const Import::File& file : import.files) {
      const std::string path = folder + "/" + storage::segment_file_name(file.info.base_offset);
      auto linked = place_kafka_segment(files_, import, file, path, !options_.copy);
      if (!linked) return std::unexpected(linked.error());
      (*linked ? report_.linked_bytes : report_.copied_bytes) += file.copied;
      if (file.info.length >= kIndexedSegmentBytes) {
        const std::string index = folder + "/" + storage::index_file_name(file.info.base_offset);
        if (auto ok = file.index.write(files_, index, file.info.base_offset); !ok) return ok;
      }
      if (!file.aborted.empty()) {
        const std::string aborted = folder + "/" + storage::aborted_index_file_name(file.info.base_offset);
        if (auto ok = storage::write_aborted(files_, aborted, 0, file.aborted); !ok) return std::unexpected(ok.error());
      }
      done_bytes += file.info.length;
      if (done_bytes - said_bytes >= (1u << 30)) {
        progress_(fmt::format("placed {} of {} MB", done_bytes >> 20, report_.bytes >> 20));
        said_bytes = done_bytes;
      }
    }
  }
  return files_.sync_file_system(target_.path());
}

Result<void> Importer::write_manifests() {
  auto database = storage::ManifestDatabase::open(files_, target_.path() + "/manifest.db", &clock_);
  if (!database) return std::unexpected(database.error());
  int64_t row = 1;
  for (size_t begin = 0; begin < imports_.size(); begin += kPartitionsPerCommit) {
    const size_t end = std::min(imports_.size(), begin + kPartitionsPerCommit);
    std::vector<storage::CheckpointPlan> plans(end - begin);
    std::vector<storage::CheckpointPartition> checkpoints(end - begin);
    std::vector<storage::ManifestDatabase::Change> changes;
    for (size_t i = begin; i < end; ++i) {
      plans[i - begin].after = imports_[i].manifest;
      checkpoints[i - begin].partition = imports_[i].manifest.partition;
      checkpoints[i - begin].producers = imports_[i].producers;
      changes.push_back({row++, true, &plans[i - begin], &checkpoints[i - begin]});
    }
    if (auto ok = (*database)->commit(changes); !ok) return ok;
  }
  return {};
}

Result<void> Importer::write_metadata() {
  auto store = storage::SqliteMetaStore::open(files_, pool_, {.path = target_.path() + "/meta.db", .clock = &clock_});
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
    auto store = storage::LocalSegmentStore::open(files_, pool_, clock_, {.log_dir = target_.path()});
    if (!store) return std::unexpected(store.error());
    auto loaded = (*store)->load();
    if (!loaded) return std::unexpected(loaded.error());
    if (loaded->size() != imports_.size()) {
      return fail(ErrorCode::kCorrupt,
                  fmt::format("{} partitions were written, {} are read back", imports_.size(), loaded->size()));
    }
  }
  if (auto ok = DataFolder::write_initial_properties(files_, target_.path(), folder_.cluster_id); !ok) return ok;
  return target_.finish();
}

}  // namespace

Result<LogImportReport> import_kafka_log(runtime::FileSystem& files, runtime::Pool& pool, const runtime::Clock& clock,
                                         const LogImportOptions& options, Function<void(const std::string&)> progress) {
  return Importer(files, pool, clock, options, std::move(progress)).run();
}

}  // namespace weir::apps
