// Collects, on the clients' side, the promises of the system under test, and checks that no crash takes one of them back. Every
// violation is a sentence. A run without violations has passed.
//
// Acknowledgements and observations count alike: a record that a reader saw once is there for good.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"

namespace weir::simulation {

struct TopicPartition {
  Uuid topic;
  int32_t index = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

uint64_t payload_hash(Bytes payload);

class Oracle {
 public:
  // Records. Payloads are unique within a run.
  void sent(const TopicPartition& partition, uint64_t payload);  // before the system gets it
  void acked(const TopicPartition& partition, int64_t offset, uint64_t payload);
  void read(const TopicPartition& partition, int64_t offset, uint64_t payload);
  // All records of a partition after a restart, by offset, with its log start and the end that readers reach.
  struct Found {
    int64_t log_start = 0;
    int64_t high_watermark = 0;
    std::map<int64_t, uint64_t> records;
  };
  void found(const TopicPartition& partition, const Found& found);
  // Records below `before_offset` may go from the request on. Once that is acknowledged they must stay away.
  void delete_requested(const TopicPartition& partition, int64_t before_offset);
  void delete_acked(const TopicPartition& partition, int64_t before_offset);

  // Idempotent producers: a batch (known by its base sequence) has one offset, however often it is sent.
  void producer_acked(const TopicPartition& partition, int64_t producer_id, int16_t epoch, int32_t base_sequence,
                      int64_t base_offset);

  // Topics.
  void topic_create_requested(const Uuid& id) { creating_.insert(id); }
  void topic_created(const Uuid& id);
  void topic_delete_requested(const Uuid& id) { deleting_.insert(id); }
  void topic_deleted(const Uuid& id);
  void topics_found(const std::set<Uuid>& ids);
  bool topic_exists(const Uuid& id) const { return topics_.contains(id); }

  // Ids (of producers, topics and others): no value of a kind is handed out twice.
  void id_allocated(const std::string& kind, uint64_t value);
  // Numbers that only grow: leader epochs, feature epochs. `what` names the counter.
  void never_back(const std::string& what, int64_t value);
  // Values of keys, for stores without offsets: readers see an acknowledged write until a later one is requested.
  void value_requested(const std::string& key, const std::string& value);
  void value_acked(const std::string& key, const std::string& value);
  void value_found(const std::string& key, const std::string& value);  // "" if absent
  // The same while writes are under way. `version`: value_version() at the moment of the request.
  void value_read(const std::string& key, const std::string& value, uint64_t version);
  uint64_t value_version(const std::string& key) { return values_[key].version; }

  // Observations that another judge has checked.
  void learned(uint64_t observations) { info_ += observations; }

  // Events that are no promise, but without which a sweep proves little.
  void happened(const std::string& what) { ++happened_[what]; }
  const std::map<std::string, uint64_t>& happened() const { return happened_; }

  void violation(std::string what);
  const std::vector<std::string>& violations() const { return violations_; }
  // How many promises and observations the oracle has collected. A run with few of them proved little.
  uint64_t info() const { return info_; }

 private:
  struct PartitionInfo {
    std::set<uint64_t> sent;
    std::map<int64_t, uint64_t> records;  // acknowledged or seen
    std::map<std::tuple<int64_t, int16_t, int32_t>, int64_t> sequences;
    int64_t delete_requested = 0;
    int64_t delete_acked = 0;
  };
  struct ValueInfo {
    std::string acked;
    std::set<std::string> possible;  // requested since then, with an unknown outcome
    uint64_t version = 0;            // counts news of the key
  };
  void expect(const TopicPartition& partition, int64_t offset, uint64_t payload, const char* how);
  static std::string name(const TopicPartition& partition);

  std::map<TopicPartition, PartitionInfo> partitions_;
  std::set<Uuid> topics_, creating_, deleting_, deleted_;
  std::map<std::string, std::set<uint64_t>> ids_;
  std::map<std::string, int64_t> counters_;
  std::map<std::string, ValueInfo> values_;
  std::map<std::string, uint64_t> happened_;
  std::vector<std::string> violations_;
  uint64_t info_ = 0;
};

}  // namespace weir::simulation
