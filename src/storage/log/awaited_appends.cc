#include "storage/log/awaited_appends.h"

#include <algorithm>

#include "base/check.h"
#include "protocol/record_batch.h"
#include "storage/types.h"

namespace weir::storage {

namespace {

// Of the first batch: those of the broker's own runs are of one producer. What is no batch is refused when it is taken.
int64_t producer_of(Bytes records) {
  protocol::BatchHeader header;
  const bool sound = protocol::peek_batch(records, header) == protocol::BatchFault::kNone;
  return sound && header.producer_id >= 0 ? header.producer_id : kNoProducerId;
}

}  // namespace

bool AwaitedAppends::in_line(Partition& partition, Bytes records) const {
  return !lines_.empty() && lines_.contains({&partition, producer_of(records)});
}

bool AwaitedAppends::holds(const Partition& partition) const {
  return std::ranges::any_of(lines_, [&](const auto& line) { return line.first.partition == &partition; });
}

void AwaitedAppends::add(Partition& partition, AwaitedAppend append, std::vector<AppendStage> stages) {
  const Key key{&partition, producer_of(append.records.bytes())};
  const auto waiting = std::make_shared<Waiting>(Waiting{std::move(append), stages.size(), SIZE_MAX});
  lines_[key].waiting.push_back(waiting);
  for (size_t i = 0; i < stages.size(); ++i) {
    stages[i](waiting->append, [this, alive = lifetime_.observe(), key, waiting, i](AppendResult answer) {
      if (alive) answered(key, *waiting, i, std::move(answer));
    });
  }
  if (stages.empty()) take_ready(key);
}

void AwaitedAppends::answered(const Key& key, Waiting& waiting, size_t stage, AppendResult answer) {
  WEIR_CHECK(waiting.unanswered > 0);
  --waiting.unanswered;
  if (answer.error != protocol::ErrorCode::kNone && stage < waiting.refused_by) {
    waiting.refused_by = stage;
    waiting.append.refusal = std::move(answer);
  }
  take_ready(key);
}

// An answered client may append at once: that append is the last one in line.
void AwaitedAppends::take_ready(const Key& key) {
  if (lines_.at(key).taking) return;
  for (;;) {
    Line& line = lines_.at(key);
    if (line.waiting.empty() || line.waiting.front()->unanswered > 0) {
      line.taking = false;
      if (line.waiting.empty()) lines_.erase(key);
      return;
    }
    line.taking = true;
    const std::shared_ptr<Waiting> next = std::move(line.waiting.front());
    line.waiting.pop_front();
    take_(*key.partition, std::move(next->append));
  }
}

}  // namespace weir::storage
