// A process of the consumer-group scenario: a consumer of the protocol of KIP-848. It heartbeats, takes and gives up partitions,
// reads them on from the committed offsets, and commits, as Kafka's Java client does. By the seed it crashes, leaves, stalls
// until it is a zombie, takes its time to give partitions up, and subscribes to something else.
//
// It writes into the history what it owns, and judges each answer on the spot: a member is refused only if it let a timeout pass
// or missed two answers, epochs rise, and an assignment holds topics of the subscription.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/errors.h"
#include "protocol/messages/consumer_group_heartbeat.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_fetch.h"
#include "simulation/consumer_stage.h"

namespace weir::simulation {

// Oracle::happened.
inline constexpr const char* kPartitionsGiven = "a member got partitions";
inline constexpr const char* kPartitionsRevoked = "a member gave partitions up";
inline constexpr const char* kMemberExpired = "a member was expelled";
inline constexpr const char* kConsumerCrashed = "a consumer crashed";
inline constexpr const char* kStaticMemberLeft = "a static member left for a while";
inline constexpr const char* kInstanceTaken = "an instance was still taken";
inline constexpr const char* kZombieConsumer = "a replaced consumer came back";
inline constexpr const char* kMissedAnswer = "a heartbeat was taken again after its answer was lost";

struct ConsumerRole {
  std::string group;
  std::optional<std::string> instance;
};

class ConsumerMember {
 public:
  // `replace`: another process has to take the role.
  ConsumerMember(ConsumerStage& stage, ConsumerRole role, std::function<void(const ConsumerRole&)> replace);

  void start();
  // The connections are gone, as after a restart of the broker.
  void drop();
  // True if the process is no more.
  bool ended() const { return ended_; }
  // What the member has not brought to its end yet, in words. Empty once it owns what it shall own, has read that to the end and
  // committed it.
  std::string unsettled() const;

  const ConsumerRole& role() const { return role_; }
  const std::string& member_id() const { return member_id_; }
  int32_t epoch() const { return epoch_; }
  const Subscription& subscription() const { return subscription_; }
  std::set<TopicPartition> owned() const;

 private:
  using HeartbeatResponse = protocol::ConsumerGroupHeartbeatResponse;
  using FetchedPartition = protocol::FetchResponse::PartitionData;
  using Partitions = std::set<TopicPartition>;

  // Does something in a while, unless the process has ended by then. A stalled process does it when it goes on.
  void later(int64_t delay_ns, ConsumerStage::Step step);
  void stall(int64_t length_ns);
  void end_process(bool come_again);
  void find_coordinator(KafkaClient& connection, ConsumerStage::Step done);

  // Membership.
  struct Beat {
    testing::OperationId kept = testing::kNoOperation;
    int64_t sent_ns = 0;
    bool full = false;
    bool joins = false;
  };
  void beat_in(int64_t delay_ns);
  void beat();
  void send_heartbeat(const protocol::ConsumerGroupHeartbeatRequest& request, Beat beat);
  void answered(const HeartbeatResponse* response, const Beat& beat);
  void accepted(const HeartbeatResponse& response, const Beat& beat);
  void refused(protocol::ErrorCode error, const Beat& beat);
  void unanswered(int64_t delay_ns);
  // A timeout of the coordinator may have run out, so that the member may have been removed.
  bool lapsed() const;
  void judge_refusal(const char* request, protocol::ErrorCode error);
  void take(const HeartbeatResponse& response);
  void reconcile();
  void give_up(uint64_t incarnation);
  void reconciled();
  void lose();
  void leave(bool for_good);
  void judge_leave(const HeartbeatResponse* response, testing::OperationId id, int32_t epoch);
  void left(bool for_good, int64_t delay_ns);

  // Reading, in consumer_reader.cc.
  struct Position {
    int64_t offset = -1;  // -1: not known yet
    int64_t committed = 0;
    int64_t at_end_ns = -1;  // when the member asked and there was no record from `offset` on
    uint64_t grant = 0;      // tells apart the times that the member owned it
  };
  void again(int64_t delay_ns);
  void work();
  bool misbehave();
  struct AskedPositions {
    testing::OperationId id;
    testing::FetchOffsets fetched;
    std::map<TopicPartition, uint64_t> grants;
    bool judged;  // no heartbeat was under way: nothing excuses a refusal
  };
  void find_positions(const Partitions& partitions);
  void positions_found(const protocol::OffsetFetchResponse* response, AskedPositions asked);
  void read(const TopicPartition& partition);
  void fetched(const TopicPartition& partition, uint64_t grant, const FetchedPartition& data, int64_t sent_ns);
  struct Commit {
    struct Offset {
      TopicPartition partition;
      int64_t offset = 0;
      uint64_t grant = 0;
    };
    testing::OperationId id = testing::kNoOperation;
    std::vector<Offset> offsets = {};
    int32_t epoch = 0;
    uint64_t incarnation = 0;
    ConsumerStage::Step done;  // once the commit is taken or refused
  };
  void commit(const Partitions& partitions, ConsumerStage::Step done);
  void committed(const protocol::OffsetCommitResponse* response, const Commit& commit);
  void commit_again(const Commit& before);
  // The position that a request was about, unless the member has given it up since.
  Position* position(const TopicPartition& partition, uint64_t grant);
  // True for errors after which the coordinator has to be found again.
  static bool elsewhere(protocol::ErrorCode error);

  ConsumerStage& stage_;
  const ConsumerRole role_;
  const uint32_t client_;
  const std::string member_id_;
  const testing::NameId group_;
  const std::function<void(const ConsumerRole&)> replace_;
  KafkaClient heartbeats_, data_;

  bool ended_ = false;
  bool replaced_ = false;
  bool stalled_ = false;
  std::vector<ConsumerStage::Step> asleep_;

  Subscription subscription_;
  std::string assignor_;
  int32_t epoch_ = 0;
  uint64_t incarnation_ = 0;  // the member joined so many times
  bool beating_ = false;      // a heartbeat is under way
  uint64_t beat_timer_ = 0;   // the timer that counts
  uint64_t beats_ = 0;
  uint64_t missed_ = 0;  // heartbeats without an answer since the last accepted one
  int64_t accepted_ns_ = -1;
  int64_t interval_ns_ = 0;
  bool leaving_ = false;
  struct Sent {
    Subscription subscription;
    std::optional<Partitions> owned;
  };
  std::optional<Sent> sent_;            // nothing: the next heartbeat says everything
  std::vector<Subscription> possible_;  // subscriptions that the coordinator may know
  bool had_regex_ = false;

  Partitions target_;  // what the coordinator wants the member to own
  bool target_is_new_ = false;
  Partitions granted_;  // what the coordinator has given to the member, as the history knows
  std::map<TopicPartition, Position> owned_;
  Partitions revoking_;
  bool reconciling_ = false;
  int64_t revocation_asked_ns_ = -1;
  Partitions to_acknowledge_;                      // given up, and not yet told
  std::vector<testing::OperationId> revocations_;  // told, and not yet answered

  bool committing_ = false;
  uint64_t grants_ = 0;
};

}  // namespace weir::simulation
