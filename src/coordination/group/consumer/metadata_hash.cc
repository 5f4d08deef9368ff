#include "coordination/group/consumer/metadata_hash.h"

#include <xxhash.h>

#include <bit>
#include <cstring>
#include <string>

#include "base/bytes.h"
#include "base/utf16.h"

namespace weir::coordination {
namespace {

constexpr uint8_t kVersion = 0;

// The bytes that Kafka's hasher sees, little-endian; texts in UTF-16, with their length behind.
class HashedBytes {
 public:
  template <typename T>
  void add(T value) {
    static_assert(std::endian::native == std::endian::little);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void add_text(std::string_view text) {
    const size_t begin = bytes_.size();
    each_utf16(text, [&](uint32_t unit) { add(static_cast<uint16_t>(unit)); });
    add(static_cast<int32_t>((bytes_.size() - begin) / 2));
  }
  int64_t hash() const { return static_cast<int64_t>(XXH3_64bits(bytes_.data(), bytes_.size())); }

 private:
  std::string bytes_;
};

}  // namespace

int64_t topic_hash(const Image& image, std::string_view topic) {
  const auto found = image.topic(topic);
  if (!found) return 0;
  HashedBytes bytes;
  bytes.add(kVersion);
  bytes.add(load_be<int64_t>(found->id.bytes.data()));
  bytes.add(load_be<int64_t>(found->id.bytes.data() + 8));
  bytes.add_text(topic);
  bytes.add(found->partition_count);
  for (int32_t i = 0; i < found->partition_count; ++i) {
    bytes.add(i);
    for (const std::string& rack : image.racks(topic, i)) {
      bytes.add(static_cast<int32_t>(utf16_length(rack)));
      bytes.add_text(rack);
    }
  }
  return bytes.hash();
}

int64_t group_hash(std::span<const std::pair<std::string_view, int64_t>> topics) {
  if (topics.empty()) return 0;
  HashedBytes bytes;
  for (const auto& [name, hash] : topics) bytes.add(hash);
  return bytes.hash();
}

}  // namespace weir::coordination
