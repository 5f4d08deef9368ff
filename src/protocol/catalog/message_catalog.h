// All messages of the protocol behind one interface, for tests and fuzzers: decode any of them, make one of
// random values. The functions per message are generated; production code names the message it means.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string_view>

#include "protocol/arena.h"
#include "protocol/wire.h"

namespace weir::protocol {

class Filler;

enum class MessageKind { kRequest, kResponse, kHeader, kData, kRecordKey, kRecordValue };

// How making, encoding and decoding one random message went.
struct RoundTrip {
  const char* error = nullptr;  // of encode or decode
  bool same = false;            // the decoded message holds the same values
  bool used_up = false;         // decode took all bytes
  bool stable = false;          // encoding the decoded message gives the same bytes
};

struct MessageType {
  std::string_view name;
  MessageKind kind;
  int16_t api_key;  // -1: not part of an API
  int16_t min_version;
  int16_t max_version;
  int16_t flexible_from;
  // Decodes and, if that succeeded, encodes what was read. False if decoding failed.
  bool (*recode)(Reader& in, Writer& out, int16_t version);
  // Makes a random message; its bytes stay in `out`.
  RoundTrip (*round_trip)(Filler& filler, Writer& out, int16_t version);
};

std::span<const MessageType> message_catalog();

// Makes random values, with a liking for the ends of each range. The same seed makes the same values.
class Filler {
 public:
  // Half of the texts and ids are these, so that requests name things that exist and get beyond that check.
  struct Known {
    std::span<const std::string_view> texts;
    std::span<const Uuid> ids;
  };
  Filler(uint64_t seed, Arena& arena, Known known = {}) : random_(seed), arena_(arena), known_(known) {}

  Arena& arena() { return arena_; }

  // From now on arrays at `depth` (0: those of the message itself) have `count` equal elements, others one; numbers are `number`
  // and texts `text`: a request that names one thing again and again.
  struct Repetition {
    int depth = 0;
    size_t count = 1;
    int number = 0;
    std::string_view text;
  };
  void repeat(const Repetition& repetition) { repetition_ = repetition; }

  template <typename T>
    requires std::is_integral_v<T>
  void value(T& out) {
    if (repetition_) {
      out = static_cast<T>(repetition_->number);
      return;
    }
    switch (random_() % 6) {
      case 0:
        out = std::numeric_limits<T>::min();
        break;
      case 1:
        out = std::numeric_limits<T>::max();
        break;
      case 2:
        out = 0;
        break;
      default:
        out = static_cast<T>(random_());
    }
  }
  void value(bool& out) { out = repetition_ ? repetition_->number % 2 == 1 : random_() % 2 == 0; }
  void value(double& out) { out = static_cast<double>(static_cast<int64_t>(random_())) / 1024; }
  void value(Uuid& out) {
    if (take_known(known_.ids, out)) return;
    for (uint8_t& byte : out.bytes) byte = static_cast<uint8_t>(random_());
  }
  void value(std::string_view& out) {
    if (!take_known(known_.texts, out)) out = as_string(text());
  }
  void value(Bytes& out) { out = text(); }
  void records(Records& out, bool null_allowed) {
    out.null = null_allowed && null();
    if (!out.null) out.data = text();
  }
  template <typename T>
  void nullable(std::optional<T>& out, bool null_allowed) {
    if (null_allowed && null()) return out.reset();
    T inner{};
    value(inner);
    out = inner;
  }
  template <typename T>
  void values(std::span<T>& out) {
    out = arena_.array<T>(count());
    for (T& one : out) value(one);
  }
  template <typename T>
  void nullable_values(std::optional<std::span<T>>& out, bool null_allowed) {
    if (null_allowed && null()) return out.reset();
    values(out.emplace());
  }
  template <typename T>
  void structs(std::span<T>& out, int16_t version) {
    out = arena_.array<T>(count());
    ++depth_;
    for (T& one : out) fill(*this, one, version);
    --depth_;
  }
  template <typename T>
  void nullable_structs(std::optional<std::span<T>>& out, bool null_allowed, int16_t version) {
    if (null_allowed && null()) return out.reset();
    structs(out.emplace(), version);
  }
  template <typename T>
  const T* nullable_struct(bool null_allowed, int16_t version) {
    if (null_allowed && null()) return nullptr;
    T* one = arena_.create<T>();
    fill(*this, *one, version);
    return one;
  }

 private:
  template <typename T>
  bool take_known(std::span<const T> known, T& out) {
    if (known.empty() || random_() % 2 == 0) return false;
    out = known[random_() % known.size()];
    return true;
  }
  bool null() { return !repetition_ && random_() % 3 == 0; }
  size_t count() {
    if (repetition_) return repetition_->depth == depth_ ? repetition_->count : 1;
    return random_() % (depth_ < 3 ? 4 : 2);
  }
  Bytes text() {
    if (repetition_) return as_bytes(repetition_->text);
    constexpr size_t kSizes[] = {0, 1, 9, 126, 127, 128, 300};
    auto memory = arena_.array<uint8_t>(kSizes[random_() % (depth_ < 2 ? std::size(kSizes) : 3)]);
    for (uint8_t& byte : memory) byte = static_cast<uint8_t>(random_());
    return memory;
  }

  std::mt19937_64 random_;
  Arena& arena_;
  const Known known_;
  int depth_ = 0;
  std::optional<Repetition> repetition_;
};

// Comparison by value; messages have theirs generated.
template <typename T>
  requires std::is_arithmetic_v<T>
bool same(T a, T b) {
  return a == b;
}
inline bool same(const Uuid& a, const Uuid& b) { return a == b; }
inline bool same(std::string_view a, std::string_view b) { return a == b; }
inline bool same(Bytes a, Bytes b) { return as_string(a) == as_string(b); }
inline bool same(const Records& a, const Records& b) { return a.null == b.null && same(a.data, b.data); }
template <typename T>
  requires(!std::is_const_v<T>)
bool same(std::span<T> a, std::span<T> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) return false;
  }
  return true;
}
template <typename T>
bool same(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a || same(*a, *b));
}
template <typename T>
bool same(const T* a, const T* b) {
  return (a == nullptr) == (b == nullptr) && (a == nullptr || same(*a, *b));
}

template <typename Message>
bool recode(Reader& in, Writer& out, int16_t version) {
  Message message;
  if (!message.decode(in, version)) return false;
  message.encode(out, version);
  return true;
}

template <typename Message>
RoundTrip round_trip(Filler& filler, Writer& out, int16_t version) {
  RoundTrip result;
  Message made;
  fill(filler, made, version);
  made.encode(out, version);
  Reader reader(out.bytes(), filler.arena());
  Message read;
  read.decode(reader, version);
  result.error = out.error() != nullptr ? out.error() : reader.error();
  if (result.error != nullptr) return result;
  result.same = same(made, read);
  result.used_up = reader.remaining().empty();
  Writer again;
  read.encode(again, version);
  result.stable = again.ok() && same(again.bytes(), out.bytes());
  return result;
}

}  // namespace weir::protocol
