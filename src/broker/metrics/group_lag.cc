#include "broker/metrics/group_lag.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <tuple>

#include "broker/server/metrics.h"
#include "protocol/record_batch.h"

namespace weir::broker {

namespace {

constexpr size_t kRowsPerSlice = 256;
// Read of a batch on disk: enough for the record, in most batches.
constexpr size_t kHeadBytes = size_t{64} << 10;

// The timestamp of the record at `offset`, or of the next one after it. `batches` may end in the middle of a batch. -1: not
// there.
int64_t timestamp_of(Bytes batches, int64_t offset) {
  while (batches.size() >= protocol::BatchHeader::kSize) {
    const protocol::BatchHeader header = protocol::BatchHeader::parse(batches.data());
    if (header.batch_length <= 0) return -1;
    if (header.next_offset() <= offset) {
      if (batches.size() <= header.size()) return -1;
      batches = batches.subspan(header.size());
      continue;
    }
    if (header.log_append_time()) return header.max_timestamp;
    if (header.delete_horizon()) return header.max_timestamp;
    if (header.compressed()) return header.base_timestamp;
    protocol::RecordIterator records(header, batches.subspan(protocol::BatchHeader::kSize));
    for (protocol::Record record; records.next(record);) {
      if (record.offset >= offset) return record.timestamp;
    }
    return header.base_timestamp;
  }
  return -1;
}

}  // namespace

struct GroupLagCollector::Shard {
  struct Position {
    storage::PartitionId partition;
    int64_t offset = 0;
    bool operator==(const Position&) const = default;
  };
  struct PositionHash {
    size_t operator()(const Position& p) const {
      return std::hash<storage::PartitionId>()(p.partition) * 31 + std::hash<int64_t>()(p.offset);
    }
  };
  using Timestamps = std::unordered_map<Position, int64_t, PositionHash>;
  Timestamps timestamps;  // of the last scrape's rows
};

struct GroupLagCollector::Round final : runtime::Homebound {
  Round(BrokerShard& on, unsigned shards, Function<void(GroupLags)> end)
      : Homebound(on.loop), home(on.index()), done(std::move(end)), rows(shards), unlisted(shards), left(shards) {}
  unsigned home;
  Function<void(GroupLags)> done;
  std::vector<std::vector<GroupLag>> rows;  // by shard: first as the coordinators list them, then as the partitions lie
  std::vector<uint64_t> unlisted;
  size_t left;
};

// Fills in the rows whose partitions lie on one shard, on its loop.
class GroupLagCollector::Lookup final : public runtime::Homebound {
 public:
  Lookup(BrokerShard& shard, Shard& memory, runtime::Pool& pool, std::vector<GroupLag>& rows, Function<void()> done)
      : Homebound(shard.loop), shard_(shard), memory_(memory), pool_(pool), rows_(rows), done_(std::move(done)) {}

  void slice() {
    for (const size_t end = std::min(rows_.size(), next_ + kRowsPerSlice); next_ < end; ++next_) look_up(rows_[next_]);
    if (next_ < rows_.size()) return shard_.loop.post([self = runtime::HomeRef(this)] { self->slice(); });
    arrived();
  }

 private:
  void look_up(GroupLag& row) {
    const storage::PartitionId id = row.topic->partition(row.partition);
    storage::Partition* partition = shard_.log.find(id);
    if (partition == nullptr) return;
    row.lag = std::max<int64_t>(0, partition->high_watermark() - row.committed);
    if (row.lag == 0) {
      row.lag_ms = 0;
      return;
    }
    const Shard::Position position{id, std::max(row.committed, partition->log_start_offset())};
    if (position.offset >= partition->high_watermark()) return;
    if (const auto known = memory_.timestamps.find(position); known != memory_.timestamps.end()) {
      return found(row, position, known->second);
    }
    if (reads_++ < kReadsPerScrape) read(*partition, row, position);
  }

