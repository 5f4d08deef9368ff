// Parts of the formats of all records of `__consumer_offsets`.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "coordination/runtime/record_frame.h"
#include "protocol/wire.h"

namespace weir::coordination {

// `what`: the key or the value.
inline std::unexpected<Error> corrupt_group_record(std::string_view what, std::string_view why) {
  return fail(weir::ErrorCode::kCorrupt, std::string("a group record's ").append(what).append(" does not decode: ").append(why));
}
inline std::unexpected<Error> corrupt_group_record(std::string_view what, const protocol::Reader& reader) {
  return corrupt_group_record(what, reader.ok() ? "unknown version" : reader.error());
}

inline std::optional<std::string> owned(const std::optional<std::string_view>& text) {
  if (!text) return std::nullopt;
  return std::string(*text);
}

}  // namespace weir::coordination
