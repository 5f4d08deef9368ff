// What a fuzzer does with a record of `__consumer_offsets`; see protocol_targets.h.
#pragma once

#include "base/bytes.h"

namespace weir::fuzz {

// The length of the key (16 bit), the key, the value; no value is a tombstone.
bool fuzz_group_record(Bytes input);

}  // namespace weir::fuzz