  void read(storage::Partition& partition, GroupLag& row, const Shard::Position& position) {
    storage::ReadRequest request;
    request.offset = position.offset;
    request.max_bytes = 1;
    storage::ReadResult result;
    ++pending_;
    const bool now = shard_.log.read(
        partition, request, result,
        [self = runtime::HomeRef(this), &row, position](storage::ReadResult late) { self->read_arrived(row, position, late); });
    if (now) read_arrived(row, position, result);
  }

  void read_arrived(GroupLag& row, const Shard::Position& position, const storage::ReadResult& result) {
    if (result.error != protocol::ErrorCode::kNone || result.pieces.empty()) return arrived();
    if (const Slice* slice = std::get_if<Slice>(&result.pieces.front())) {
      found(row, position, timestamp_of(slice->bytes(), position.offset));
      return arrived();
    }
    struct Head {
      storage::FileRange range;
      std::string bytes;
      int64_t timestamp = -1;
    };
    auto head = std::make_shared<Head>();
    head->range = std::get<storage::FileRange>(result.pieces.front());
    pool_.submit(
        [head, offset = position.offset] {
          head->bytes.resize(std::min<size_t>(head->range.length, kHeadBytes));
          auto* const to = reinterpret_cast<uint8_t*>(head->bytes.data());
          const auto read = head->range.file->read_at(head->range.offset, {to, head->bytes.size()});
          if (read) head->timestamp = timestamp_of({to, *read}, offset);
        },
        shard_.loop,
        [self = runtime::HomeRef(this), &row, position, head] {
          self->found(row, position, head->timestamp);
          self->arrived();
        });
  }

  void found(GroupLag& row, const Shard::Position& position, int64_t timestamp) {
    if (timestamp < 0) return;
    seen_.emplace(position, timestamp);
    row.lag_ms = std::max<int64_t>(0, storage::ms_between(timestamp, shard_.loop.clock().wall_ms()));
  }

  void arrived() {
    if (--pending_ > 0) return;
    memory_.timestamps = std::move(seen_);
    done_();
  }

