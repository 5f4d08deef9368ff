// Primitive types of the Kafka protocol: how they are read from a frame and written to one.
//
// Messages (protocol/messages/*.h, generated) are built on these two classes. Both carry the first error
// instead of returning one from each call: a message is decoded or encoded as a whole and then asked once.
// `flexible` selects the compact encodings of KIP-482.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "protocol/arena.h"

namespace weir::protocol {

// Record batches inside a message. A response may name bytes that are sent from elsewhere (slices of the log,
// ranges of a file): with external_size > 0 only the length goes into the message and the Writer notes where
// the bytes belong.
struct Records {
  Bytes data{};
  bool null = false;
  uint64_t external_size = 0;
  uint32_t external_id = 0;
};

// Reads a message in place: strings and bytes point into the input, arrays into the arena. Both must outlive
// the message. After a failure every read returns zero or nothing, and the input counts as used up. Element
// counts are checked against the bytes left before memory is taken for them.
class Reader {
 public:
  Reader(Bytes in, Arena& arena) : position_(in.data()), end_(in.data() + in.size()), arena_(&arena) {}

  bool ok() const { return error_ == nullptr; }
  const char* error() const { return error_; }  // nullptr if there was none; a constant otherwise
  Bytes remaining() const { return {position_, end_}; }
  Arena& arena() { return *arena_; }
  // Elements of arrays, those of arrays within others included: what a request can multiply. One more than the limit fails,
  // before memory is taken for them.
  size_t elements() const { return elements_; }
  void limit_elements(size_t most) { elements_max_ = most; }
  bool too_many_elements() const { return elements_ > elements_max_; }
  void fail(const char* reason);

  bool boolean() { return i8() != 0; }
  int8_t i8() { return fixed<int8_t>(); }
  int16_t i16() { return fixed<int16_t>(); }
  uint16_t u16() { return fixed<uint16_t>(); }
  int32_t i32() { return fixed<int32_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  int64_t i64() { return fixed<int64_t>(); }
  double f64();
  Uuid uuid();
  uint32_t uvarint();

  std::string_view string(bool flexible);
  std::optional<std::string_view> nullable_string(bool flexible);
  Bytes bytes(bool flexible);
  std::optional<Bytes> nullable_bytes(bool flexible);
  Records records(bool flexible, bool nullable);

  // Arrays of primitive types: (u)int8..64, bool, Uuid, string_view.
  template <typename T>
  std::span<T> values(bool flexible);
  template <typename T>
  std::optional<std::span<T>> nullable_values(bool flexible);

  // Arrays of structures with decode(Reader&, version) and min_wire_size(version).
  template <typename T>
  std::span<T> structs(bool flexible, int16_t version) {
    return structs_of<T>(count(flexible, T::min_wire_size(version)), version);
  }
  template <typename T>
  std::optional<std::span<T>> nullable_structs(bool flexible, int16_t version) {
    const int64_t n = nullable_count(flexible, T::min_wire_size(version));
    if (n < 0) return std::nullopt;
    return structs_of<T>(n, version);
  }
  // One byte says whether a structure follows; nullptr if not.
  template <typename T>
  const T* nullable_struct(int16_t version) {
    return i8() >= 0 ? struct_in_arena<T>(version) : nullptr;
  }
  // In a tagged field the byte is a variable-length integer, and null is 0.
  template <typename T>
  const T* tagged_nullable_struct(int16_t version) {
    return uvarint() > 0 ? struct_in_arena<T>(version) : nullptr;
  }
  // What a tagged structure counts as that is not there and does not default to null.
  template <typename T>
  const T* empty_struct() {
    const T* value = arena_->create<T>();
    if (value == nullptr) fail_memory();
    return value;
  }

  // Fails if a field is null in a version that does not allow it.
  void require(bool present) {
    if (!present && ok()) fail("null in a field that must not be null");
  }

 private:
  friend class TagReader;

  template <typename T>
  T fixed() {
    if (static_cast<size_t>(end_ - position_) < sizeof(T)) {
      fail_truncated();
      return 0;
    }
    const T value = load_be<T>(position_);
    position_ += sizeof(T);
    return value;
  }
  template <typename T>
  std::span<T> structs_of(int64_t n, int16_t version) {
    auto all = arena_->array<T>(static_cast<size_t>(n));
    if (all.size() != static_cast<size_t>(n)) fail_memory();
    for (T& one : all) {
      if (!ok()) break;
      one.decode(*this, version);
    }
    return all;
  }
  template <typename T>
  const T* struct_in_arena(int16_t version) {
    if (!ok()) return nullptr;
    T* value = arena_->create<T>();
    if (value == nullptr) fail_memory();
    else value->decode(*this, version);
    return value;
  }
  template <typename T>
  std::span<T> values_of(int64_t n);
  Bytes take(size_t size);
  int64_t length(bool flexible, bool wide);  // -1 is null
  int64_t count(bool flexible, size_t element_bytes);
  int64_t nullable_count(bool flexible, size_t element_bytes);
  void fail_truncated();
  void fail_memory();

  const uint8_t* position_;
  const uint8_t* end_;
  Arena* arena_;
  const char* error_ = nullptr;
  size_t elements_ = 0;
  size_t elements_max_ = std::numeric_limits<size_t>::max();
};

// Walks the tagged fields at the end of a structure. Tags must ascend; a value must be exactly as long as it
// says.
//   for (TagReader tags(reader); tags.next();) switch (tags.tag()) { case 0: ...; break; default:
//   tags.skip(); }
class TagReader {
 public:
  explicit TagReader(Reader& reader) : reader_(reader), left_(reader.uvarint()) {}
  bool next();
  uint32_t tag() const { return static_cast<uint32_t>(tag_); }
  void skip() { reader_.position_ = reader_.end_; }

