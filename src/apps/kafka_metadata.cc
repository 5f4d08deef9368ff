#include "apps/kafka_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "apps/file_window.h"
#include "apps/kafka_folder.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/change_log.h"
#include "protocol/record_batch.h"
#include "protocol/wire.h"
#include "storage/segment/stored_batch.h"

namespace weir::apps {

namespace {

constexpr const char* kFolder = "/__cluster_metadata-0";
constexpr size_t kBatchBytesMax = 64u << 20;  // Kafka's are of 8 MiB at most

// API keys of metadata records.
enum MetadataRecord : uint32_t {
  kRegisterBroker = 0,
  kUnregisterBroker = 1,
  kTopic = 2,
  kPartition = 3,
  kConfig = 4,
  kPartitionChange = 5,
  kFenceBroker = 7,
  kUnfenceBroker = 8,
  kRemoveTopic = 9,
  kDelegationToken = 10,
  kUserScramCredential = 11,
  kFeatureLevel = 12,
  kClientQuota = 14,
  kProducerIds = 15,
  kBrokerRegistrationChange = 17,
  kAccessControlEntry = 18,
  kRemoveAccessControlEntry = 19,
  kNoOp = 20,
  kZkMigrationState = 21,
  kRemoveUserScramCredential = 22,
  kBeginTransaction = 23,
  kEndTransaction = 24,
  kAbortTransaction = 25,
  kRemoveDelegationToken = 26,
  kRegisterController = 27,
  kUnregisterController = 28,
  kClearElr = 29,
};

const char* not_taken_as(uint32_t type) {
  switch (type) {
    case kDelegationToken:
      return "delegation tokens";
    case kUserScramCredential:
      return "SCRAM credentials of users";
    case kClientQuota:
      return "client quotas";
    case kAccessControlEntry:
      return "access control entries";
    default:
      return nullptr;
  }
}

// The kind of record that one of this kind removes; 0: it removes none.
uint32_t removed_by(uint32_t type) {
  switch (type) {
    case kRemoveDelegationToken:
      return kDelegationToken;
    case kRemoveUserScramCredential:
      return kUserScramCredential;
    case kRemoveAccessControlEntry:
      return kAccessControlEntry;
    default:
      return 0;
  }
}

std::string quota_key(protocol::Reader& in, bool& removed) {
  std::vector<std::string> entity;
  const uint32_t count = in.uvarint();
  for (uint32_t i = 1; i < count && in.ok(); ++i) {
    std::string part(in.string(true));
    const auto name = in.nullable_string(true);
    part += name ? '=' + std::string(*name) : std::string();
    for (protocol::TagReader tags(in); tags.next();) tags.skip();
    entity.push_back(std::move(part));
  }
  std::sort(entity.begin(), entity.end());
  std::string key(in.string(true));
  in.f64();
  removed = in.boolean();
  for (const std::string& part : entity) key += '\n' + part;
  return key;
}

// What a record of a kind that is not taken is about.
std::string key_of(uint32_t type, protocol::Reader& in, bool& removed) {
  removed = removed_by(type) != 0;
  switch (type) {
    case kUserScramCredential:
    case kRemoveUserScramCredential: {
      std::string user(in.string(true));
      return user + '\n' + std::to_string(in.i8());
    }
    case kAccessControlEntry:
    case kRemoveAccessControlEntry:
      return in.uuid().to_string();
    case kDelegationToken: {
      in.string(true);  // owner
      in.string(true);  // requester
      const uint32_t renewers = in.uvarint();
      for (uint32_t i = 1; i < renewers && in.ok(); ++i) in.string(true);
      for (int times = 0; times < 3; ++times) in.i64();
      return std::string(in.string(true));
    }
    case kRemoveDelegationToken:
      return std::string(in.string(true));
    default:
      return quota_key(in, removed);
  }
}

void apply_not_taken(uint32_t type, uint32_t version, protocol::Reader& in, KafkaMetadata& metadata) {
  const uint32_t kind = removed_by(type) != 0 ? removed_by(type) : type;
  if (version > 0) {  // of a later Kafka: it is told of, whatever becomes of it
    metadata.not_taken[{kind, std::to_string(metadata.records)}] = not_taken_as(kind);
    return;
  }
  bool removed = false;
  std::string key = key_of(type, in, removed);
  if (!in.ok()) return;
  if (removed) metadata.not_taken.erase({kind, key});
  else metadata.not_taken[{kind, std::move(key)}] = not_taken_as(kind);
}

KafkaTopic* find_topic(KafkaMetadata& metadata, const Uuid& id) {
  const auto name = metadata.names.find(id);
  if (name == metadata.names.end()) return nullptr;
  const auto topic = metadata.topics.find(name->second);
  return topic != metadata.topics.end() && topic->second.id == id ? &topic->second : nullptr;
}

void apply_partition(protocol::Reader& in, uint32_t version, KafkaMetadata& metadata) {
  const int32_t index = in.i32();
  const Uuid topic_id = in.uuid();
  const auto replicas = in.values<int32_t>(true);
  in.values<int32_t>(true);  // in sync
  in.values<int32_t>(true);  // being removed
  in.values<int32_t>(true);  // being added
  in.i32();                  // leader
  KafkaTopic::Partition partition;
  partition.leader_epoch = in.i32();
  in.i32();  // partition epoch
  if (version >= 1) {
    const auto directories = in.values<Uuid>(true);
    partition.directories.assign(directories.begin(), directories.end());
  }
  partition.replicas.assign(replicas.begin(), replicas.end());
  if (!in.ok() || index < 0) return;
  if (KafkaTopic* topic = find_topic(metadata, topic_id)) topic->partitions[index] = std::move(partition);
}

void apply_partition_change(protocol::Reader& in, KafkaMetadata& metadata) {
  const int32_t index = in.i32();
  KafkaTopic* topic = find_topic(metadata, in.uuid());
  if (!in.ok() || topic == nullptr || !topic->partitions.contains(index)) return;
  KafkaTopic::Partition& partition = topic->partitions[index];
  for (protocol::TagReader tags(in); tags.next();) {
    switch (tags.tag()) {
      case 1:  // a leader, be it the same one: the epoch grows
        in.i32();
        if (partition.leader_epoch < std::numeric_limits<int32_t>::max()) ++partition.leader_epoch;
        break;
      case 2:
        if (const auto replicas = in.nullable_values<int32_t>(true))
          partition.replicas.assign(replicas->begin(), replicas->end());
        break;
      case 8:
        if (const auto places = in.nullable_values<Uuid>(true)) partition.directories.assign(places->begin(), places->end());
        break;
      default:
        tags.skip();
    }
  }
}

// Settings of a broker that Weir always has, whatever their value, or has without them.
bool holds_anyway(broker::ConfigResourceType resource, const std::string& name, std::string_view value) {
  const broker::ConfigKey* key = resource == broker::ConfigResourceType::kBroker ? broker::find_broker_config_key(name) : nullptr;
  if (key == nullptr) return false;
  return value == (key->holds ? key->holds : key->default_value ? key->default_value : "");
}

std::string how_to_set(broker::ConfigResourceType resource, const std::string& entity, const std::string& name,
                       const std::string& value) {
  using broker::ConfigResourceType;
  if (resource == ConfigResourceType::kBroker) {
    if (auto taken = broker::check_dynamic_configs({{name, value}}); !taken)
      return "not taken here either: " + taken.error().message;
  }
  const char* const type = resource == ConfigResourceType::kBroker          ? "brokers"
                           : resource == ConfigResourceType::kClientMetrics ? "client-metrics"
                           : resource == ConfigResourceType::kGroup         ? "groups"
                                                                            : nullptr;
  if (type == nullptr) return "there is nothing of this kind here";
  return fmt::format("set it anew when Weir runs, with kafka-configs.sh --entity-type {} {} --alter --add-config {}={}", type,
                     entity.empty() ? "--entity-default" : "--entity-name " + entity, name, value);
}

void apply_config(protocol::Reader& in, KafkaMetadata& metadata) {
  const auto resource = static_cast<broker::ConfigResourceType>(in.i8());
  const std::string resource_name(in.string(true));
  const std::string name(in.string(true));
  const auto value = in.nullable_string(true);
  if (!in.ok()) return;
  if (resource != broker::ConfigResourceType::kTopic) {
    std::string about = fmt::format("{}\n{}\n{}", static_cast<int>(resource), resource_name, name);
    if (!value || holds_anyway(resource, name, *value)) {
      metadata.configs_not_taken.erase(about);
      return;
    }
    const std::string text(*value);
    metadata.configs_not_taken[std::move(about)] =
        fmt::format("Configuration {}={} of {}: {}.", name, broker::value_text(resource, name, &text),
                    broker::resource_text(resource, resource_name), how_to_set(resource, resource_name, name, text));
    return;
  }
  const auto topic = metadata.topics.find(resource_name);
  if (topic == metadata.topics.end()) return;
  if (value) topic->second.configs[name] = std::string(*value);
  else topic->second.configs.erase(name);
}

// Reads one file of batches: the snapshot, or a segment of the log.
struct ReadFile {
  int64_t first_offset = -1;
  int64_t next_offset = -1;
  bool footer = false;   // its last batch says that the snapshot is whole
  std::string damage;    // where it does not go on, and why
  bool goes_on = false;  // but an intact batch stands behind: that is no end that was cut off
};

// A batch that ends a snapshot (Kafka's ControlRecordType).
bool is_snapshot_footer(Bytes batch) {
  constexpr int16_t kSnapshotFooter = 4;
  protocol::RecordIterator records(batch);
  protocol::Record record;
  return records.next(record) && record.key && record.key->size() >= 4 &&
         load_be<int16_t>(record.key->data() + 2) == kSnapshotFooter;
}

// Whether a batch behind the damage at `position` is intact, of `next_offset` or later.
Result<bool> goes_on_behind(FileWindow& window, uint64_t position, uint64_t size, int64_t next_offset) {
  for (uint64_t at = position + 1; at + protocol::BatchHeader::kSize <= size; ++at) {
    auto start = window.at(at, protocol::BatchHeader::kSize);
    if (!start) return std::unexpected(start.error());
    const auto header = storage::parse_stored_header(*start);
    // Each record takes bytes. So few headers that are none get so far that their checksum is computed.
    const bool possible = header && header->size() <= size - at && header->size() <= kBatchBytesMax &&
                          header->base_offset >= next_offset && static_cast<uint64_t>(header->base_offset - next_offset) <= size;
    if (!possible) continue;
    auto crc = window.crc(at + protocol::BatchHeader::kCrcStart, at + header->size());
    if (!crc) return std::unexpected(crc.error());
    if (*crc == header->crc) return true;
  }
  return false;
}

Result<void> apply_batch(Bytes batch, const protocol::BatchHeader& header, int64_t from_offset, KafkaMetadata& metadata) {
  if (header.compressed()) return fail(ErrorCode::kUnsupported, "compressed metadata is not known");
  if (header.control()) return {};
  protocol::RecordIterator records(batch);
  for (protocol::Record record; records.next(record);) {
    if (record.offset < from_offset || !record.value) continue;
    if (auto ok = apply_metadata_record(*record.value, metadata); !ok) {
      return fail(ok.error().code, fmt::format("record at offset {}: {}", record.offset, ok.error().message));
    }
  }
  return {};
}

// The log is never compacted: in it, offsets follow each other.
Result<ReadFile> apply_file(runtime::FileSystem& files, const std::string& path, int64_t from_offset, KafkaMetadata& metadata) {
  auto file = files.open(path, {});
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  FileWindow window(**file, *size);
  ReadFile read;
  for (uint64_t position = 0; position < *size;) {
    auto batch = window.at(position, protocol::BatchHeader::kSize);
    if (!batch) return std::unexpected(batch.error());
    if (batch->size() > protocol::BatchHeader::kMagicOffset && (*batch)[protocol::BatchHeader::kMagicOffset] > 2) {
      return fail(ErrorCode::kUnsupported, path + ": batches of a format that is not known");
    }
    const auto stored = storage::parse_stored_header(*batch);
    const bool whole = stored && stored->size() <= *size - position && stored->size() <= kBatchBytesMax;
    if (whole) {
      batch = window.at(position, stored->size());
      if (!batch) return std::unexpected(batch.error());
    }
    protocol::BatchHeader header;
    protocol::BatchRules rules;
    rules.contiguous = false;
    const auto fault = whole ? protocol::check_batch(*batch, rules, header) : protocol::BatchFault::kTruncated;
    if (fault != protocol::BatchFault::kNone) {
      read.damage = fmt::format("{}: the batch at position {}: {}", path, position, protocol::batch_fault_name(fault));
      auto more = goes_on_behind(window, position, *size, std::max<int64_t>(read.next_offset, 0));
      if (!more) return std::unexpected(more.error());
      read.goes_on = *more;
      return read;
    }
    if (read.first_offset < 0) read.first_offset = header.base_offset;
    if (read.next_offset >= 0 && header.base_offset != read.next_offset) {
      return fail(ErrorCode::kCorrupt,
                  fmt::format("{}: offsets {} to {} are missing", path, read.next_offset, header.base_offset - 1));
    }
    if (auto ok = apply_batch(*batch, header, from_offset, metadata); !ok) {
      return fail(ok.error().code, fmt::format("{}: {}", path, ok.error().message));
    }
    read.next_offset = header.next_offset();
    read.footer = header.control() && is_snapshot_footer(*batch);
    position += header.size();
  }
  return read;
}

// The log from the snapshot's end on.
Result<void> apply_log(runtime::FileSystem& files, const std::string& folder, const std::vector<int64_t>& logs,
                       int64_t from_offset, KafkaMetadata& metadata) {
  int64_t next = from_offset;
  bool begun = false;
  for (size_t i = 0; i < logs.size(); ++i) {
    if (i + 1 < logs.size() && logs[i + 1] <= from_offset) continue;
    const std::string path = fmt::format("{}/{:020}.log", folder, logs[i]);
    if (logs[i] > next || (begun && logs[i] < next)) {
      return fail(ErrorCode::kCorrupt, fmt::format("{} should begin with offset {}: metadata is missing", path, next));
    }
    begun = true;
    auto read = apply_file(files, path, from_offset, metadata);
    if (!read) return std::unexpected(read.error());
    if (read->first_offset >= 0 && read->first_offset != logs[i]) {
      return fail(ErrorCode::kCorrupt, fmt::format("{} begins with offset {}", path, read->first_offset));
    }
    if (!read->damage.empty() && i + 1 < logs.size()) return fail(ErrorCode::kCorrupt, read->damage);
    if (read->goes_on) {
      return fail(ErrorCode::kCorrupt,
                  read->damage +
                      ". Intact batches follow, so it is damaged, not cut off: what they say of topics would be lost. "
                      "Bring the file back from a copy, or let Kafka write a snapshot without it");
    }
    metadata.damage = read->damage;
    next = std::max(next, read->next_offset);
  }
  metadata.end_offset = next;
  return {};
}

}  // namespace

Result<void> apply_metadata_record(Bytes value, KafkaMetadata& metadata) {
  protocol::Arena arena;
  protocol::Reader in(value, arena);
  const uint32_t frame = in.uvarint();
  const uint32_t type = in.uvarint();
  const uint32_t version = in.uvarint();
  if (!in.ok() || frame != 1) return fail(ErrorCode::kUnsupported, fmt::format("frame version {} is not known", frame));
  const auto known_up_to = [&](uint32_t newest) { return version <= newest; };
  bool known = true;
  ++metadata.records;
  switch (type) {
    case kTopic: {
      known = known_up_to(0);
      KafkaTopic topic;
      topic.name = std::string(in.string(true));
      topic.id = in.uuid();
      if (!in.ok()) break;
      metadata.names[topic.id] = topic.name;
      metadata.topics.insert_or_assign(topic.name, topic);
      break;
    }
    case kPartition:
      known = known_up_to(2);
      if (known) apply_partition(in, version, metadata);
      break;
    case kPartitionChange:
      known = known_up_to(2);
      if (known) apply_partition_change(in, metadata);
      break;
    case kConfig:
      known = known_up_to(0);
      if (known) apply_config(in, metadata);
      break;
    case kRemoveTopic: {
      known = known_up_to(0);
      const Uuid id = in.uuid();
      if (const KafkaTopic* topic = find_topic(metadata, id)) metadata.topics.erase(std::string(topic->name));
      metadata.names.erase(id);
      break;
    }
    case kProducerIds:
      known = known_up_to(0);
      in.i32();
      in.i64();
      metadata.next_producer_id = std::max(metadata.next_producer_id, in.i64());
      break;
    case kBeginTransaction:
    case kEndTransaction:
      break;  // what lies between counts; an aborted one is refused
    case kAbortTransaction:
      return fail(ErrorCode::kUnsupported,
                  "the metadata log holds an aborted metadata transaction; start Kafka once so that "
                  "it writes a snapshot, and stop it cleanly");
    default:
      if (not_taken_as(type) != nullptr || removed_by(type) != 0) {
        apply_not_taken(type, version, in, metadata);
      } else if (type > kClearElr) {
        metadata.not_taken[{type, std::to_string(metadata.records)}] = fmt::format("metadata records of unknown type {}", type);
      }
  }
  if (!known) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("version {} of metadata record type {} is of a later Kafka than is known here", version, type));
  }
  if (!in.ok()) return fail(ErrorCode::kCorrupt, fmt::format("metadata record of type {}: {}", type, in.error()));
  return {};
}

