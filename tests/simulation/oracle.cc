#include "simulation/oracle.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/crc32c.h"
#include "testing/seeded_random.h"

namespace weir::simulation {

uint64_t payload_hash(Bytes payload) { return testing::mix(uint64_t{crc32c(payload)} << 32 ^ payload.size()); }

std::string Oracle::name(const TopicPartition& partition) {
  return fmt::format("{}-{}", partition.topic.to_string(), partition.index);
}

void Oracle::violation(std::string what) {
  constexpr size_t kReported = 20;
  if (violations_.size() < kReported) violations_.push_back(std::move(what));
}

void Oracle::expect(const TopicPartition& partition, int64_t offset, uint64_t payload, const char* how) {
  ++info_;
  PartitionInfo& info = partitions_[partition];
  const auto [known, inserted] = info.records.emplace(offset, payload);
  if (!inserted && known->second != payload) {
    violation(fmt::format("{} offset {}: {} as {:x}, but was {:x} before", name(partition), offset, how, payload, known->second));
  }
  if (!info.sent.contains(payload)) {
    violation(fmt::format("{} offset {}: {} with a payload nobody sent", name(partition), offset, how));
  }
}

void Oracle::sent(const TopicPartition& partition, uint64_t payload) { partitions_[partition].sent.insert(payload); }

void Oracle::acked(const TopicPartition& partition, int64_t offset, uint64_t payload) {
  expect(partition, offset, payload, "acknowledged");
}

void Oracle::read(const TopicPartition& partition, int64_t offset, uint64_t payload) {
  expect(partition, offset, payload, "read");
}

void Oracle::found(const TopicPartition& partition, const Found& found) {
  PartitionInfo& info = partitions_[partition];
  const std::string where = name(partition);
  if (found.log_start < info.delete_acked) {
    violation(fmt::format("{}: log start {} is below {}, where an acknowledged deletion had moved it", where, found.log_start,
                          info.delete_acked));
  }
  if (found.log_start > info.delete_requested) {
    violation(fmt::format("{}: log start {} is past everything that was to be deleted ({})", where, found.log_start,
                          info.delete_requested));
  }
  for (const auto& [offset, payload] : info.records) {
    if (offset < found.log_start || found.records.contains(offset)) continue;
    violation(fmt::format("{}: record at offset {} was acknowledged or read, and is lost (log {}..{})", where, offset,
                          found.log_start, found.high_watermark));
  }
  std::map<uint64_t, int64_t> seen;
  int64_t next = found.log_start;
  for (const auto& [offset, payload] : found.records) {
    // A batch that contains the log start may show records before it.
    if (offset > next) violation(fmt::format("{}: offsets {}..{} are missing", where, next, offset - 1));
    next = std::max(next, offset + 1);
    if (const auto [other, first] = seen.emplace(payload, offset); !first) {
      violation(fmt::format("{}: one payload at offsets {} and {}", where, other->second, offset));
    }
    if (offset >= found.log_start) expect(partition, offset, payload, "found");
  }
  if (next != std::max(found.high_watermark, found.log_start)) {
    violation(fmt::format("{}: readable up to {}, but the high watermark is {}", where, next, found.high_watermark));
  }
}

void Oracle::delete_requested(const TopicPartition& partition, int64_t before_offset) {
  int64_t& highest = partitions_[partition].delete_requested;
  highest = std::max(highest, before_offset);
}

void Oracle::delete_acked(const TopicPartition& partition, int64_t before_offset) {
  ++info_;
  int64_t& highest = partitions_[partition].delete_acked;
  highest = std::max(highest, before_offset);
}

void Oracle::producer_acked(const TopicPartition& partition, int64_t producer_id, int16_t epoch, int32_t base_sequence,
                            int64_t base_offset) {
  ++info_;
  const auto [known, inserted] =
      partitions_[partition].sequences.emplace(std::tuple(producer_id, epoch, base_sequence), base_offset);
  if (!inserted && known->second != base_offset) {
    violation(fmt::format("{}: sequence {} of producer {} was at offset {}, answered again with {}", name(partition),
                          base_sequence, producer_id, known->second, base_offset));
  }
}

void Oracle::topic_created(const Uuid& id) {
  ++info_;
  creating_.erase(id);
  if (!topics_.insert(id).second) violation("topic " + id.to_string() + " was created twice");
}

void Oracle::topic_deleted(const Uuid& id) {
  ++info_;
  deleting_.erase(id);
  topics_.erase(id);
  creating_.erase(id);
  deleted_.insert(id);
}

void Oracle::topics_found(const std::set<Uuid>& ids) {
  for (const Uuid& id : topics_) {
    if (!ids.contains(id) && !deleting_.contains(id)) violation("topic " + id.to_string() + " is lost");
  }
  for (const Uuid& id : ids) {
    if (deleted_.contains(id)) violation("topic " + id.to_string() + " is back after its deletion was acknowledged");
    if (!topics_.contains(id) && !creating_.contains(id) && !deleted_.contains(id)) {
      violation("topic " + id.to_string() + " exists, but nobody asked for it");
    }
  }
}

void Oracle::id_allocated(const std::string& kind, uint64_t value) {
  ++info_;
  if (!ids_[kind].insert(value).second) violation(fmt::format("{} {} was handed out twice", kind, value));
}

void Oracle::never_back(const std::string& what, int64_t value) {
  ++info_;
  const auto [counter, first] = counters_.emplace(what, value);
  if (value < counter->second) violation(fmt::format("{} went from {} back to {}", what, counter->second, value));
  counter->second = std::max(counter->second, value);
}

void Oracle::value_requested(const std::string& key, const std::string& value) {
  values_[key].possible.insert(value);
  ++values_[key].version;
}

void Oracle::value_acked(const std::string& key, const std::string& value) {
  ++info_;
  ValueInfo& info = values_[key];
  info.acked = value;
  info.possible.erase(value);
  ++info.version;
}

void Oracle::value_read(const std::string& key, const std::string& value, uint64_t version) {
  ValueInfo& info = values_[key];
  if (info.version != version) return;  // the order of write and read is not known
  ++info_;
  if (value != info.acked && !info.possible.contains(value)) {
    violation(fmt::format("key '{}' shows '{}', the acknowledged value is '{}'", key, value, info.acked));
  }
  if (value != info.acked) ++info.version;  // an older answer may still be on its way
  info.acked = value;
  info.possible.erase(value);
}

void Oracle::value_found(const std::string& key, const std::string& value) {
  ++info_;
  ValueInfo& info = values_[key];
  if (value != info.acked && !info.possible.contains(value)) {
    violation(fmt::format("key '{}' holds '{}', the acknowledged value is '{}'", key, value, info.acked));
  }
  // A value that was seen counts as acknowledged.
  info.acked = value;
  info.possible.clear();
}

}  // namespace weir::simulation
