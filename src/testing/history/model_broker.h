// A little model of a broker: logs with transactions, the coordinators of transactions and of groups. It is right, or has one
// fault. history_model.h lets clients work with it. One thread.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <vector>

#include "testing/history/history.h"
#include "testing/seeded_random.h"

namespace weir::testing {

enum class ModelFault : uint8_t {
  kNone,
  kReadPastOpen,         // committed reads pass transactions that are not decided
  kShowAborted,          // committed reads show aborted records
  kHideCommitted,        // committed reads hide a transaction as if it were aborted
  kTornCommit,           // a commit writes an abort marker to one partition
  kLoseAppend,           // an acknowledged record is not in the log
  kAppendTwice,          // a record is appended twice
  kAppendRefused,        // a record is appended, and the client hears that it was refused
  kFillHole,             // an append leaves a hole, which a later one fills
  kMisplaceRecord,       // a record goes to another partition
  kZombieAppends,        // an append does not look at the epoch: the record joins the transaction of the new producer
  kZombieCommits,        // neither does the end of a transaction: it ends that of the new producer
  kSkipRecord,           // a poll leaves a record out
  kShowAgain,            // a poll begins before the offset that was asked for
  kApplyAbortedOffsets,  // an abort applies the pending offsets
  kLoseOffsets,          // a commit forgets the pending offsets
  kShowUnstableOffsets,  // a fetch of stable offsets shows the old ones while newer ones are pending
  kAnyGeneration,        // commits of offsets do not look at the generation
  kGenerationStays,      // a member takes the partitions over in the same generation
};
inline constexpr size_t kModelFaults = static_cast<size_t>(ModelFault::kGenerationStays) + 1;

// A producer as the broker sees it in a request.
struct ModelProducer {
  NameId id = kNoName;
  int32_t epoch = -1;
  OperationId transaction = kNoOperation;  // the client's Begin; kNoOperation: sends without one
};

class ModelBroker {
 public:
  ModelBroker(SeededRandom random, ModelFault fault) : random_(random), fault_(fault) {}

  // Requests. They take effect at once, fill in their answers, and say whether they were carried out.
  int32_t init(NameId id);
  Outcome send(const ModelProducer& producer, Send& send);
  Outcome send_offsets(const ModelProducer& producer, const SendOffsets& sent);
  Outcome end(const ModelProducer& producer, bool commit);
  PolledRange poll(NameId partition, int64_t from, Isolation isolation, int64_t records_max);
  Outcome commit(const CommitOffsets& commit);
  Outcome fetch(FetchOffsets& fetch);
  int32_t join(NameId group);
  Outcome leave(const Revoked& revoked);

  // The broker's own work.
  void write_markers();  // some of those that decided transactions still need
  void time_out();       // aborts some transaction
  void settle();         // all of both

  int64_t end_of(NameId partition, Isolation isolation);

 private:
  struct Record {
    uint64_t key = 0;
    uint64_t value = 0;  // 0: a marker or a hole
    int32_t transaction = -1;
  };
  struct Partition {
    std::vector<Record> records;
    std::map<int32_t, int64_t> open;  // transaction, its first offset
    std::map<int32_t, bool> markers;  // transaction, commit
    int64_t hole = -1;
  };
  struct Transaction {
    enum State : uint8_t { kOngoing, kDecided, kDone };
    NameId id = kNoName;
    State state = kOngoing;
    bool commit = false;
    std::set<NameId> partitions;  // without a marker
    NameId group = kNoName;
    std::map<NameId, int64_t> offsets;  // pending
  };
  struct Coordinator {
    int32_t epoch = -1;
    int32_t current = -1;
  };
  struct Group {
    int32_t generation = 0;
    std::map<NameId, int64_t> offsets;
  };

  bool strikes(ModelFault fault) { return fault_ == fault && random_.one_in(3); }
  // An element by chance.
  template <typename Elements>
  auto one_of(const Elements& elements) {
    return std::next(elements.begin(), static_cast<int64_t>(random_.below(elements.size())));
  }
  // The transaction that the request belongs to, begun if need be. -1: refused.
  int32_t transaction_of(const ModelProducer& producer, ModelFault unchecked);
  void append(NameId partition, const Record& record);
  void decide(int32_t transaction, bool commit);
  void write_marker(int32_t transaction, NameId partition);
  void write_some_marker();
  void apply_offsets(Transaction& transaction);
  void finish(int32_t transaction);

  SeededRandom random_;
  const ModelFault fault_;
  std::map<NameId, Partition> partitions_;
  std::vector<Transaction> transactions_;
  std::map<OperationId, int32_t> by_begin_;
  std::set<int32_t> ongoing_, decided_;
  std::map<NameId, Coordinator> coordinators_;
  std::map<NameId, Group> groups_;
};

}  // namespace weir::testing
