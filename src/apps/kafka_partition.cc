#include "apps/kafka_partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/counted.h"
#include "protocol/record_batch_builder.h"

namespace weir::apps {

namespace {

namespace fs = std::filesystem;

// A long log may know of more producers than a broker could remember. Kafka forgets a producer that is idle for a day.
constexpr size_t kProducersMax = 100'000;
constexpr int64_t kProducerIdleMs = 86'400'000;
constexpr int64_t kFillMax = int64_t{1} << 40;

// Records without a time are as old as Kafka's file.
int64_t modified_ms(const std::string& path) {
  std::error_code error;
  const auto modified = fs::last_write_time(path, error);
  if (error) return 0;
  const auto since_epoch = std::chrono::file_clock::to_sys(modified).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count();
}

class PartitionReader {
 public:
  PartitionReader(runtime::FileSystem& files, const KafkaPartitionFolder& folder, const KafkaPartitionInfo& info)
      : files_(files), folder_(folder), info_(info), name_(fmt::format("{}-{}", folder.topic, folder.partition)) {}

  Result<KafkaPartitionImport> run() {
    import_.manifest.partition = {info_.topic_id, folder_.partition};
    choose_epochs();
    using Step = Result<void> (PartitionReader::*)();
    for (const Step step :
         {&PartitionReader::read_segments, &PartitionReader::check_gaps, &PartitionReader::check_begin,
          &PartitionReader::check_end, &PartitionReader::check_producers, &PartitionReader::settle, &PartitionReader::fill_end}) {
      if (auto ok = (this->*step)(); !ok) return std::unexpected(ok.error());
    }
    return std::move(import_);
  }

 private:
  std::unexpected<Error> refuse(std::string what) { return fail(ErrorCode::kCorrupt, std::move(what)); }
  std::unexpected<Error> refuse_missing(const std::string& what) {
    return refuse(what + ": acknowledged records are missing. Bring the files back from a copy, or delete the topic in Kafka");
  }
  void uncertain(std::string what) { import_.uncertain.push_back(std::move(what)); }

  void choose_epochs();
  Result<void> read_segments();
  Result<void> accept_damage(const KafkaSegmentFile& file, const KafkaSegment& segment, bool last);
  Result<void> check_gaps();
  Result<void> check_begin();
  Result<void> check_end();
  Result<void> check_producers();
  Result<void> settle();
  Result<void> fill_end();
  int64_t end() const { return state_.next_offset.value_or(0); }

