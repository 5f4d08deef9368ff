// 128-bit identifiers as Kafka has them: topic ids, cluster id, directory ids. Text form: URL-safe base64, 22 characters.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

struct Uuid {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const Uuid&) const = default;
  bool is_zero() const { return *this == Uuid{}; }
  std::string to_string() const;                            // 22 characters, no padding
  static std::optional<Uuid> parse(std::string_view text);  // the inverse; nothing if malformed
  // Version 4 id out of 128 random bits. Never the reserved ids 0 and 1.
  static Uuid from_random(uint64_t high, uint64_t low);
};

using TopicId = Uuid;

}  // namespace weir

template <>
struct std::hash<weir::Uuid> {
  size_t operator()(const weir::Uuid& id) const {
    uint64_t a, b;
    std::memcpy(&a, id.bytes.data(), 8);
    std::memcpy(&b, id.bytes.data() + 8, 8);
    return static_cast<size_t>((a ^ (b * 0x9e3779b97f4a7c15ull)) * 0xff51afd7ed558ccdull);
  }
};
