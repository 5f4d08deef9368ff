#include "load/wire.h"

#include <time.h>

#include <array>
#include <random>

namespace load {
namespace {

constexpr size_t kBatchHeaderBytes = 61;
constexpr size_t kLengthAt = 8;
constexpr size_t kCrcAt = 17;
constexpr size_t kCrcStart = 21;
constexpr size_t kAttributesAt = 21;
constexpr uint64_t kTransactional = 0x10;
constexpr size_t kProducerAt = 43;

void put(uint8_t* at, uint64_t value, int size) {
  for (int i = 0; i < size; ++i) at[i] = static_cast<uint8_t>(value >> (8 * (size - 1 - i)));
}

std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (0x82f63b78u & (0u - (value & 1)));
    table[i] = value;
  }
  return table;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc32c_by_instruction(std::span<const uint8_t> bytes) {
  uint64_t crc = 0xffffffffu;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    __builtin_memcpy(&word, bytes.data() + i, 8);
    crc = __builtin_ia32_crc32di(crc, word);
  }
  auto crc32 = static_cast<uint32_t>(crc);
  for (; i < bytes.size(); ++i) crc32 = __builtin_ia32_crc32qi(crc32, bytes[i]);
  return crc32 ^ 0xffffffffu;
}
#endif

int64_t realtime_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

void die(const std::string& message) { throw Failure(message); }

void Writer::unsigned_varint(uint64_t v) {
  for (; v >= 0x80; v >>= 7) bytes_.push_back(static_cast<uint8_t>(v | 0x80));
  bytes_.push_back(static_cast<uint8_t>(v));
}

void Writer::varint(int64_t v) { unsigned_varint((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63)); }

void Writer::string(std::string_view v) {
  i16(static_cast<int16_t>(v.size()));
  bytes_.insert(bytes_.end(), v.begin(), v.end());
}

void Writer::compact_string(std::string_view v) {
  unsigned_varint(v.size() + 1);
  bytes_.insert(bytes_.end(), v.begin(), v.end());
}

void Writer::patch_i32(size_t at, int32_t v) { put(bytes_.data() + at, static_cast<uint32_t>(v), 4); }

std::span<const uint8_t> Reader::take(size_t size) {
  if (size > rest_.size()) die("a response ended too early");
  auto taken = rest_.first(size);
  rest_ = rest_.subspan(size);
  return taken;
}

uint64_t Reader::unsigned_varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = number<uint8_t>();
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  die("a varint is too long");
}

int64_t Reader::varint() {
  uint64_t value = unsigned_varint();
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

std::string_view Reader::string() {
  int16_t size = i16();
  auto bytes = take(size < 0 ? 0 : static_cast<size_t>(size));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view Reader::compact_string() {
  uint64_t size = unsigned_varint();
  auto bytes = take(size == 0 ? 0 : size - 1);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void Reader::skip_tags() {
  for (uint64_t count = unsigned_varint(); count > 0; --count) {
    unsigned_varint();
    take(unsigned_varint());
  }
}

uint32_t crc32c(std::span<const uint8_t> bytes) {
#if defined(__x86_64__)
  static const bool by_instruction = __builtin_cpu_supports("sse4.2");
  if (by_instruction) return crc32c_by_instruction(bytes);
#endif
  static const auto table = crc_table();
  uint32_t crc = 0xffffffffu;
  for (uint8_t byte : bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return crc ^ 0xffffffffu;
}

Batch::Batch(int record_count, int record_bytes, uint64_t seed)
    : Batch(std::vector<std::string>(static_cast<size_t>(record_count)), record_bytes, seed) {}

Batch::Batch(const std::vector<std::string>& keys, int record_bytes, uint64_t seed)
    : record_count_(static_cast<int>(keys.size())) {
  std::mt19937_64 random(seed);
  int64_t now_ms = realtime_ms();
  Writer out;
  out.i64(0);   // base offset
  out.i32(0);   // length, patched below
  out.i32(-1);  // partition leader epoch
  out.i8(2);    // magic
  out.i32(0);   // checksum, see seal()
  out.i16(0);   // attributes
  out.i32(record_count_ - 1);
  out.i64(now_ms);
  out.i64(now_ms);
  out.i64(-1);  // producer id
  out.i16(-1);  // producer epoch
  out.i32(-1);  // base sequence
  out.i32(record_count_);
  std::vector<uint8_t> value(static_cast<size_t>(record_bytes));
  for (int i = 0; i < record_count_; ++i) {
    for (auto& byte : value) byte = static_cast<uint8_t>(random());
    Writer record;
    record.i8(0);      // attributes
    record.varint(0);  // timestamp delta
    record.varint(i);  // offset delta
    const std::string& key = keys[static_cast<size_t>(i)];
    record.varint(key.empty() ? -1 : static_cast<int64_t>(key.size()));
    record.raw({reinterpret_cast<const uint8_t*>(key.data()), key.size()});
    record.varint(record_bytes);
    record.raw(value);
    record.varint(0);  // no headers
    out.varint(static_cast<int64_t>(record.size()));
    out.raw(record.bytes());
    value_at_.push_back(out.size() - 1 - value.size());
  }
  out.patch_i32(kLengthAt, static_cast<int32_t>(out.size() - kLengthAt - 4));
  bytes_ = std::move(out.bytes());
  seal();
}

void Batch::set_transactional() { put(bytes_.data() + kAttributesAt, kTransactional, 2); }

void Batch::set_producer(ProducerIdentity producer, int32_t base_sequence) {
  put(bytes_.data() + kProducerAt, static_cast<uint64_t>(producer.id), 8);
  put(bytes_.data() + kProducerAt + 8, static_cast<uint16_t>(producer.epoch), 2);
  put(bytes_.data() + kProducerAt + 10, static_cast<uint32_t>(base_sequence), 4);
}

void Batch::stamp(int index, int64_t stamp) {
  put(bytes_.data() + value_at_[static_cast<size_t>(index)], static_cast<uint64_t>(stamp), 8);
}

void Batch::seal() { put(bytes_.data() + kCrcAt, crc32c(std::span(bytes_).subspan(kCrcStart)), 4); }

void for_each_batch(std::span<const uint8_t> bytes, const std::function<void(const BatchView&)>& callback) {
  while (bytes.size() >= kBatchHeaderBytes) {
    Reader header(bytes);
    int64_t base_offset = header.i64();
    size_t size = static_cast<size_t>(header.i32()) + kLengthAt + 4;
    if (size > bytes.size()) return;
    header.take(kCrcStart - 12 + 2);
    int32_t last_delta = header.i32();
    header.take(8 + 8 + 8 + 2 + 4);
    int32_t count = header.i32();
    callback(
        {base_offset, count, base_offset + last_delta + 1, size, bytes.subspan(kBatchHeaderBytes, size - kBatchHeaderBytes)});
    bytes = bytes.subspan(size);
  }
}

void for_each_value(const BatchView& batch, const std::function<void(std::span<const uint8_t>)>& callback) {
  Reader in(batch.records);
  for (int32_t i = 0; i < batch.record_count; ++i) {
    Reader record(in.take(static_cast<size_t>(in.varint())));
    record.i8();
    record.varint();
    record.varint();
    int64_t key_bytes = record.varint();
    if (key_bytes > 0) record.take(static_cast<size_t>(key_bytes));
    callback(record.take(static_cast<size_t>(record.varint())));
  }
}

int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace load