  runtime::FileSystem& files_;
  const KafkaPartitionFolder& folder_;
  const KafkaPartitionInfo& info_;
  const std::string name_;
  KafkaPartitionState state_;
  KafkaPartitionImport import_;
};

// The checkpoint has no checksum, and somebody may have edited it.
void PartitionReader::choose_epochs() {
  state_.highest_epoch = std::min(info_.leader_epoch.value_or(kHighestKafkaEpoch), kHighestKafkaEpoch);
  const auto descends = [](const auto& a, const auto& b) { return a.epoch >= b.epoch || a.start_offset > b.start_offset; };
  const auto& told = folder_.epochs;
  if (std::ranges::adjacent_find(told, descends) != told.end()) {
    uncertain(fmt::format("{}/leader-epoch-checkpoint goes back and is not believed.", folder_.path));
  } else if (!told.empty() && told.back().epoch > state_.highest_epoch) {
    uncertain(fmt::format("{}/leader-epoch-checkpoint tells of epoch {}, the highest can be {}: it is not believed.",
                          folder_.path, told.back().epoch, state_.highest_epoch));
  } else {
    state_.told_epochs = told;
  }
}

Result<void> PartitionReader::read_segments() {
  for (size_t i = 0; i < folder_.segments.size(); ++i) {
    const KafkaSegmentFile& file = folder_.segments[i];
    auto segment = read_kafka_segment(files_, file, state_);
    if (!segment) return std::unexpected(segment.error());
    if (!segment->damage.empty()) {
      if (auto ok = accept_damage(file, *segment, i + 1 == folder_.segments.size()); !ok) return ok;
    }
    if (segment->wrong_epochs > 0) {
      uncertain(fmt::format("{}: {} batches claimed a leader epoch that cannot be; they have the right one now.", file.path,
                            segment->wrong_epochs));
    }
    while (state_.log.producers().size() > kProducersMax &&
           !state_.log.producers().expire(info_.now_ms - kProducerIdleMs).empty()) {
    }
    if (segment->info.length == 0) continue;
    // Whether the times that its headers say are right, the broker finds out (SegmentInfo::times_known).
    segment->info.created_ms = segment->info.modified_ms = modified_ms(file.path);
    import_.bytes += segment->info.length;
    import_.manifest.segments.push_back(segment->info);
    import_.files.push_back({.from = file.path,
                             .info = segment->info,
                             .index = std::move(segment->index),
                             .aborted = std::move(segment->aborted),
                             .own = segment->wrong_epochs > 0,
                             .mend_epochs = segment->wrong_epochs > 0,
                             .copied = segment->info.length,
                             .filler = {}});
  }
  import_.batches = state_.batches;
  if (!import_.files.empty()) import_.files.back().own = true;  // it is appended to from now on
  if (folder_.segments.empty()) uncertain(fmt::format("{} has no segment; it is empty.", folder_.path));
  return {};
}

Result<void> PartitionReader::accept_damage(const KafkaSegmentFile& file, const KafkaSegment& segment, bool last) {
  const std::string what =
      fmt::format("{}: {}; {} bytes follow the last intact batch", file.path, segment.damage, segment.trailing_bytes);
  if (!last) {
    return refuse(what +
                  ". It is not the last segment, so acknowledged records are damaged: restore it from a copy, or delete "
                  "the topic in Kafka");
  }
  if (info_.clean && !info_.accept_unclean) {
    return refuse(what + ", although Kafka ended cleanly. Give --accept-unclean to cut the log there");
  }
  const std::string left =
      end() > 0 ? fmt::format("{} was cut after offset {}", name_, end() - 1) : "Nothing of " + name_ + " is left";
  import_.cut.push_back(fmt::format("{}: {}.", left, what));
  return {};
}

// Segments follow each other without a gap, and so do their batches, but where compaction left something out.
Result<void> PartitionReader::check_gaps() {
  if (info_.clean && !folder_.orphans.empty()) {
    return refuse_missing(
        fmt::format("{} ({} such files) is of a segment that is not there", folder_.orphans.front(), folder_.orphans.size()));
  }
  if (!folder_.orphans.empty()) {
    uncertain(
        fmt::format("{} ({} such files) is of a segment that is not there.", folder_.orphans.front(), folder_.orphans.size()));
  }
  const KafkaGaps& between = state_.between;
  const KafkaGaps& within = state_.within;
  if (info_.compacted.value_or(false)) {
    if (between.count == 0) return {};
    uncertain(
        fmt::format("{} lacks {} offsets between segments, first {}: compaction leaves such gaps, and nothing tells whether a "
                    "segment is missing there.",
                    name_, between.offsets, between.first));
    return {};
  }
  if (between.count + within.count == 0) return {};
  const std::string what = fmt::format("{} lacks {} offsets, first {}", name_, between.offsets + within.offsets,
                                       between.count > 0 ? between.first : within.first);
  if (info_.compacted) return refuse_missing(what + ", and it was never compacted");
  if (!info_.accept_unclean) {
    return refuse(what +
                  ", and neither a metadata log nor cleaner-offset-checkpoint tells whether it was compacted. If it was, give "
                  "--accept-unclean; else records are missing: bring the files back from a copy");
  }
  uncertain(what + ": taken as compacted.");
  return {};
}

Result<void> PartitionReader::check_begin() {
  if (folder_.segments.empty() || info_.tiered) return {};
  const KafkaSegmentFile& first = folder_.segments.front();
  // Kafka notes a log start only if it lies above the first segment's begin, and does so when it stops.
  if (info_.log_start && *info_.log_start < first.base_offset) {
    const std::string what = fmt::format("{} begins at offset {} (log-start-offset-checkpoint), but its first segment is {}",
                                         name_, *info_.log_start, first.path);
    if (info_.clean) return refuse_missing(what);
    uncertain(what + ": retention may have removed those before it.");
  } else if (!state_.told_epochs.empty() && state_.told_epochs.front().start_offset < first.base_offset) {
    uncertain(
        fmt::format("{} begins at offset {} (leader-epoch-checkpoint), but its first segment is {}: retention may have removed "
                    "those before it.",
                    name_, state_.told_epochs.front().start_offset, first.path));
  }
  return {};
}

// The end that the files tell of is nowhere below the one that Kafka noted.
Result<void> PartitionReader::check_end() {
  int64_t noted = 0;
  const char* by = "";
  const auto note = [&](std::optional<int64_t> offset, const char* file) {
    if (!offset || *offset <= noted) return;
    noted = *offset;
    by = file;
  };
  note(info_.recovery_point, "recovery-point-offset-checkpoint");
  note(info_.log_start, "log-start-offset-checkpoint");
  if (!state_.told_epochs.empty()) note(state_.told_epochs.back().start_offset, "leader-epoch-checkpoint");
  if (info_.clean) note(folder_.last_snapshot, "the snapshot of its producers");
  if (noted <= end()) return {};
  const std::string what = fmt::format("{} ends at offset {}, but {} says that it went on to {}", folder_.path, end(), by, noted);
  if (!info_.accept_unclean) {
    return refuse(what +
                  ": acknowledged records are missing. Bring the files back from a copy, or give --accept-unclean to go on "
                  "without them");
  }
  import_.cut.push_back(fmt::format("{} was cut after offset {}: {}.", name_, end() - 1, what));
  return {};
}

Result<void> PartitionReader::check_producers() {
  import_.max_producer_id = state_.max_producer_id;
  for (storage::ProducerEntry entry : state_.log.producers().entries()) {
    entry.coordinator_epoch = -1;  // coordinators begin anew here, in whatever epoch
    import_.producers.push_back(std::move(entry));
  }
  if (const auto& open = state_.log.open_transactions(); !open.empty() && !info_.with_coordinators) {
    const auto [first_offset, producer] = *open.begin();
    import_.not_taken.push_back(
        fmt::format("{}: {} not ended, the first of producer {} from offset {} on; the broker aborts what nobody ends "
                    "(weir.transaction.abort.orphans).",
                    name_, counted(open.size(), "transaction was", "transactions were"), producer, first_offset));
  }
  return {};
}

Result<void> PartitionReader::settle() {
  storage::PartitionManifest& manifest = import_.manifest;
  int64_t log_start = info_.log_start.value_or(0);
  if (!folder_.segments.empty()) log_start = std::max(log_start, folder_.segments.front().base_offset);
  manifest.log_start_offset = std::min(log_start, end());
  manifest.end_offset = end();
  // The batches tell the epochs up to where the checkpoint begins. The checkpoint also knows epochs without any batch left.
  for (const auto& epoch : state_.log.epochs()) {
    if (state_.told_epochs.empty() || epoch.start_offset < state_.told_epochs.front().start_offset)
      manifest.epochs.push_back(epoch);
  }
  for (const auto& epoch : state_.told_epochs) {
    if (epoch.start_offset < end()) manifest.epochs.push_back(epoch);
  }
  return {};
}

// Compaction may have emptied the end of the log. Offsets go on where they were, and a reader there needs a batch to go on from.
Result<void> PartitionReader::fill_end() {
  storage::PartitionManifest& manifest = import_.manifest;
  int64_t from = import_.files.empty() ? manifest.log_start_offset : import_.files.back().info.next_offset;
  const int64_t to = manifest.end_offset;
  if (manifest.log_start_offset >= to || from >= to) return {};
  if (to - from > kFillMax) {
    return refuse(fmt::format("{} has no records from offset {} on, but ends at {}: that cannot be", folder_.path, from, to));
  }
  if (import_.files.empty()) {
    const int64_t modified = modified_ms(folder_.segments.back().path);
    KafkaPartitionImport::File made;
    made.own = true;
    made.info.base_offset = from;
    made.info.created_ms = made.info.modified_ms = modified;
    import_.files.push_back(std::move(made));
    manifest.segments.emplace_back();
  }
  KafkaPartitionImport::File& file = import_.files.back();
  while (from < to) {
    protocol::RecordBatchBuilder empty(
        {.base_offset = from, .partition_leader_epoch = std::max(epoch_at(manifest.epochs, from), 0)});
    empty.set_last_offset(std::min<int64_t>(to - 1, from + INT32_MAX / 2));
    file.filler += as_string(empty.finish());
    from = std::min<int64_t>(to, from + INT32_MAX / 2 + 1);
  }
  file.info.next_offset = to;
  file.info.length += file.filler.size();
  manifest.segments.back() = file.info;
  return {};
}

}  // namespace

Result<KafkaPartitionImport> read_kafka_partition(runtime::FileSystem& files, const KafkaPartitionFolder& folder,
                                                  const KafkaPartitionInfo& info) {
  return PartitionReader(files, folder, info).run();
}

}  // namespace weir::apps
