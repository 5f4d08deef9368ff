#include "apps/kafka_metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/kafka_folder.h"
#include "broker/metadata/change_log.h"
#include "protocol/record_batch.h"
#include "protocol/wire.h"

namespace weir::apps {

namespace {

constexpr const char* kFolder = "/__cluster_metadata-0";

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
    case kDelegationToken: return "delegation tokens";
    case kUserScramCredential: return "SCRAM credentials of users";
    case kClientQuota: return "client quotas";
    case kAccessControlEntry: return "access control entries";
    default: return nullptr;
  }
}

// The kind of record that one of this kind removes; 0: it removes none.
uint32_t removed_by(uint32_t type) {
  switch (type) {
    case kRemoveDelegationToken: return kDelegationToken;
    case kRemoveUserScramCredential: return kUserScramCredential;
    case kRemoveAccessControlEntry: return kAccessControlEntry;
    default: return 0;
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
    case kRemoveAccessControlEntry: return in.uuid().to_string();
    case kDelegationToken: {
      in.string(true);  // owner
      in.string(true);  // requester
      const uint32_t renewers = in.uvarint();
      for (uint32_t i = 1; i < renewers && in.ok(); ++i) in.string(true);
      for (int times = 0; times < 3; ++times) in.i64();
      return std::string(in.string(true));
    }
    case kRemoveDelegationToken: return std::string(in.string(true));
    default: return quota_key(in, removed);
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
  for (auto& [name, topic] : metadata.topics) {
    if (topic.id == id) return &topic;
  }
  return nullptr;
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

void apply_config(protocol::Reader& in, KafkaMetadata& metadata) {
  const auto resource = static_cast<broker::ConfigResourceType>(in.i8());
  const std::string resource_name(in.string(true));
  const std::string name(in.string(true));
  const auto value = in.nullable_string(true);
  if (!in.ok()) return;
  if (resource != broker::ConfigResourceType::kTopic) {
    const std::pair<uint32_t, std::string> about(kConfig, fmt::format("{}\n{}\n{}", static_cast<int>(resource), resource_name, name));
    if (!value) {
      metadata.not_taken.erase(about);
      return;
    }
    const std::string text(*value);
    metadata.not_taken[about] = fmt::format("configuration {}={} of {}", name, broker::value_text(resource, name, &text),
                                            broker::resource_text(resource, resource_name));
    return;
  }
  const auto topic = metadata.topics.find(resource_name);
  if (topic == metadata.topics.end()) return;
  if (value) topic->second.configs[name] = std::string(*value);
  else topic->second.configs.erase(name);
}

// One file of batches: the snapshot, or a segment of the log. Ends where the bytes do not go on (as Kafka does).
Result<void> apply_file(Bytes bytes, int64_t from_offset, const std::string& path, KafkaMetadata& metadata) {
  protocol::BatchSplitter batches(bytes);
  while (batches.next()) {
    protocol::BatchHeader header;
    protocol::BatchRules rules;
    rules.contiguous = false;
    const auto fault = protocol::check_batch(batches.batch(), rules, header);
    if (fault != protocol::BatchFault::kNone) {
      return fail(ErrorCode::kCorrupt, fmt::format("{}: batch at offset {}: {}", path, batches.header().base_offset,
                                                   protocol::batch_fault_name(fault)));
    }
    if (header.compressed()) return fail(ErrorCode::kUnsupported, path + ": compressed metadata is not known");
    metadata.end_offset = std::max(metadata.end_offset, header.next_offset());
    if (header.control()) continue;
    protocol::RecordIterator records(batches.batch());
    for (protocol::Record record; records.next(record);) {
      if (record.offset < from_offset || !record.value) continue;
      if (auto ok = apply_metadata_record(*record.value, metadata); !ok) {
        return fail(ok.error().code, fmt::format("{}: record at offset {}: {}", path, record.offset, ok.error().message));
      }
    }
  }
  if (!batches.rest().empty() && batches.fault() == protocol::BatchFault::kUnsupportedMagic) {
    return fail(ErrorCode::kUnsupported, path + ": batches of a format that is not known");
  }
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
      if (in.ok()) metadata.topics.insert_or_assign(topic.name, topic);
      break;
    }
    case kPartition:
      known = known_up_to(2);
      if (known) apply_partition(in, version, metadata);
      break;
    case kConfig:
      known = known_up_to(0);
      if (known) apply_config(in, metadata);
      break;
    case kRemoveTopic: {
      known = known_up_to(0);
      const Uuid id = in.uuid();
      if (const KafkaTopic* topic = find_topic(metadata, id)) metadata.topics.erase(std::string(topic->name));
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
      return fail(ErrorCode::kUnsupported, "the metadata log holds an aborted metadata transaction; start Kafka once so that "
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
  auto entries = files.list(folder);
  if (!entries) return fail(ErrorCode::kNotFound, fmt::format("there is no {}: {}", folder, entries.error().message));
  std::string snapshot;
  std::vector<std::string> logs;
  for (const runtime::DirectoryEntry& entry : *entries) {  // sorted, so the last snapshot is the newest
    if (entry.name.ends_with(".checkpoint") && entry.name.size() == 42) snapshot = entry.name;
    if (entry.name.ends_with(".log") && entry.name.size() == 24) logs.push_back(entry.name);
  }
  KafkaMetadata metadata;
  int64_t from_offset = 0;
  if (!snapshot.empty()) {
    const std::string path = folder + "/" + snapshot;
    auto text = read_whole_file(files, path);
    if (!text) return std::unexpected(text.error());
    if (auto ok = apply_file(as_bytes(*text), 0, path, metadata); !ok) return std::unexpected(ok.error());
    from_offset = std::stoll(snapshot.substr(0, 20));
  }
  for (size_t i = 0; i < logs.size(); ++i) {
    const bool covered = i + 1 < logs.size() && std::stoll(logs[i + 1].substr(0, 20)) <= from_offset;
    if (covered) continue;
    const std::string path = folder + "/" + logs[i];
    auto text = read_whole_file(files, path);
    if (!text) return std::unexpected(text.error());
    if (auto ok = apply_file(as_bytes(*text), from_offset, path, metadata); !ok) return std::unexpected(ok.error());
  }
  if (metadata.records == 0) return fail(ErrorCode::kNotFound, folder + " holds no metadata");
  return metadata;
}

}  // namespace weir::apps
