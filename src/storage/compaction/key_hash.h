// A fingerprint of a record key: SipHash-2-4 with 128 bits of output. A secret enters it, so that nobody without the secret can
// make two record keys with the same fingerprint (docs/decisions/0007-offset-map-of-fingerprints.md).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace weir::storage {

struct KeyHash {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const KeyHash&) const = default;
};

struct HashSecret {
  uint64_t low = 0;
  uint64_t high = 0;
};

KeyHash hash_key(const HashSecret& secret, Bytes key);

}  // namespace weir::storage
