// The history of a run: what clients asked a broker for, and what the broker answered. history_checker.h finds anomalies in it.
//
// The clients have to keep these rules, or the checkers find anomalies that are not the broker's:
// - A value is sent once. It is unique over the run, and 0 is no value.
// - A client is one thread of work: one consumer, one producer, or both. After a crash it comes back as another client.
// - A client that sends to a partition without waiting for the answer before is idempotent.
// - After a request without an answer a producer initializes itself again, before it begins its next transaction.
// - A member commits no offset while an older commit of the same generation has no answer.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace weir::testing {

using OperationId = uint32_t;  // index into History::operations
inline constexpr OperationId kNoOperation = std::numeric_limits<OperationId>::max();
// Index into History::names: a partition, a group, a transactional id.
using NameId = uint32_t;
inline constexpr NameId kNoName = std::numeric_limits<NameId>::max();

enum class Outcome : uint8_t {
  kUnknown,  // no answer: it may have happened, it may happen later, or never
  kOk,
  kFail,  // did not happen, and never will
};

enum class Isolation : uint8_t { kReadUncommitted, kReadCommitted };

// --- Producers

// InitProducerId with a transactional id. Once it is answered, earlier producers of the id are fenced.
struct InitProducer {
  NameId transactional_id = kNoName;
};
// The client alone decides this. `group`: the group whose records the transaction processes.
struct Begin {
  OperationId init = kNoOperation;
  NameId group = kNoName;
};
struct Send {
  NameId partition = kNoName;
  uint64_t key = 0;
  uint64_t value = 0;
  OperationId transaction = kNoOperation;  // its Begin
  uint64_t cause = 0;                      // the value of the processed record
  int64_t offset = -1;                     // of the answer
};
struct PartitionOffset {
  NameId partition = kNoName;
  int64_t offset = -1;
};
// TxnOffsetCommit. `generation` -1: not as a member.
struct SendOffsets {
  OperationId transaction = kNoOperation;
  NameId group = kNoName;
  int32_t generation = -1;
  std::vector<PartitionOffset> offsets = {};
};
struct EndTransaction {
  OperationId transaction = kNoOperation;
  bool commit = false;
};

// --- Consumers

struct PolledRecord {
  int64_t offset = -1;
  uint64_t key = 0;
  uint64_t value = 0;
};
// The consumer's position was at `from` and is at `to` now. The records are all that the broker has shown of that range.
struct PolledRange {
  NameId partition = kNoName;
  int64_t from = 0;
  int64_t to = 0;
  std::vector<PolledRecord> records = {};
};
// `complete`: reads each of its partitions from the start to the end, while no request of others is under way.
struct Poll {
  Isolation isolation = Isolation::kReadCommitted;
  bool complete = false;
  OperationId transaction = kNoOperation;  // the transaction that processes the records
  std::vector<PolledRange> ranges = {};
};
// OffsetCommit. `generation` -1: not as a member.
struct CommitOffsets {
  NameId group = kNoName;
  int32_t generation = -1;
  std::vector<PartitionOffset> offsets = {};
};
// OffsetFetch. `stable`: the broker refuses to show offsets while a transaction holds newer ones. Offset -1: none is committed.
struct FetchOffsets {
  NameId group = kNoName;
  bool stable = false;
  std::vector<PartitionOffset> offsets = {};
};
// The client owns the partitions and starts to read them at new positions. `group` kNoName: it assigned them to itself.
// `member_epoch`: the generation is the member's own epoch (KIP-848), others of the group may be in another one. Then each
// assignment adds to those before it.
struct Assigned {
  NameId group = kNoName;
  int32_t generation = -1;
  std::vector<NameId> partitions = {};
  bool member_epoch = false;
};
// A heartbeat of a client that owns the partitions. It fails if the coordinator refuses it.
struct Kept {
  NameId group = kNoName;
  int32_t generation = -1;
  std::vector<NameId> partitions = {};
};
// The client gives the partitions up. It fails if the coordinator had taken them away before.
struct Revoked {
  NameId group = kNoName;
  int32_t generation = -1;
  std::vector<NameId> partitions = {};
};

// Operations of share groups and streams groups join here.
using OperationBody = std::variant<InitProducer, Begin, Send, SendOffsets, EndTransaction, Poll, CommitOffsets, FetchOffsets,
                                   Assigned, Kept, Revoked>;

struct Operation {
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
  uint32_t client = 0;
  Outcome outcome = Outcome::kUnknown;
  uint64_t invoked = 0;         // in the order of the run, without a unit
  uint64_t completed = kNever;  // kNever if the outcome is unknown
  OperationBody body;
};

struct History {
  std::vector<Operation> operations;  // as they were invoked
  std::vector<std::string> names;
};

// Writes a history down. Any thread may call, and the order of the calls is the order of the run.
class HistoryRecorder {
 public:
  NameId name(std::string_view text);
  NameId partition(std::string_view topic, int32_t index);
  // Before the request is sent. An operation that never ends has an unknown outcome.
  OperationId invoke(uint32_t client, OperationBody body);
  // After the answer. `body` is that of the invocation, with the answer in it.
  void ok(OperationId id, OperationBody body);
  void ok(OperationId id) { end(id, Outcome::kOk); }
  void fail(OperationId id) { end(id, Outcome::kFail); }
  size_t size() const;
  History history() const;

 private:
  void end(OperationId id, Outcome outcome);

  mutable std::mutex mutex_;  // protects all below
  History history_;
  std::map<std::string, NameId, std::less<>> names_;
  uint64_t now_ = 0;
};

// "#12 [30..41] client 3, ok: send 77 (key 5) to orders-0 in #10, at offset 12"
std::string describe(const History& history, OperationId id);
// A line for each operation.
std::string to_text(const History& history);

}  // namespace weir::testing
