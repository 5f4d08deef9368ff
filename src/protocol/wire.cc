#include "protocol/wire.h"

#include <algorithm>
#include <limits>

#include "base/varint.h"

namespace weir::protocol {
namespace {
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxInt16 = std::numeric_limits<int16_t>::max();

// The fewest bytes an element takes on the wire.
template <typename T>
size_t element_bytes(bool flexible) {
  if constexpr (std::is_same_v<T, std::string_view>) return flexible ? 1 : 2;
  else return sizeof(T);
}
}  // namespace

void Reader::fail(const char* reason) {
  if (error_ == nullptr) error_ = reason;
  position_ = end_;
}
void Reader::fail_truncated() { fail("message ends early"); }
void Reader::fail_memory() { fail("message needs more memory than a request may take"); }

double Reader::f64() {
  const int64_t raw = i64();
  return std::bit_cast<double>(raw);
}

Uuid Reader::uuid() {
  Uuid value;
  const Bytes raw = take(value.bytes.size());
  if (!raw.empty()) std::memcpy(value.bytes.data(), raw.data(), raw.size());
  return value;
}

uint32_t Reader::uvarint() {
  if (position_ < end_ && *position_ < 0x80) return *position_++;
  uint32_t value = 0;
  const size_t read = read_uvarint32(remaining(), value);
  if (read == 0) {
    fail(remaining().size() < 5 ? "message ends early" : "bad variable-length integer");
    return 0;
  }
  position_ += read;
  return value;
}

Bytes Reader::take(size_t size) {
  if (static_cast<size_t>(end_ - position_) < size) {
    fail_truncated();
    return {};
  }
  const Bytes taken{position_, size};
  position_ += size;
  return taken;
}

int64_t Reader::length(bool flexible, bool wide) {
  if (flexible) return static_cast<int64_t>(uvarint()) - 1;
  const int64_t n = wide ? i32() : i16();
  if (n < -1) fail("negative length");
  return n;
}

std::string_view Reader::string(bool flexible) {
  const int64_t n = length(flexible, false);
  require(n >= 0);
  if (n > kMaxInt16) fail("string too long");
  return ok() ? as_string(take(static_cast<size_t>(n))) : std::string_view{};
}

std::optional<std::string_view> Reader::nullable_string(bool flexible) {
  const int64_t n = length(flexible, false);
  if (n > kMaxInt16) fail("string too long");
  if (n < 0 || !ok()) return std::nullopt;
  return as_string(take(static_cast<size_t>(n)));
}

Bytes Reader::bytes(bool flexible) {
  const int64_t n = length(flexible, true);
  require(n >= 0);
  return ok() ? take(static_cast<size_t>(n)) : Bytes{};
}

std::optional<Bytes> Reader::nullable_bytes(bool flexible) {
  const int64_t n = length(flexible, true);
  if (n < 0 || !ok()) return std::nullopt;
  return take(static_cast<size_t>(n));
}

Records Reader::records(bool flexible, bool nullable) {
  const int64_t n = length(flexible, true);
  Records value;
  value.null = n < 0;
  if (!nullable) require(n >= 0);
  if (n >= 0 && ok()) value.data = take(static_cast<size_t>(n));
  return value;
}

int64_t Reader::nullable_count(bool flexible, size_t element_bytes) {
  const int64_t n = length(flexible, true);
  if (!ok()) return -1;
  if (n > 0 && static_cast<uint64_t>(n) > static_cast<size_t>(end_ - position_) / std::max<size_t>(element_bytes, 1)) {
    fail("array longer than its message");
    return -1;
  }
  if (n > 0) elements_ += static_cast<size_t>(n);
  if (too_many_elements()) {
    fail("message names more things than one may");
    return -1;
  }
  return n;
}

int64_t Reader::count(bool flexible, size_t element_bytes) {
  const int64_t n = nullable_count(flexible, element_bytes);
  require(n >= 0);
  return std::max<int64_t>(n, 0);
}

template <typename T>
std::span<T> Reader::values_of(int64_t n) {
  auto all = arena_->array<T>(static_cast<size_t>(n));
  if (all.size() != static_cast<size_t>(n)) fail_memory();
  for (T& one : all) {
    if constexpr (std::is_same_v<T, Uuid>) one = uuid();
    else one = fixed<T>();
  }
  return all;
}

template <>
std::span<bool> Reader::values_of<bool>(int64_t n) {
  auto all = arena_->array<bool>(static_cast<size_t>(n));
  if (all.size() != static_cast<size_t>(n)) fail_memory();
  for (bool& one : all) one = boolean();
  return all;
}

template <typename T>
std::span<T> Reader::values(bool flexible) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    auto all = arena_->array<T>(static_cast<size_t>(count(flexible, element_bytes<T>(flexible))));
    if (arena_->exceeded()) fail_memory();
    for (T& one : all) one = string(flexible);
    return all;
  } else {
    return values_of<T>(count(flexible, element_bytes<T>(flexible)));
  }
}

template <typename T>
std::optional<std::span<T>> Reader::nullable_values(bool flexible) {
  const int64_t n = nullable_count(flexible, element_bytes<T>(flexible));
  if (n < 0) return std::nullopt;
  if constexpr (std::is_same_v<T, std::string_view>) {
    auto all = arena_->array<T>(static_cast<size_t>(n));
    if (all.size() != static_cast<size_t>(n)) fail_memory();
    for (T& one : all) one = string(flexible);
    return all;
  } else {
    return values_of<T>(n);
  }
}

