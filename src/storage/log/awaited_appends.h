// Appends that wait for answers before the shard may take them. The pool answers, which opens their records
// (preparation_turns.h), or another component that is asked about them. Meanwhile each producer keeps its order in each
// partition: an append waits behind the producer's earlier ones. Other producers pass. Batches without a producer id count as one
// producer's.
//
// An answer may come at any time, also inline, and also after the partition was dropped or the shard failed. The shard takes the
// append then, and refuses it. A dropped partition has to live as long as it has appends here.
//
// Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "base/lifetime.h"
#include "storage/log/append_result.h"
#include "storage/log/partition.h"
#include "storage/log/transactions.h"

namespace weir::storage {

struct AwaitedAppend {
  Slice records;
  AppendFrom from = AppendFrom::kClient;
  AppendOptions options;
  Function<void(AppendResult)> done;
  AppendResult refusal = {};  // if its error is set, it is the answer
};

// Something that an append waits for. Asked once, on the loop; calls `answered` once, on the loop, with an error if the append is
// refused. Until then it may change the records.
using AppendStage = Function<void(AwaitedAppend& append, Function<void(AppendResult)> answered)>;

class AwaitedAppends {
 public:
  using Take = Function<void(Partition&, AwaitedAppend)>;

  // `take` is called with each append whose turn it is.
  explicit AwaitedAppends(Take take) : take_(std::move(take)) {}
  ~AwaitedAppends() { lifetime_.end(); }

  // Whether a batch in `records` would have to wait behind others.
  bool in_line(Partition& partition, Bytes records) const;
  // All stages are asked at once. Of several that refuse, the first one in `stages` is told.
  void add(Partition& partition, AwaitedAppend append, std::vector<AppendStage> stages);
  bool holds(const Partition& partition) const;

 private:
  struct Key {
    Partition* partition;
    int64_t producer_id;
    bool operator==(const Key&) const = default;
  };
  struct HashOfKey {
    size_t operator()(const Key& key) const {
      return std::hash<Partition*>()(key.partition) + static_cast<size_t>(key.producer_id) * 0x9e3779b97f4a7c15ull;
    }
  };
  struct Waiting {
    AwaitedAppend append;
    size_t unanswered = 0;
    size_t refused_by = SIZE_MAX;  // number of the stage
  };
  struct Line {
    std::deque<std::shared_ptr<Waiting>> waiting;
    bool taking = false;
  };

  void answered(const Key& key, Waiting& waiting, size_t stage, AppendResult answer);
  void take_ready(const Key& key);

  Take take_;
  std::unordered_map<Key, Line, HashOfKey> lines_;
  // Answers may come after this object is gone.
  Lifetime lifetime_;
};

}  // namespace weir::storage