  BrokerShard& shard_;
  Shard& memory_;
  runtime::Pool& pool_;
  std::vector<GroupLag>& rows_;
  Function<void()> done_;
  Shard::Timestamps seen_;
  size_t next_ = 0;
  size_t reads_ = 0;
  size_t pending_ = 1;  // the walk itself
};

GroupLagCollector::GroupLagCollector(GroupCoordinators& groups, runtime::Pool& pool)
    : groups_(groups), broker_(groups.broker()), pool_(pool) {
  for (unsigned i = 0; i < broker_.shard_count(); ++i) shards_.push_back(std::make_unique<Shard>());
}

GroupLagCollector::~GroupLagCollector() = default;

void GroupLagCollector::collect(unsigned home, Function<void(GroupLags)> done) {
  const unsigned count = broker_.shard_count();
  auto round = runtime::make_homebound<Round>(broker_.shard(home), count, std::move(done));
  for (unsigned i = 0; i < count; ++i) {
    broker_.run_on(i, [this, i, round] {
      list(i, *round);
      broker_.run_on(round->home, [this, round] {
        if (--round->left == 0) listed(round);
      });
    });
  }
}

// Lists the offsets of a shard's coordinators.
void GroupLagCollector::list(unsigned shard, Round& round) const {
  const MetadataImage& image = *broker_.shard(shard).image;
  std::vector<GroupLag>& rows = round.rows[shard];
  const size_t most = kListedMax / broker_.shard_count();
  const auto list_topic = [&](const std::string& group, std::string_view type, const std::string& name,
                              const coordination::CommittedOffsets::Partitions& partitions) {
    const TopicPtr* topic = image.find_shared(name);
    if (topic == nullptr) return;
    for (const auto& [index, offset] : partitions) {
      const bool same = offset.topic_id.is_zero() || offset.topic_id == (*topic)->id();
      if (rows.size() == most) return;
      if (same && (*topic)->has_partition(index)) rows.push_back({group, type, *topic, index, offset.offset});
    }
  };
  uint64_t all = 0;
  groups_.for_each_state(shard, [&](const coordination::GroupCoordinatorState& state) {
    all += state.offset_count();
    for (const auto& [group, topics] : state.offsets().groups()) {
      if (rows.size() == most) return;
      const std::string_view type = state.type_of(group);
      for (const auto& [name, partitions] : topics) list_topic(group, type, name, partitions);
    }
  });
  if (rows.size() == most) round.unlisted[shard] = all - most;
}

void GroupLagCollector::listed(runtime::HomeRef<Round> round) {
  const unsigned count = broker_.shard_count();
  std::vector<std::vector<GroupLag>> by_owner(count);
  for (std::vector<GroupLag>& rows : round->rows) {
    for (GroupLag& row : rows) by_owner[broker_.owner(row.topic->partition(row.partition))].push_back(std::move(row));
  }
  round->rows = std::move(by_owner);
  round->left = count;
  for (unsigned i = 0; i < count; ++i) {
    broker_.run_on(i, [this, i, round] {
      auto arrived = [this, round] {
        broker_.run_on(round->home, [this, round] {
          if (--round->left > 0) return;
          GroupLags lags;
          for (std::vector<GroupLag>& rows : round->rows) {
            std::move(rows.begin(), rows.end(), std::back_inserter(lags.rows));
          }
          for (const uint64_t unlisted : round->unlisted) lags.unlisted += unlisted;
          lags.memory_bytes = groups_.memory().used_bytes();
          round->done(std::move(lags));
        });
      };
      runtime::make_homebound<Lookup>(broker_.shard(i), *shards_[i], pool_, round->rows[i], std::move(arrived))->slice();
    });
  }
}

// --- text -----------------------------------------------------------------------------------------------------------

namespace {

// Group ids may be anything.
std::string label_of(std::string_view text) {
  std::string escaped;
  append_label_value(escaped, text);
  return escaped;
}

}  // namespace

void append_group_lags(std::string& out, const GroupLags& lags) {
  auto to = std::back_inserter(out);
  const auto head = [&](const char* name, const char* help) {
    fmt::format_to(to, "# HELP {} {}\n# TYPE {} gauge\n", name, help, name);
  };
  std::vector<const GroupLag*> rows;
  for (const GroupLag& row : lags.rows) {
    if (row.lag >= 0) rows.push_back(&row);
  }
  std::sort(rows.begin(), rows.end(), [](const GroupLag* x, const GroupLag* y) {
    return std::tie(x->group, x->topic->name(), x->partition) < std::tie(y->group, y->topic->name(), y->partition);
  });
  const auto row_of = [&](const char* name, const GroupLag& row, auto value) {
    fmt::format_to(to, "{}{{group=\"{}\",type=\"{}\",topic=\"{}\",partition=\"{}\"}} {}\n", name, label_of(row.group), row.type,
                   row.topic->name(), row.partition, value);
  };
  if (!rows.empty()) {
    constexpr const char* kLag = "weir_consumer_group_lag";
    head(kLag, "Records that a group has not committed.");
    for (const GroupLag* row : rows) row_of(kLag, *row, row->lag);
    constexpr const char* kSeconds = "weir_consumer_group_lag_seconds";
    head(kSeconds, "Age of the first record that a group has not committed; 0 if there is none.");
    for (const GroupLag* row : rows) {
      if (row->lag_ms >= 0) row_of(kSeconds, *row, static_cast<double>(row->lag_ms) / 1000);
    }
  }
  head("weir_unlisted_group_offsets", "Committed offsets beyond the most that are listed one by one.");
  fmt::format_to(to, "weir_unlisted_group_offsets {}\n", lags.unlisted);
  head("weir_group_memory_bytes", "What groups hold in memory, estimated.");
  fmt::format_to(to, "weir_group_memory_bytes {}\n", lags.memory_bytes);
}

}  // namespace weir::broker
