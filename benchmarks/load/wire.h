// The part of the protocol that a load generator speaks: big-endian fields, record batches, one version of each API.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace load {

// Ends the program, unless a workload expects it: a load generator that goes on after an error measures nothing.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void die(const std::string& message);

class Writer {
 public:
  void i8(int8_t v) { bytes_.push_back(static_cast<uint8_t>(v)); }
  void i16(int16_t v) { number(static_cast<uint16_t>(v)); }
  void i32(int32_t v) { number(static_cast<uint32_t>(v)); }
  void i64(int64_t v) { number(static_cast<uint64_t>(v)); }
  void unsigned_varint(uint64_t v);
  void varint(int64_t v);  // zigzag, as in records
  void string(std::string_view v);
  void compact_string(std::string_view v);
  void raw(std::span<const uint8_t> v) { bytes_.insert(bytes_.end(), v.begin(), v.end()); }
  void patch_i32(size_t at, int32_t v);
  size_t size() const { return bytes_.size(); }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  template <typename T>
  void number(T v) {
    for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
      bytes_.push_back(static_cast<uint8_t>(v >> shift));
    }
  }
  std::vector<uint8_t> bytes_;
};

// Reads a response. Dies if it ends too early.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : rest_(bytes) {}
  int8_t i8() { return static_cast<int8_t>(number<uint8_t>()); }
  int16_t i16() { return static_cast<int16_t>(number<uint16_t>()); }
  int32_t i32() { return static_cast<int32_t>(number<uint32_t>()); }
  int64_t i64() { return static_cast<int64_t>(number<uint64_t>()); }
  uint64_t unsigned_varint();
  int64_t varint();
  std::string_view string();
  std::string_view compact_string();
  std::span<const uint8_t> take(size_t size);
  void skip_tags();
  size_t left() const { return rest_.size(); }

 private:
  template <typename T>
  T number() {
    T v = 0;
    for (uint8_t byte : take(sizeof(T))) v = static_cast<T>((v << 8) | byte);
    return v;
  }
  std::span<const uint8_t> rest_;
};

uint32_t crc32c(std::span<const uint8_t> bytes);

struct ProducerIdentity {
  int64_t id = -1;
  int16_t epoch = -1;
};

// One record batch (format 2), built once and sent many times. Fields that change between two sends are patched in place.
class Batch {
 public:
  // `record_bytes` is the size of each value; values do not compress.
  Batch(int record_count, int record_bytes, uint64_t seed);
  // A record for each of the keys. An empty string stands for no key.
  Batch(const std::vector<std::string>& keys, int record_bytes, uint64_t seed);
  std::span<const uint8_t> bytes() const { return bytes_; }
  int record_count() const { return record_count_; }
  void set_producer(ProducerIdentity producer, int32_t base_sequence);
  void set_transactional();
  // Writes `stamp` into the first eight bytes of the value of record `index`.
  void stamp(int index, int64_t stamp);
  void seal();  // computes the checksum anew

 private:
  std::vector<uint8_t> bytes_;
  std::vector<size_t> value_at_;
  int record_count_;
};

struct BatchView {
  int64_t base_offset;
  int32_t record_count;
  int64_t next_offset;
  size_t bytes;  // of the whole batch
  std::span<const uint8_t> records;
};
// Calls `callback` for each whole batch. Leaves out a batch that is cut off at the end: fetch responses may hold one.
void for_each_batch(std::span<const uint8_t> bytes, const std::function<void(const BatchView&)>& callback);
// Calls `callback` with the value of each record of an uncompressed batch.
void for_each_value(const BatchView& batch, const std::function<void(std::span<const uint8_t>)>& callback);

int64_t monotonic_ns();

}  // namespace load
