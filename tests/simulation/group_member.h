// Consumer groups with members (the classic protocol). Members join, take the assignment of their leader, read on from the
// committed offsets, commit, crash, leave and come back. ConsumerGroup holds the common knowledge of a group's members, and
// judges: a partition has one owner in a generation, generations and committed offsets never go back, and no record is skipped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/errors.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/join_group.h"
#include "simulation/kafka_client.h"
#include "simulation/oracle.h"
#include "storage/types.h"

namespace weir::simulation {

// Oracle::happened.
inline constexpr const char* kGroupRebalanced = "a member got its assignment";
inline constexpr const char* kMemberCrashed = "a member was gone without a word";

class ConsumerGroup {
 public:
  using Assignment = std::map<std::string, std::string>;  // by member id, partitions in a list

  ConsumerGroup(Oracle& oracle, std::string name, int32_t partitions)
      : oracle_(oracle), name_(std::move(name)), partitions_(partitions) {}

  const std::string& name() const { return name_; }
  int32_t partitions() const { return partitions_; }
  Oracle& oracle() { return oracle_; }

  // Generations.
  int32_t synced_generation() const { return synced_generation_; }
  void assigned(int32_t generation, const Assignment& assignment) { assignments_[generation].push_back(assignment); }
  // `at_least`: the generation that was known when the member asked.
  void synced(int32_t generation, int32_t at_least, const std::string& member, const std::string& partitions);

  // Committed offsets.
  int64_t committed(int32_t partition) { return committed_[partition]; }  // acknowledged or seen
  void commit_requested(int32_t partition, int64_t offset) { requested_[partition].insert(offset); }
  void commit_acked(int32_t partition, int64_t offset);
  // `at_least`: the offset that was committed when the member asked. -1: none.
  void commit_found(int32_t partition, int64_t offset, int64_t at_least);

 private:
  Oracle& oracle_;
  std::string name_;
  int32_t partitions_;
  int32_t synced_generation_ = 0;
  std::map<int32_t, std::vector<Assignment>> assignments_;  // a crash may give a generation to two leaders
  std::map<std::pair<int32_t, char>, std::string> owners_;  // by generation and partition
  std::map<int32_t, int64_t> committed_;
  std::map<int32_t, std::set<int64_t>> requested_;
};

struct MemberOptions {
  int64_t timeout_ns = 0;  // of a request; 0: the network is sound
  int32_t session_timeout_ms = 400;
  bool crashes = false;
  bool leaves = false;
};

// Does one thing after the other on the client loop, as long as its scenario lives.
class GroupMember {
 public:
  // `topic`: the topic to read, once it exists.
  GroupMember(runtime::Loop& loop, ConsumerGroup& group, testing::SeededRandom random, MemberOptions options,
              std::function<std::optional<Uuid>()> topic);

  void start();
  // The connection is gone, as after a restart of the broker.
  void drop() { connection_.drop(); }
  // The member crashes and leaves no more, and reads to the end.
  void settle(int64_t now_ns);
  // True once the member has reached the end of all its partitions, as of a moment after settle(), and has committed that.
  bool settled();
  int32_t generation() const { return joined_ ? generation_ : -1; }
  const std::string& assignment() const { return assignment_; }

 private:
  using Result = protocol::FetchResponse::PartitionData;
  void again(int64_t delay_ns);
  void act();
  void join();
  void joined(const protocol::JoinGroupResponse& response, int32_t known);
  void sync(int32_t known, bool leader, const ConsumerGroup::Assignment& assignment);
  void find_offsets();
  void read();
  void fetched(int32_t partition, int64_t sent_ns, const Result& data);
  void commit(int32_t partition);
  void heartbeat();
  void leave();
  void crash();
  // Any error of the group's protocol, or no answer.
  void troubled(std::optional<int16_t> error);

  runtime::Loop& loop_;
  ConsumerGroup& group_;
  testing::SeededRandom random_;
  MemberOptions options_;
  std::function<std::optional<Uuid>()> topic_;
  KafkaClient connection_;

  std::string member_id_;
  int32_t generation_ = -1;
  bool joined_ = false;
  bool positioned_ = false;
  std::string assignment_;  // one character a partition
  struct Position {
    int64_t offset = 0;
    int64_t committed = 0;
    int64_t at_end_ns = -1;  // when the member asked and there was no record from `offset` on
  };
  std::map<int32_t, Position> positions_;
  int64_t heartbeat_due_ns_ = 0;
  int64_t settling_since_ns_ = -1;
};

}  // namespace weir::simulation
