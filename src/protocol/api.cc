#include "protocol/api.h"

namespace weir::protocol {

const Api* find_api(int16_t key) {
  const auto table = api_table();
  if (key < 0 || static_cast<size_t>(key) >= table.size()) return nullptr;
  const Api& found = table[static_cast<size_t>(key)];
  return found.name.empty() ? nullptr : &found;
}

std::optional<ApiKey> api_key_from(int16_t key) {
  if (find_api(key) == nullptr) return std::nullopt;
  return static_cast<ApiKey>(key);
}

int16_t request_header_version(ApiKey key, int16_t version) { return version >= api(key).flexible_from ? 2 : 1; }

int16_t response_header_version(ApiKey key, int16_t version) {
  if (key == ApiKey::kApiVersions) return 0;
  return version >= api(key).flexible_from ? 1 : 0;
}

bool decode_request_header(Reader& reader, RequestHeader& header) {
  const Bytes raw = reader.remaining();
  if (raw.size() >= 8) {
    const int16_t key = load_be<int16_t>(raw.data());
    const int16_t version = load_be<int16_t>(raw.data() + 2);
    const Api* found = find_api(key);
    if (found != nullptr && found->supports(version)) {
      return header.decode(reader, request_header_version(static_cast<ApiKey>(key), version));
    }
  }
  header = RequestHeader{};
  header.api_key = reader.i16();
  header.api_version = reader.i16();
  header.correlation_id = reader.i32();
  return reader.ok();
}

}  // namespace weir::protocol
