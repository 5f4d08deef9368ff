#include "storage/log/partition_snapshot.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/crc32c.h"
#include "base/varint.h"

namespace weir::storage {

namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kCrcBytes = 4;
constexpr uint8_t kTimesKnown = 1, kAgeKnown = 2;

class Encoder {
 public:
  void byte(uint8_t value) { bytes_.push_back(value); }
  void raw(Bytes bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void number(int64_t value) {
    std::array<uint8_t, 10> coded;
    raw({coded.data(), write_varint64(coded.data(), value)});
  }
  void count(uint64_t value) {
    std::array<uint8_t, 10> coded;
    raw({coded.data(), write_uvarint(coded.data(), value)});
  }
  void fixed(uint32_t value) {
    std::array<uint8_t, sizeof value> coded;
    store_be(coded.data(), value);
    raw(coded);
  }
  Bytes bytes() const { return bytes_; }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

// After the first fault it returns zeros only.
class Decoder {
 public:
  explicit Decoder(Bytes bytes) : left_(bytes) {}

  bool ok() const { return ok_; }
  bool done() const { return ok_ && left_.empty(); }
  void require(bool condition) {
    if (condition) return;
    ok_ = false;
    left_ = {};
  }
  uint8_t byte() { return raw(1)[0]; }
  Bytes raw(size_t size) {
    static constexpr uint8_t kZeros[16] = {};
    require(size <= left_.size());
    if (!ok_) return {kZeros, size};
    const Bytes taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }
  uint32_t fixed() { return load_be<uint32_t>(raw(sizeof(uint32_t)).data()); }
  template <typename T>
  T number() {
    int64_t value = 0;
    take(read_varint64(left_, value));
    require(std::in_range<T>(value));
    return ok_ ? static_cast<T>(value) : T{};
  }
  template <typename T>
  T count() {
    uint64_t value = 0;
    take(read_uvarint64(left_, value));
    require(std::in_range<T>(value));
    return ok_ ? static_cast<T>(value) : T{};
  }
  // Reads a count of elements that take so many bytes each at least.
  size_t elements(size_t least_bytes) {
    const auto number = count<size_t>();
    require(number <= left_.size() / least_bytes);
    return ok_ ? number : 0;
  }

 private:
  void take(size_t size) {
    require(size > 0);
    left_ = left_.subspan(ok_ ? size : 0);
  }
  Bytes left_;
  bool ok_ = true;
};

static_assert(sizeof(SegmentInfo) == 80, "a field more: encode it, and raise the version once a version is stored");

void encode(Encoder& out, const SegmentInfo& segment) {
  out.number(segment.base_offset);
  out.number(segment.next_offset);
  out.count(segment.length);
  out.number(segment.max_timestamp);
  out.number(segment.first_timestamp);
  out.number(segment.created_ms);
  out.number(segment.modified_ms);
  out.count(segment.generation);
  out.count(segment.directory);
  out.byte(static_cast<uint8_t>((segment.times_known ? kTimesKnown : 0) | (segment.age_known ? kAgeKnown : 0)));
  out.count(segment.aborted);
  out.fixed(segment.aborted_crc);
}
constexpr size_t kSegmentBytesMin = 15;

SegmentInfo decode_segment(Decoder& in) {
  SegmentInfo segment;
  segment.base_offset = in.number<int64_t>();
  segment.next_offset = in.number<int64_t>();
  segment.length = in.count<uint64_t>();
  segment.max_timestamp = in.number<int64_t>();
  segment.first_timestamp = in.number<int64_t>();
  segment.created_ms = in.number<int64_t>();
  segment.modified_ms = in.number<int64_t>();
  segment.generation = in.count<uint32_t>();
  segment.directory = in.count<uint32_t>();
  const uint8_t flags = in.byte();
  in.require((flags & ~(kTimesKnown | kAgeKnown)) == 0 && segment.base_offset >= 0 && segment.base_offset < segment.next_offset);
  segment.times_known = (flags & kTimesKnown) != 0;
  segment.age_known = (flags & kAgeKnown) != 0;
  segment.aborted = in.count<uint32_t>();
  segment.aborted_crc = in.fixed();
  return segment;
}

void encode(Encoder& out, const ProducerEntry& entry) {
  out.number(entry.producer_id);
  out.number(entry.producer_epoch);
  out.number(entry.coordinator_epoch);
  out.number(entry.last_timestamp);
  out.number(entry.transaction_first_offset);
  out.count(entry.batches.size());
  for (const ProducerBatch& batch : entry.batches) {
    out.number(batch.base_sequence);
    out.number(batch.last_sequence);
    out.number(batch.last_offset);
    out.number(batch.offset_delta);
    out.number(batch.timestamp);
  }
}
constexpr size_t kProducerBytesMin = 6, kProducerBatchBytesMin = 5;

ProducerEntry decode_producer(Decoder& in) {
  ProducerEntry entry;
  entry.producer_id = in.number<int64_t>();
  entry.producer_epoch = in.number<int16_t>();
  entry.coordinator_epoch = in.number<int32_t>();
  entry.last_timestamp = in.number<int64_t>();
  entry.transaction_first_offset = in.number<int64_t>();
  const size_t batches = in.elements(kProducerBatchBytesMin);
  in.require(batches <= kProducerBatches && entry.producer_id >= 0 && entry.transaction_first_offset >= -1);
  for (size_t i = 0; i < batches && in.ok(); ++i) {
    ProducerBatch batch;
    batch.base_sequence = in.number<int32_t>();
    batch.last_sequence = in.number<int32_t>();
    batch.last_offset = in.number<int64_t>();
    batch.offset_delta = in.number<int32_t>();
    batch.timestamp = in.number<int64_t>();
    in.require(batch.offset_delta >= 0 && batch.last_offset >= batch.offset_delta);
    entry.batches.push_back(batch);
  }
  return entry;
}

// Checks that the parts do not contradict each other.
bool sound(const PartitionSnapshot& snapshot) {
  const PartitionManifest& manifest = snapshot.manifest;
  if (manifest.partition.index < 0 || manifest.log_start_offset < 0 || manifest.first_dirty_offset < 0) return false;
  if (manifest.end_offset < (manifest.segments.empty() ? 0 : manifest.segments.back().next_offset)) return false;
  const auto overlap = [](const SegmentInfo& a, const SegmentInfo& b) { return a.next_offset > b.base_offset; };
  const auto no_younger = [](const EpochStart& a, const EpochStart& b) {
    return a.epoch >= b.epoch || a.start_offset > b.start_offset;
  };
  const auto no_higher = [](const ProducerEntry& a, const ProducerEntry& b) { return a.producer_id >= b.producer_id; };
  return std::ranges::adjacent_find(manifest.segments, overlap) == manifest.segments.end() &&
         std::ranges::adjacent_find(manifest.epochs, no_younger) == manifest.epochs.end() &&
         std::ranges::adjacent_find(snapshot.producers, no_higher) == snapshot.producers.end();
}

}  // namespace

std::vector<uint8_t> encode_partition_snapshot(const PartitionSnapshot& snapshot) {
  const PartitionManifest& manifest = snapshot.manifest;
  Encoder out;
  out.byte(kVersion);
  out.raw(manifest.partition.topic.bytes);
  out.number(manifest.partition.index);
  out.number(manifest.log_start_offset);
  out.number(manifest.end_offset);
  out.number(manifest.first_dirty_offset);
  out.count(manifest.place.directory);
  out.count(manifest.place.target);
  out.count(manifest.segments.size());
  for (const SegmentInfo& segment : manifest.segments) encode(out, segment);
  out.count(manifest.epochs.size());
  for (const EpochStart& start : manifest.epochs) {
    out.number(start.epoch);
    out.number(start.start_offset);
  }
  out.count(snapshot.producers.size());
  for (const ProducerEntry& producer : snapshot.producers) encode(out, producer);
  out.fixed(crc32c(out.bytes()));
  return out.take();
}

Result<PartitionSnapshot> decode_partition_snapshot(Bytes bytes) {
  const auto damaged = [](const char* why) { return fail(ErrorCode::kCorrupt, std::string("a partition's snapshot ") + why); };
  if (bytes.size() <= kCrcBytes) return damaged("is cut short");
  const Bytes body = bytes.first(bytes.size() - kCrcBytes);
  if (crc32c(body) != load_be<uint32_t>(bytes.data() + body.size())) return damaged("does not match its checksum");
  if (body[0] != kVersion) return damaged("is of a version that is not known here");
  Decoder in(body.subspan(1));
  PartitionSnapshot snapshot;
  PartitionManifest& manifest = snapshot.manifest;
  std::ranges::copy(in.raw(manifest.partition.topic.bytes.size()), manifest.partition.topic.bytes.begin());
  manifest.partition.index = in.number<int32_t>();
  manifest.log_start_offset = in.number<int64_t>();
  manifest.end_offset = in.number<int64_t>();
  manifest.first_dirty_offset = in.number<int64_t>();
  manifest.place.directory = in.count<uint32_t>();
  manifest.place.target = in.count<uint32_t>();
  for (size_t left = in.elements(kSegmentBytesMin); left > 0 && in.ok(); --left) manifest.segments.push_back(decode_segment(in));
  for (size_t left = in.elements(2); left > 0 && in.ok(); --left) {
    const auto epoch = in.number<int32_t>();
    manifest.epochs.push_back({epoch, in.number<int64_t>()});
  }
  for (size_t left = in.elements(kProducerBytesMin); left > 0 && in.ok(); --left)
    snapshot.producers.push_back(decode_producer(in));
  if (!in.done() || !sound(snapshot)) return damaged("has impossible fields");
  return snapshot;
}

}  // namespace weir::storage