bool TagReader::next() {
  if (outer_end_ != nullptr) {
    if (reader_.ok() && reader_.position_ != reader_.end_) reader_.fail("tagged field is longer than its value");
    if (reader_.ok()) reader_.end_ = outer_end_;
    outer_end_ = nullptr;
  }
  if (left_ == 0 || !reader_.ok()) return false;
  --left_;
  const uint32_t tag = reader_.uvarint();
  const uint32_t size = reader_.uvarint();
  if (!reader_.ok()) return false;
  if (static_cast<int64_t>(tag) <= tag_) {
    reader_.fail("tagged fields out of order");
    return false;
  }
  if (size > reader_.remaining().size()) {
    reader_.fail_truncated();
    return false;
  }
  tag_ = tag;
  outer_end_ = reader_.end_;
  reader_.end_ = reader_.position_ + size;
  return true;
}

void Writer::clear() {
  size_ = 0;
  insertions_.clear();
  external_bytes_ = 0;
  error_ = nullptr;
}

void Writer::release() {
  clear();
  buffer_.reset();
  capacity_ = 0;
  insertions_.shrink_to_fit();
}

void Writer::reserve_capacity(size_t size) {
  if (size > capacity_) grow(size - size_);
}

void Writer::grow(size_t more) {
  constexpr size_t kFirstBytes = 512;
  const size_t wanted = std::max({kFirstBytes, capacity_ * 2, size_ + more});
  std::unique_ptr<uint8_t[]> larger(new uint8_t[wanted]);
  if (size_ > 0) std::memcpy(larger.get(), buffer_.get(), size_);
  buffer_ = std::move(larger);
  capacity_ = wanted;
}

size_t Writer::reserve(size_t size) {
  if (capacity_ - size_ < size) grow(size);
  const size_t position = size_;
  std::memset(buffer_.get() + size_, 0, size);
  size_ += size;
  return position;
}

void Writer::end_frame(size_t position) {
  uint64_t length = size_ - position - 4;
  for (const Insertion& one : insertions_) {
    if (one.position > position) length += one.size;
  }
  if (length > static_cast<uint64_t>(kMaxInt32)) {
    fail("frame too long");
    return;
  }
  patch_i32(position, static_cast<int32_t>(length));
}

void Writer::append(Bytes raw) {
  if (raw.empty()) return;
  if (capacity_ - size_ < raw.size()) grow(raw.size());
  std::memcpy(buffer_.get() + size_, raw.data(), raw.size());
  size_ += raw.size();
}

void Writer::f64(double value) { fixed(std::bit_cast<int64_t>(value)); }

void Writer::uvarint(uint64_t value) {
  if (capacity_ - size_ < 10) grow(10);
  size_ += write_uvarint(buffer_.get() + size_, value);
}

void Writer::length(int64_t n, bool flexible) {
  if (n > kMaxInt32) fail("field too long");
  if (flexible) uvarint(static_cast<uint64_t>(n + 1));
  else i32(static_cast<int32_t>(n));
}

void Writer::string(std::string_view value, bool flexible) {
  // Kafka bounds both encodings by what the older one can express.
  if (static_cast<int64_t>(value.size()) > kMaxInt16) fail("string too long");
  if (flexible) uvarint(value.size() + 1);
  else i16(static_cast<int16_t>(value.size()));
  append(as_bytes(value));
}

void Writer::nullable_string(const std::optional<std::string_view>& value, bool flexible) {
  if (value) return string(*value, flexible);
  if (flexible) uvarint(0);
  else i16(-1);
}

void Writer::bytes(Bytes value, bool flexible) {
  length(static_cast<int64_t>(value.size()), flexible);
  append(value);
}

void Writer::nullable_bytes(const std::optional<Bytes>& value, bool flexible) {
  if (value) bytes(*value, flexible);
  else length(-1, flexible);
}

void Writer::records(const Records& value, bool flexible, bool nullable) {
  if (value.null) {
    if (!nullable) fail("null records where they must not be null");
    return length(-1, flexible);
  }
  if (value.external_size == 0) return bytes(value.data, flexible);
  if (value.external_size > static_cast<uint64_t>(kMaxInt32)) return fail("records too long");
  length(static_cast<int64_t>(value.external_size), flexible);
  insertions_.push_back({size_, value.external_id, value.external_size});
  external_bytes_ += value.external_size;
}

template <typename T>
void Writer::values(std::span<T> all, bool flexible) {
  length(static_cast<int64_t>(all.size()), flexible);
  for (const T& one : all) {
    if constexpr (std::is_same_v<T, Uuid>) uuid(one);
    else if constexpr (std::is_same_v<T, std::string_view>) string(one, flexible);
    else if constexpr (std::is_same_v<T, bool>) boolean(one);
    else fixed(one);
  }
}

size_t Writer::begin_tag(uint32_t tag) {
  uvarint(tag);
  return reserve(1);  // enough for the length of most values
}

void Writer::end_tag(size_t begun) {
  const size_t value_size = size_ - begun - 1;
  const size_t prefix = uvarint_size(value_size);
  if (prefix > 1) {
    reserve(prefix - 1);
    std::memmove(buffer_.get() + begun + prefix, buffer_.get() + begun + 1, value_size);
  }
  write_uvarint(buffer_.get() + begun, value_size);
}

#define WEIR_WIRE_VALUES(T)                                              \
  template std::span<T> Reader::values<T>(bool);                         \
  template std::optional<std::span<T>> Reader::nullable_values<T>(bool); \
  template void Writer::values<T>(std::span<T>, bool);
WEIR_WIRE_VALUES(bool)
WEIR_WIRE_VALUES(int8_t)
WEIR_WIRE_VALUES(int16_t)
WEIR_WIRE_VALUES(uint16_t)
WEIR_WIRE_VALUES(int32_t)
WEIR_WIRE_VALUES(int64_t)
WEIR_WIRE_VALUES(Uuid)
WEIR_WIRE_VALUES(std::string_view)
#undef WEIR_WIRE_VALUES

}  // namespace weir::protocol
