#include "storage/compaction/key_hash.h"

#include <bit>
#include <cstring>

namespace weir::storage {

namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void rounds(int count) {
    for (int i = 0; i < count; ++i) round();
  }
  void take(uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  uint64_t mixed() const { return v0 ^ v1 ^ v2 ^ v3; }
};

uint64_t load_le(const uint8_t* at, size_t size) {
  uint64_t word = 0;
  for (size_t i = 0; i < size; ++i) word |= uint64_t{at[i]} << (8 * i);
  return word;
}

uint64_t load_word(const uint8_t* at) {
  if constexpr (std::endian::native != std::endian::little) return load_le(at, 8);
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

KeyHash hash_key(const HashSecret& secret, Bytes key) {
  SipState state{secret.low ^ 0x736f6d6570736575ull, secret.high ^ 0x646f72616e646f6dull ^ 0xee,
                 secret.low ^ 0x6c7967656e657261ull, secret.high ^ 0x7465646279746573ull};
  const size_t whole = key.size() / 8 * 8;
  for (size_t at = 0; at < whole; at += 8) state.take(load_word(key.data() + at));
  state.take(load_le(key.data() + whole, key.size() - whole) | static_cast<uint64_t>(key.size()) << 56);
  state.v2 ^= 0xee;
  state.rounds(4);
  KeyHash hash;
  hash.low = state.mixed();
  state.v1 ^= 0xdd;
  state.rounds(4);
  hash.high = state.mixed();
  return hash;
}

}  // namespace weir::storage
