// The API keys, what versions of them we understand, and the headers in front of every message.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/api_key.h"
#include "protocol/messages/headers.h"
#include "protocol/wire.h"

namespace weir::protocol {

// What the codec understands of one API. What a broker offers is a matter of its handlers.
struct Api {
  std::string_view name;  // empty: not a key of ours
  bool served = false;    // false: a key of the past, no version of which exists any more
  int16_t min_version = 0;
  int16_t max_version = -1;
  int16_t max_stable_version = -1;  // the latest version that is not subject to change
  int16_t flexible_from = 0;

  bool supports(int16_t version) const { return served && version >= min_version && version <= max_version; }
};

std::span<const Api> api_table();  // index: API key
// nullptr if the key is not one of ours.
const Api* find_api(int16_t key);
inline const Api& api(ApiKey key) { return api_table()[static_cast<size_t>(key)]; }
inline std::string_view api_name(ApiKey key) { return api(key).name; }
std::optional<ApiKey> api_key_from(int16_t key);

// 2 with flexible versions, else 1.
int16_t request_header_version(ApiKey key, int16_t version);
// 1 with flexible versions, else 0; always 0 for ApiVersions, whose caller may not know what the server
// supports.
int16_t response_header_version(ApiKey key, int16_t version);

// Decodes the header in front of a request (RequestHeader: api_key, api_version, correlation_id, client_id),
// choosing the header's version by its first fields. For a key or version that we do not know only these and
// the correlation id are read, and the reader stays behind them: the answer is UNSUPPORTED_VERSION.
bool decode_request_header(Reader& reader, RequestHeader& header);

}  // namespace weir::protocol
