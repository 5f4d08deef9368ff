// One fetch request from its partitions to its response: read rounds over the shards, and the wait in between.
//
//   begin -> read round -> enough? -> respond
//              ^             | no
//              |             v
//            woken <- wait (a waiter on each partition's shard, a timer at home)
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "broker/fetch/fetch_session.h"
#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/fetch.h"

namespace weir::broker {

struct FetchItem {
  storage::PartitionId id;
  // What is asked.
  int64_t offset = 0;
  uint64_t max_bytes = 0;
  int32_t leader_epoch = -1;
  int32_t last_fetched_epoch = -1;
  // The answer of the last round.
  storage::ReadResult read;
  int32_t diverging_epoch = -1;
  int64_t diverging_end_offset = -1;
  // While waiting; the partition's shard only.
  uint64_t waiter = 0;
};

class FetchOperation final : public ShardedOperation<FetchItem> {
 public:
  FetchOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}
  void begin();

  static constexpr TopicNaming kNaming{.ids_from = 13};

  // Sessions may have thousands of partitions: so many are read, or waited for, in one turn of a loop.
  static constexpr size_t kPartitionsPerTurn = 256;

 private:
  enum class State { kReading, kWaiting, kWaitingForTurn, kWaitingForMemory, kDone };

  // A partition of the response, in the order of the request or the session.
  struct Answer {
    std::string_view topic;
    TopicId topic_id;
    int32_t index = 0;
    protocol::ErrorCode error{};
    FetchItem* item = nullptr;                                      // unless refused at once
    SessionPartition* remembered = nullptr;                         // with an incremental session
    const protocol::FetchRequest::FetchPartition* asked = nullptr;  // without one
  };

  // Session (fetch_operation_session.cc)
  uint64_t memory_of_partitions() const;
  bool open_session();
  void end_with(protocol::ErrorCode error, int32_t session_id);
  void add_from_request();
  void add_from_session();
  void add(Answer answer, FetchItem asked);
  bool by_id() const { return context_->version() >= kNaming.ids_from; }
  protocol::ErrorCode find_partition(const Answer& answer, storage::PartitionId& id) const;

  // Rounds
  void run(Part& part) override;
  void complete() override;
  void read_some(Part& part, size_t first, uint64_t budget, bool at_least_one);
  void read_item(Part& part, FetchItem& item, uint64_t& budget, bool& at_least_one);
  static protocol::ErrorCode check_epochs(const storage::Partition& partition, FetchItem& item);
  void trim();

  // Waiting
  void wait();
  void wait_on(Part& part, size_t first);
  void notice(Part& part, bool inline_at_home);
  void stop_waiting_on(Part& part, size_t first);
  static void stop_waiting_for(Part& part, FetchItem& item);
  static size_t end_of_turn(const Part& part, size_t first) { return std::min(first + kPartitionsPerTurn, part.items.size()); }
  template <typename Rest>
  void walk_on(Part& part, Rest rest);
  void woken();
  void arm_timer();
  void timer_fired();
  void finish();
  bool reserve_memory();
  void let_data_go(State until);
  void read_again(State waited);
  void stop_called();

  // Response (fetch_operation_response.cc)
  void respond();
  void fill(protocol::FetchResponse::PartitionData& data, const Answer& answer);
  std::span<protocol::FetchResponse::AbortedTransaction> aborted_of(const storage::ReadResult& read);
  void attach_records(protocol::FetchResponse::PartitionData& data, FetchItem& item);
  void create_session(protocol::FetchResponse& response);

  protocol::FetchRequest request_;
  FetchSessionPtr session_;   // of an incremental fetch
  bool new_session_ = false;  // a full fetch that asks for one
  bool read_committed_ = false;
  uint64_t max_bytes_ = 0;
  uint64_t min_bytes_ = 0;
  int64_t deadline_ns_ = 0;
  std::vector<FetchItem> items_;
  std::vector<Answer> answers_;
  uint64_t bytes_ = 0;       // read in the last round
  bool failed_ = false;      // some partition answers with an error or has diverged
  bool last_round_ = false;  // whatever it finds is the answer

  Reservation memory_;  // for the response's data
  MemoryBudget::Ticket ticket_ = 0;

  State state_ = State::kReading;
  runtime::TimerId timer_;
  std::list<Function<void()>>::iterator on_stop_;
  bool stop_noted_ = false;
};

}  // namespace weir::broker
