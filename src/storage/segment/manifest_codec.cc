#include "storage/segment/manifest_codec.h"

#include <algorithm>

#include "base/bytes.h"

namespace weir::storage {

namespace {

constexpr size_t kEpochBytes = 12;
constexpr size_t kProducerBytes = 23;
constexpr size_t kProducerBatchBytes = 28;

class Writer {
 public:
  explicit Writer(size_t capacity) { bytes_.reserve(capacity); }
  template <typename T>
  Writer& put(T value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    store_be(bytes_.data() + bytes_.size() - sizeof(T), value);
    return *this;
  }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

// The caller has checked that the bytes are there.
class Reader {
 public:
  explicit Reader(const uint8_t* at) : at_(at) {}
  template <typename T>
  T get() {
    const T value = load_be<T>(at_);
    at_ += sizeof(T);
    return value;
  }

 private:
  const uint8_t* at_;
};

}  // namespace

std::vector<uint8_t> encode_epochs(const std::vector<EpochStart>& epochs) {
  Writer out(epochs.size() * kEpochBytes);
  for (const EpochStart& start : epochs) out.put(start.epoch).put(start.start_offset);
  return out.take();
}

Result<std::vector<EpochStart>> decode_epochs(Bytes bytes) {
  if (bytes.size() % kEpochBytes != 0) return fail(ErrorCode::kCorrupt, "stored epoch history has an impossible length");
  std::vector<EpochStart> epochs(bytes.size() / kEpochBytes);
  Reader in(bytes.data());
  for (EpochStart& start : epochs) {
    start.epoch = in.get<int32_t>();
    start.start_offset = in.get<int64_t>();
  }
  return epochs;
}

std::vector<uint8_t> encode_producer(const ProducerEntry& entry) {
  Writer out(kProducerBytes + entry.batches.size() * kProducerBatchBytes);
  out.put(entry.producer_epoch).put(entry.coordinator_epoch).put(entry.last_timestamp).put(entry.transaction_first_offset);
  out.put(static_cast<uint8_t>(entry.batches.size()));
  for (const ProducerBatch& batch : entry.batches) {
    out.put(batch.base_sequence).put(batch.last_sequence).put(batch.last_offset).put(batch.offset_delta).put(batch.timestamp);
  }
  return out.take();
}

Result<ProducerEntry> decode_producer(int64_t producer_id, Bytes bytes) {
  if (bytes.size() < kProducerBytes || bytes[kProducerBytes - 1] > kProducerBatches ||
      bytes.size() != kProducerBytes + bytes[kProducerBytes - 1] * kProducerBatchBytes) {
    return fail(ErrorCode::kCorrupt, "stored producer entry has an impossible length");
  }
  Reader in(bytes.data());
  ProducerEntry entry;
  entry.producer_id = producer_id;
  entry.producer_epoch = in.get<int16_t>();
  entry.coordinator_epoch = in.get<int32_t>();
  entry.last_timestamp = in.get<int64_t>();
  entry.transaction_first_offset = in.get<int64_t>();
  entry.batches.resize(in.get<uint8_t>());
  for (ProducerBatch& batch : entry.batches) {
    batch.base_sequence = in.get<int32_t>();
    batch.last_sequence = in.get<int32_t>();
    batch.last_offset = in.get<int64_t>();
    batch.offset_delta = in.get<int32_t>();
    batch.timestamp = in.get<int64_t>();
    if (batch.offset_delta < 0 || batch.last_offset < batch.offset_delta) {
      return fail(ErrorCode::kCorrupt, "stored producer entry has an impossible offset");
    }
  }
  return entry;
}

}  // namespace weir::storage