 private:
  Reader& reader_;
  uint32_t left_;
  int64_t tag_ = -1;
  const uint8_t* outer_end_ = nullptr;
};

// Bytes that belong into a written message but are not in the Writer: they go in front of its byte
// `position`.
struct Insertion {
  size_t position;
  uint32_t external_id;
  uint64_t size;
};

// Is told of the fields that mean the same in every message, as they are written.
class FieldObserver {
 public:
  virtual void error_code(int16_t code) = 0;  // also of elements, and where it is 0
  // `position`: where its bytes begin in the Writer, for patch_i32().
  virtual void throttle_time_ms(size_t position) = 0;

 protected:
  ~FieldObserver() = default;
};

// Writes messages behind each other into one growing buffer. clear() keeps the memory. A value that cannot be
// expressed (null where it is not allowed, a non-default value in a field that the version lacks and that
// must not be dropped) sets error(); what was written is then of no use.
class Writer {
 public:
  Writer() = default;
  Writer(Writer&&) noexcept = default;
  Writer& operator=(Writer&&) noexcept = default;

  bool ok() const { return error_ == nullptr; }
  const char* error() const { return error_; }
  void fail(const char* reason) {
    if (error_ == nullptr) error_ = reason;
  }
  void clear();    // for the next message; keeps the memory
  void release();  // gives the memory back
  void reserve_capacity(size_t size);

  Bytes bytes() const { return {buffer_.get(), size_}; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  std::span<const Insertion> insertions() const { return insertions_; }
  uint64_t external_bytes() const { return external_bytes_; }  // together in insertions()

  // Leaves room for `size` bytes (zeroes) and returns their position, to be filled by patch_*().
  size_t reserve(size_t size);
  void patch_i32(size_t position, int32_t value) { store_be(buffer_.get() + position, value); }
  // Begins a frame: room for its length. end_frame() fills it in, external bytes included.
  size_t begin_frame() { return reserve(4); }
  void end_frame(size_t position);

  void boolean(bool value) { fixed<uint8_t>(value ? 1 : 0); }
  void i8(int8_t value) { fixed(value); }
  void i16(int16_t value) { fixed(value); }
  void u16(uint16_t value) { fixed(value); }
  void i32(int32_t value) { fixed(value); }
  void u32(uint32_t value) { fixed(value); }
  void i64(int64_t value) { fixed(value); }
  void f64(double value);
  void uuid(const Uuid& value) { append(value.bytes); }
  void uvarint(uint64_t value);
  void append(Bytes raw);

  void string(std::string_view value, bool flexible);
  void nullable_string(const std::optional<std::string_view>& value, bool flexible);
  void bytes(Bytes value, bool flexible);
  void nullable_bytes(const std::optional<Bytes>& value, bool flexible);
  void records(const Records& value, bool flexible, bool nullable);

  template <typename T>
  void values(std::span<T> all, bool flexible);
  template <typename T>
  void nullable_values(const std::optional<std::span<T>>& all, bool flexible) {
    if (all) values<T>(*all, flexible);
    else length(-1, flexible);
  }
  template <typename T>
  void structs(std::span<T> all, bool flexible, int16_t version) {
    length(static_cast<int64_t>(all.size()), flexible);
    for (const T& one : all) one.encode(*this, version);
  }
  template <typename T>
  void nullable_structs(const std::optional<std::span<T>>& all, bool flexible, int16_t version) {
    if (all) structs<T>(*all, flexible, version);
    else length(-1, flexible);
  }
  template <typename T>
  void nullable_struct(const T* value, int16_t version) {
    i8(value ? 1 : -1);
    if (value) value->encode(*this, version);
  }
  template <typename T>
  void tagged_nullable_struct(const T* value, int16_t version) {
    uvarint(value ? 1 : 0);
    if (value) value->encode(*this, version);
  }

  // Fields of these names. `observer` outlives what is written; without one they are numbers as all others.
  void observe(FieldObserver* observer) { observer_ = observer; }
  void error_code(int16_t code) {
    i16(code);
    if (observer_ != nullptr) observer_->error_code(code);
  }
  void throttle_time_ms(int32_t value) {
    if (observer_ != nullptr) observer_->throttle_time_ms(size_);
    i32(value);
  }

  // A tagged field: begin, write the value, end.
  size_t begin_tag(uint32_t tag);
  void end_tag(size_t begun);

 private:
  template <typename T>
  void fixed(T value) {
    if (capacity_ - size_ < sizeof(T)) grow(sizeof(T));
    store_be(buffer_.get() + size_, value);
    size_ += sizeof(T);
  }
  void length(int64_t n, bool flexible);
  void grow(size_t more);

  std::unique_ptr<uint8_t[]> buffer_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  std::vector<Insertion> insertions_;
  uint64_t external_bytes_ = 0;
  const char* error_ = nullptr;
  FieldObserver* observer_ = nullptr;
};

}  // namespace weir::protocol