Result<KafkaMetadata> read_kafka_metadata(runtime::FileSystem& files, const std::string& log_dir) {
  const std::string folder = log_dir + kFolder;
  auto there = files.exists(folder);
  if (!there) return std::unexpected(there.error());
  if (!*there) return fail(ErrorCode::kNotFound, fmt::format("there is no {}", folder));
  auto entries = files.list(folder);
  if (!entries) return std::unexpected(entries.error());
  std::string snapshot;
  std::vector<int64_t> logs;
  for (const runtime::DirectoryEntry& entry : *entries) {  // sorted, so the last snapshot is the newest
    const auto offset = offset_in_kafka_name(entry.name);
    if (!offset) continue;
    if (entry.name.ends_with(".checkpoint") && entry.name.size() == 42) snapshot = entry.name;
    if (entry.name.ends_with(".log") && entry.name.size() == 24) logs.push_back(*offset);
  }
  KafkaMetadata metadata;
  int64_t from_offset = 0;
  if (!snapshot.empty()) {
    const std::string path = folder + "/" + snapshot;
    auto read = apply_file(files, path, 0, metadata);
    if (!read) return std::unexpected(read.error());
    if (!read->damage.empty()) return fail(ErrorCode::kCorrupt, read->damage);
    if (!read->footer) return fail(ErrorCode::kCorrupt, path + " is cut off: a snapshot ends with a footer");
    from_offset = *offset_in_kafka_name(snapshot);
  }
  if (logs.empty() && !snapshot.empty()) return fail(ErrorCode::kCorrupt, folder + " holds a snapshot, but no log");
  if (auto ok = apply_log(files, folder, logs, from_offset, metadata); !ok) return std::unexpected(ok.error());
  if (metadata.records == 0) return fail(ErrorCode::kNotFound, folder + " holds no metadata");
  return metadata;
}

}  // namespace weir::apps
