// SegmentStore in memory, for tests. It keeps the contract of the seam as far as that is not about local files. Reads return
// memory. It does not look into compressed batches.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "storage/segment/checkpoint_plan.h"
#include "storage/segment/replace_plan.h"
#include "storage/segment/segment_store.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage::testing {

class MemorySegmentStore final : public SegmentStore {
 public:
  Result<std::vector<LoadedPartition>> load(const PartitionDeleted&) override {
    std::lock_guard lock(mutex_);
    std::vector<LoadedPartition> all;
    for (const auto& [id, state] : partitions_) {
      LoadedPartition& one = all.emplace_back();
      one.manifest = state.manifest;
      for (const auto& [producer_id, entry] : state.producers) one.producers.push_back(entry);
    }
    return all;
  }

  void checkpoint(std::vector<CheckpointPartition> partitions, runtime::Executor& reply_to,
                  Function<void(Result<std::vector<PartitionManifest>>)> done) override {
    answer(reply_to, std::move(done), checkpoint_now(partitions));
  }

  Result<std::vector<PartitionManifest>> checkpoint_now(const std::vector<CheckpointPartition>& partitions) override {
    std::lock_guard lock(mutex_);
    std::vector<CheckpointPlan> plans;
    for (const CheckpointPartition& checkpoint : partitions) {
      const auto known = partitions_.find(checkpoint.partition);
      PartitionManifest fresh;
      fresh.partition = checkpoint.partition;
      fresh.log_start_offset = checkpoint.log_start_offset;
      fresh.end_offset = checkpoint.batches.empty() ? 0 : checkpoint.batches.front().info.base_offset;
      auto plan = plan_checkpoint(known == partitions_.end() ? fresh : known->second.manifest, checkpoint, {}, {});
      if (!plan) return std::unexpected(std::move(plan.error()));
      plans.push_back(std::move(*plan));
    }
    std::vector<PartitionManifest> manifests;
    for (size_t i = 0; i < plans.size(); ++i) manifests.push_back(apply(plans[i], partitions[i]));
    return manifests;
  }

  void drop(const PartitionId& partition, int64_t, runtime::Executor& reply_to, Function<void(Result<void>)> done) override {
    std::lock_guard lock(mutex_);
    partitions_.erase(partition);
    answer(reply_to, std::move(done), Result<void>());
  }

  Result<uint32_t> begin_rewrite(const PartitionId& partition) override {
    std::lock_guard lock(mutex_);
    const auto known = partitions_.find(partition);
    if (known == partitions_.end()) return fail(ErrorCode::kNotFound, "the partition is gone");
    return ++known->second.generation;
  }

  void replace(SegmentReplacement replacement, runtime::Executor& reply_to,
               Function<void(Result<PartitionManifest>)> done) override {
    std::lock_guard lock(mutex_);
    answer(reply_to, std::move(done), replaced(replacement));
  }

  void discard(const SegmentReplacement& replacement, runtime::Executor&) override {
    std::lock_guard lock(mutex_);
    const auto known = partitions_.find(replacement.partition);
    if (known == partitions_.end()) return;
    for (const auto& group : replacement.groups) {
      for (const SegmentInfo& output : group.outputs) {
        if (!find_segment(known->second.manifest.segments, output)) known->second.segments.erase(name_of(output));
      }
    }
  }

  // Replaced segments go now, whatever their delay.
  void maintain(runtime::Executor& reply_to, Function<void()> done) override {
    std::lock_guard lock(mutex_);
    for (auto& [id, state] : partitions_) {
      std::erase_if(state.segments, [&](const auto& stored) { return state.replaced.contains(stored.first); });
      state.replaced.clear();
    }
    reply_to.post(std::move(done));
  }

