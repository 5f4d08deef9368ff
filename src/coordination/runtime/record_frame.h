// The frame of every record of Kafka's internal topics: an int16 in front of the key is the record's type, one in front of the
// value is its version.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/check.h"
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

}  // namespace weir::coordination
