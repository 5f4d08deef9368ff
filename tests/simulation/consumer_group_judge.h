// Judges the groups of the consumer-group scenario: by what the broker tells of them, and by what their members know. The
// broker's description and the committed offsets are asked for over a connection of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocol/messages/consumer_group_describe.h"
#include "protocol/messages/offset_fetch.h"
#include "simulation/consumer_member.h"
#include "simulation/consumer_stage.h"

namespace weir::simulation {

class ConsumerGroupJudge {
 public:
  using Done = std::function<void()>;

  explicit ConsumerGroupJudge(ConsumerStage& stage) : stage_(stage), connection_(stage.loop()) {}

  // Has the broker describe the groups. Tries again whatever breaks, until drop().
  void ask(const std::vector<std::string>& groups, Done done);
  // Writes the committed offsets of the groups into the history, for all topics that exist.
  void look_at_offsets(const std::vector<std::string>& groups, Done done);
  void drop();

  // What is not at its end, in words. Empty: each group is Stable as the broker described it, with the living members, and each
  // partition of a topic that one of them subscribes to has one owner.
  std::string unsettled(const std::vector<std::string>& groups, const std::vector<const ConsumerMember*>& living) const;

 private:
  using Response = protocol::ConsumerGroupDescribeResponse;
  struct Description {
    std::string state;
    int32_t epoch = 0;
    int32_t target_epoch = 0;
    struct Member {
      int32_t epoch = 0;
      std::set<TopicPartition> assigned, target;
    };
    std::map<std::string, Member> members;
  };

  void again(Done step);
  void describe(const std::vector<std::string>& groups, const Done& done);
  void described(const Response& response);
  void look_at(const std::vector<std::string>& groups, size_t next, const Done& done);
  void find_coordinator(const std::string& group, Done done);
  bool looked(const protocol::OffsetFetchResponse* response, testing::OperationId id, testing::FetchOffsets fetched);
  std::string unowned(const std::string& group, const std::vector<const ConsumerMember*>& living) const;

  ConsumerStage& stage_;
  KafkaClient connection_;
  uint64_t round_ = 0;  // drop() makes what runs void
  std::map<std::string, Description> descriptions_;
};

}  // namespace weir::simulation