  void read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit, runtime::Executor& reply_to,
            Function<void(Result<SegmentRead>)> done) override {
    std::lock_guard lock(mutex_);
    answer(reply_to, std::move(done), found(manifest, offset, limit));
  }

  void find_timestamp(PartitionManifest manifest, int64_t timestamp, runtime::Executor& reply_to,
                      Function<void(Result<TimestampPosition>)> done) override {
    std::lock_guard lock(mutex_);
    TimestampPosition position, largest;
    for (const SegmentInfo& info : manifest.segments) {
      const Stored* stored = find(manifest.partition, info);
      if (!stored) continue;
      each_batch(*stored, info, [&](const BatchHeader& header, Bytes batch) {
        protocol::RecordIterator records(batch);
        protocol::Record record;
        while (records.next(record)) {
          if (record.offset < manifest.log_start_offset) continue;
          const TimestampPosition here{record.offset, record.timestamp, header.partition_leader_epoch};
          if (position.offset < 0 && record.timestamp >= timestamp) position = here;
          if (record.timestamp > largest.timestamp) largest = here;
        }
        return true;
      });
    }
    answer(reply_to, std::move(done), Result<TimestampPosition>(timestamp == kLargestTimestamp ? largest : position));
  }

  Result<std::unique_ptr<SegmentSource>> open_segment(const PartitionId& partition, const SegmentInfo& segment) override {
    std::lock_guard lock(mutex_);
    const Stored* stored = find(partition, segment);
    if (!stored) return fail(ErrorCode::kNotFound, "the segment is gone");
    return std::make_unique<Source>(stored->bytes);
  }

  Result<std::vector<AbortedTransaction>> aborted_transactions(const PartitionId& partition,
                                                               const SegmentInfo& segment) override {
    std::lock_guard lock(mutex_);
    const Stored* stored = find(partition, segment);
    if (!stored) return fail(ErrorCode::kNotFound, "the segment is gone");
    return stored->aborted;
  }

  Result<std::unique_ptr<SegmentSink>> create_segment(const PartitionId& partition, int64_t base_offset,
                                                      uint32_t generation) override {
    return std::make_unique<Sink>(*this, partition, base_offset, generation);
  }

  Result<std::vector<WalSession>> wal_sessions() override { return sessions_; }
  Result<std::vector<WalFile>> wal_files() override { return wal_files_; }
  Result<void> put_wal_sessions(const std::vector<WalSession>& all) override {
    sessions_ = all;
    std::erase_if(guests_, [&](const auto& guest) {
      return std::ranges::none_of(sessions_, [&](const WalSession& session) {
        return session.shard == guest.first.shard && session.incarnation == guest.second;
      });
    });
    return {};
  }
  Result<void> put_wal_sessions_and_files(const std::vector<WalSession>& sessions, const std::vector<WalFile>& files) override {
    wal_files_ = files;
    return put_wal_sessions(sessions);
  }
  Result<void> note_wal_file(uint32_t shard, uint64_t generation) override {
    if (std::ranges::find(wal_files_, WalFile{shard, generation}) == wal_files_.end()) wal_files_.push_back({shard, generation});
    return {};
  }
  Result<void> forget_wal_file(uint32_t shard, uint64_t generation) override {
    std::erase(wal_files_, WalFile{shard, generation});
    return {};
  }
  Result<void> note_wal_guest(const WalGuest& guest) override {
    for (const WalSession& session : sessions_) {
      if (session.shard != guest.shard || session.sealed) continue;
      guests_.emplace(guest, session.incarnation);
      return {};
    }
    return fail(ErrorCode::kInvalid, "the shard has no session");
  }
  Result<std::vector<WalGuest>> wal_guests() override {
    std::vector<WalGuest> guests;
    for (const auto& [guest, incarnation] : guests_) {
      if (guests.empty() || guests.back() != guest) guests.push_back(guest);
    }
    return guests;
  }

 private:
  using Name = std::pair<int64_t, uint32_t>;  // base offset, generation
  struct Stored {
    std::vector<uint8_t> bytes;
    std::vector<AbortedTransaction> aborted;
  };
  struct State {
    PartitionManifest manifest;
    std::map<int64_t, ProducerEntry> producers;
    std::map<Name, Stored> segments;
    std::map<Name, bool> replaced;
    uint32_t generation = 0;
  };

  class Source final : public SegmentSource {
   public:
    explicit Source(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
    Result<size_t> read_at(uint64_t offset, MutableBytes into) override {
      if (offset >= bytes_.size()) return size_t{0};
      const auto size = std::min<size_t>(into.size(), bytes_.size() - offset);
      std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), size, into.begin());
      return size;
    }

   private:
    const std::vector<uint8_t> bytes_;
  };

  class Sink final : public SegmentSink {
   public:
    Sink(MemorySegmentStore& store, const PartitionId& partition, int64_t base_offset, uint32_t generation)
        : store_(store), partition_(partition) {
      info_.base_offset = info_.next_offset = base_offset;
      info_.generation = generation;
      info_.times_known = true;
    }
    Result<void> append(Bytes batch) override {
      const auto header = parse_stored_header(batch);
      WEIR_CHECK(header && header->size() == batch.size() && header->base_offset >= info_.next_offset);
      if (info_.length == 0) info_.first_timestamp = header->max_timestamp;
      if (header->record_count > 0) info_.max_timestamp = std::max(info_.max_timestamp, header->max_timestamp);
      info_.next_offset = header->next_offset();
      info_.length += batch.size();
      stored_.bytes.insert(stored_.bytes.end(), batch.begin(), batch.end());
      return {};
    }
    void add_aborted(const AbortedTransaction& entry) override { stored_.aborted.push_back(entry); }
    Result<SegmentInfo> finish() override {
      info_.aborted = static_cast<uint32_t>(stored_.aborted.size());
      std::lock_guard lock(store_.mutex_);
      const auto known = store_.partitions_.find(partition_);
      if (known != store_.partitions_.end()) known->second.segments[name_of(info_)] = std::move(stored_);
      return info_;
    }
    const SegmentInfo& info() const override { return info_; }

   private:
    MemorySegmentStore& store_;
    const PartitionId partition_;
    SegmentInfo info_;
    Stored stored_;
  };

  static Name name_of(const SegmentInfo& info) { return {info.base_offset, info.generation}; }

  template <typename T>
  static void answer(runtime::Executor& reply_to, Function<void(T)> done, T result) {
    reply_to.post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
  }

  PartitionManifest apply(CheckpointPlan& plan, const CheckpointPartition& checkpoint) {
    State& state = partitions_[checkpoint.partition];
    for (const SegmentWrite& write : plan.writes) {
      Stored& stored = state.segments[{write.base_offset, write.generation}];
      for (const auto& batch : std::span(checkpoint.batches).subspan(write.first_batch, write.batch_count)) {
        stored.bytes.insert(stored.bytes.end(), batch.bytes.data, batch.bytes.data + batch.bytes.size);
      }
      const auto aborted = std::span(checkpoint.aborted).subspan(write.first_aborted, write.aborted_count);
      stored.aborted.insert(stored.aborted.end(), aborted.begin(), aborted.end());
    }
    for (const SegmentInfo& before : state.manifest.segments) {
      if (!find_segment(plan.after.segments, before)) state.segments.erase(name_of(before));
    }
    for (const int64_t producer_id : checkpoint.expired_producers) state.producers.erase(producer_id);
    for (const ProducerEntry& entry : checkpoint.producers) state.producers[entry.producer_id] = entry;
    return state.manifest = std::move(plan.after);
  }

  Result<PartitionManifest> replaced(const SegmentReplacement& replacement) {
    const auto known = partitions_.find(replacement.partition);
    if (known == partitions_.end()) return fail(ErrorCode::kNotFound, "the partition is gone");
    State& state = known->second;
    auto plan = plan_replacement(state.manifest, replacement);
    if (!plan) return std::unexpected(std::move(plan.error()));
    for (const SegmentInfo& segment : plan->removed) {
      if (!find_segment(plan->added, segment)) state.replaced[name_of(segment)] = true;
    }
    for (const SegmentInfo& segment : plan->unused) state.segments.erase(name_of(segment));
    state.manifest.segments = std::move(plan->segments);
    state.manifest.first_dirty_offset = std::max(state.manifest.first_dirty_offset, replacement.first_dirty_offset);
    return state.manifest;
  }

  const Stored* find(const PartitionId& partition, const SegmentInfo& info) const {
    const auto known = partitions_.find(partition);
    if (known == partitions_.end()) return nullptr;
    const auto stored = known->second.segments.find(name_of(info));
    return stored == known->second.segments.end() ? nullptr : &stored->second;
  }

  // Until `visit` returns false.
  template <typename Visit>
  static void each_batch(const Stored& stored, const SegmentInfo& info, Visit visit) {
    protocol::BatchSplitter batches(Bytes(stored.bytes).first(info.length));
    while (batches.next() && visit(batches.header(), batches.batch())) {
    }
  }

  Result<SegmentRead> found(const PartitionManifest& manifest, int64_t offset, ReadLimit limit) const {
    const size_t number = segment_of(manifest, offset);
    const Stored* stored = number < manifest.segments.size() ? find(manifest.partition, manifest.segments[number]) : nullptr;
    if (!stored) return fail(ErrorCode::kNotFound, "the offset is not in the segments");
    SegmentRead read{Slice(), offset, offset};
    std::vector<uint8_t> bytes;
    each_batch(*stored, manifest.segments[number], [&](const BatchHeader& header, Bytes batch) {
      if (header.last_offset() < offset) return true;
      if (header.next_offset() > limit.end_offset || (!bytes.empty() && bytes.size() + batch.size() > limit.bytes)) return false;
      if (bytes.empty()) read.first_offset = header.base_offset;
      bytes.insert(bytes.end(), batch.begin(), batch.end());
      read.next_offset = header.next_offset();
      return true;
    });
    if (!bytes.empty()) read.bytes = Slice::copy_of(Bytes(bytes));
    for (size_t i = number; limit.with_aborted && i < manifest.segments.size(); ++i) {
      const Stored* later = find(manifest.partition, manifest.segments[i]);
      for (size_t entry = 0; later && entry < manifest.segments[i].aborted; ++entry) {
        const AbortedTransaction& aborted = later->aborted[entry];
        if (aborted.last_offset >= offset && aborted.first_offset < read.next_offset) read.aborted.push_back(aborted);
      }
    }
    return read;
  }

  mutable std::mutex mutex_;
  std::map<PartitionId, State> partitions_;
  std::vector<WalSession> sessions_;
  std::vector<WalFile> wal_files_;
  std::set<std::pair<WalGuest, uint64_t>> guests_;  // with the incarnations of their sessions
};

}  // namespace weir::storage::testing
