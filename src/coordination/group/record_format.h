// The frame of every record of `__consumer_offsets`: an int16 in front of the key is the record's type, one in front of the value
// is its version.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/result.h"
#include "protocol/wire.h"

namespace weir::coordination {

template <typename Message>
std::string encode_framed(int16_t prefix, const Message& message, int16_t version) {
  protocol::Writer writer;
  writer.i16(prefix);
  message.encode(writer, version);
  WEIR_CHECK(writer.ok());
  return std::string(as_string(writer.bytes()));
}

// Reads the version in front of a value and the value.
template <typename Message>
bool decode_framed(protocol::Reader& reader, Message& message) {
  const int16_t version = reader.i16();
  return reader.ok() && version >= Message::kMinVersion && version <= Message::kMaxVersion && message.decode(reader, version);
}

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
