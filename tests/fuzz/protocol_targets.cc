#include "protocol_targets.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "protocol/api.h"
#include "protocol/catalog/message_catalog.h"
#include "protocol/compression.h"
#include "protocol/otlp_metrics.h"
#include "protocol/record_batch.h"
#include "protocol/record_batch_builder.h"

namespace weir::fuzz {
namespace {

using namespace weir::protocol;

constexpr size_t kMemoryLimit = size_t{1} << 20;

const MessageType* find(MessageKind kind, int16_t api_key) {
  for (const MessageType& type : message_catalog()) {
    if (type.kind == kind && type.api_key == api_key) return &type;
  }
  return nullptr;
}

// What was decoded can be written, and is then a fixed point: reading and writing it again changes nothing.
bool check_message(const MessageType& type, int16_t version, Reader& reader) {
  Writer once;
  const bool decoded = type.recode(reader, once, version);
  WEIR_CHECK(decoded == (reader.error() == nullptr));
  WEIR_CHECK(reader.arena().used_bytes() <= kMemoryLimit);
  if (!decoded) return false;
  WEIR_CHECK(once.ok());
  Arena arena;
  Reader again(once.bytes(), arena);
  Writer twice;
  WEIR_CHECK(type.recode(again, twice, version));
  WEIR_CHECK(again.remaining().empty());
  WEIR_CHECK(twice.ok() && std::ranges::equal(once.bytes(), twice.bytes()));
  return true;
}

void check_records_of(const BatchHeader& header, Bytes records) {
  const bool contiguous = check_records(header, records, {}) == BatchFault::kNone;
  const bool valid = check_records(header, records, {.contiguous = false}) == BatchFault::kNone;
  WEIR_CHECK(!contiguous || valid || header.record_count == 0 || header.last_offset_delta != header.record_count - 1);
  RecordIterator iterator(header, records);
  Record record;
  int32_t count = 0;
  while (iterator.next(record)) {
    ++count;
    WEIR_CHECK(record.offset_delta >= 0 && record.offset_delta <= header.last_offset_delta);
    HeaderIterator headers(record);
    RecordHeader one;
    int32_t header_count = 0;
    while (headers.next(one)) ++header_count;
    WEIR_CHECK(header_count == record.header_count);
    parse_end_marker(record);
  }
  if (valid) WEIR_CHECK(count == header.record_count && iterator.rest().empty());
}

}  // namespace

bool fuzz_request(Bytes frame) {
  Arena arena(kMemoryLimit);
  Reader reader(frame, arena);
  RequestHeader header;
  if (!decode_request_header(reader, header)) return false;
  const Api* api = find_api(header.api_key);
  if (api == nullptr || !api->supports(header.api_version)) return false;
  const MessageType* type = find(MessageKind::kRequest, header.api_key);
  WEIR_CHECK(type != nullptr);
  return check_message(*type, header.api_version, reader);
}

bool fuzz_response(Bytes input) {
  if (input.size() < 4) return false;
  const auto key = load_be<int16_t>(input.data());
  const auto version = load_be<int16_t>(input.data() + 2);
  const Api* api = find_api(key);
  if (api == nullptr || !api->supports(version)) return false;
  Arena arena(kMemoryLimit);
  Reader reader(input.subspan(4), arena);
  ResponseHeader header;
  if (!header.decode(reader, response_header_version(static_cast<ApiKey>(key), version))) return false;
  return check_message(*find(MessageKind::kResponse, key), version, reader);
}

bool fuzz_stored_message(Bytes input) {
  if (input.size() < 2) return false;
  std::vector<const MessageType*> stored;
  for (const MessageType& type : message_catalog()) {
    if (type.kind != MessageKind::kRequest && type.kind != MessageKind::kResponse) stored.push_back(&type);
  }
  const MessageType& type = *stored[input[0] % stored.size()];
  const auto version = static_cast<int16_t>(type.min_version + input[1] % (type.max_version - type.min_version + 1));
  Arena arena(kMemoryLimit);
  Reader reader(input.subspan(2), arena);
  return check_message(type, version, reader);
}

bool fuzz_record_batches(Bytes blob) {
  static thread_local Decompressor decompressor;
  BatchSplitter splitter(blob);
  size_t walked = 0;
  while (splitter.next()) {
    walked += splitter.batch().size();
    BatchHeader header;
    // A fuzzer never guesses a CRC, so what lies behind it is tried without.
    check_batch(splitter.batch(), {}, header);
    if (check_batch(splitter.batch(), {.check_crc = false, .contiguous = false}, header) != BatchFault::kNone) continue;
    const Bytes records = splitter.batch().subspan(BatchHeader::kSize);
    std::vector<uint8_t> plain;
    if (!header.compressed()) {
      check_records_of(header, records);
    } else if (decompressor.decompress(header.compression(), records, kMemoryLimit, plain) == CompressionFault::kNone) {
      check_records_of(header, plain);
    }
    WEIR_CHECK(plain.size() <= kMemoryLimit);
    std::vector<uint8_t> patched(splitter.batch().begin(), splitter.batch().end());
    // Only a change makes the CRC anew.
    const int64_t time = header.max_timestamp == 1 ? 2 : 1;
    patch_timestamps(patched, true, time);
    patch_base_offset(patched.data(), 5);
    const BatchFault fault = check_batch(patched, {.walk_records = false, .contiguous = false}, header);
    WEIR_CHECK(fault == BatchFault::kNone && header.base_offset == 5 && header.max_timestamp == time);
  }
  WEIR_CHECK(walked + splitter.rest().size() == blob.size());
  WEIR_CHECK(splitter.rest().empty() == (splitter.fault() == BatchFault::kNone));
  return walked > 0 && splitter.rest().empty();
}

bool fuzz_otlp_metrics(Bytes message) {
  return decode_otlp_metrics(message, [&](const OtlpPoint& point) {
    WEIR_CHECK(point.attributes.size() <= kOtlpAttributesMax);
    const auto* name = reinterpret_cast<const uint8_t*>(point.metric.data());
    WEIR_CHECK(point.metric.empty() || (name >= message.data() && name + point.metric.size() <= message.data() + message.size()));
  });
}

}  // namespace weir::fuzz
