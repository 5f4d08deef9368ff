// How values of the metadata store are written: a format version, then fields in the protocol's compact encodings.
// A decoder refuses versions it does not know, truncated values and bytes behind the last field.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "protocol/arena.h"
#include "protocol/wire.h"

namespace weir::broker {

class RecordEncoder {
 public:
  explicit RecordEncoder(uint8_t format) { writer_.i8(static_cast<int8_t>(format)); }
  protocol::Writer& fields() { return writer_; }
  std::string finish() const { return std::string(as_string(writer_.bytes())); }

 private:
  protocol::Writer writer_;
};

class RecordDecoder {
 public:
  RecordDecoder(std::string_view value, uint8_t format) : reader_(as_bytes(value), arena_) {
    if (static_cast<uint8_t>(reader_.i8()) != format && reader_.ok()) reader_.fail("written in an unknown format");
  }
  RecordDecoder(const RecordDecoder&) = delete;
  protocol::Reader& fields() { return reader_; }
  // True if all fields were there and nothing follows.
  Result<void> finish(std::string_view key) {
    if (reader_.ok() && !reader_.remaining().empty()) reader_.fail("bytes follow the last field");
    if (reader_.ok()) return {};
    return fail(ErrorCode::kCorrupt, "metadata entry " + std::string(key) + ": " + reader_.error());
  }

 private:
  protocol::Arena arena_;
  protocol::Reader reader_;
};

}  // namespace weir::broker
