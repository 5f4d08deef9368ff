#include "broker/metadata/broker_record.h"

#include <algorithm>
#include <charconv>

#include "broker/metadata/record_codec.h"

namespace weir::broker {
namespace {
constexpr uint8_t kFormat = 1;
}

std::string BrokerRecord::encode() const {
  RecordEncoder out(kFormat);
  protocol::Writer& w = out.fields();
  w.i32(epoch);
  w.string(rack, true);
  w.uvarint(static_cast<uint32_t>(listeners.size()));
  for (const Listener& listener : listeners) {
    w.string(listener.name, true);
    w.string(listener.security_protocol, true);
    w.string(listener.address.host, true);
    w.i32(listener.address.port);
  }
  return out.finish();
}

Result<BrokerRecord> BrokerRecord::decode(std::string_view key, std::string_view value) {
  BrokerRecord record;
  const std::string_view id = key.starts_with(kPrefix) ? key.substr(kPrefix.size()) : std::string_view();
  const auto [at, error] = std::from_chars(id.data(), id.data() + id.size(), record.id);
  if (id.empty() || error != std::errc() || at != id.data() + id.size() || record.id < 0) {
    return fail(ErrorCode::kCorrupt, "metadata key " + std::string(key) + " is not a broker's");
  }
  RecordDecoder in(value, kFormat);
  protocol::Reader& r = in.fields();
  record.epoch = r.i32();
  record.rack = r.string(true);
  const uint32_t count = r.uvarint();
  for (uint32_t i = 0; i < count && r.ok(); ++i) {
    Listener listener;
    listener.name = r.string(true);
    listener.security_protocol = r.string(true);
    listener.address.host = r.string(true);
    const int32_t port = r.i32();
    if (port < 0 || port > UINT16_MAX) r.fail("a port that there is not");
    listener.address.port = static_cast<uint16_t>(port);
    record.listeners.push_back(std::move(listener));
  }
  if (r.ok() && record.epoch < 0) r.fail("a broker of a negative epoch");
  if (auto complete = in.finish(key); !complete) return std::unexpected(complete.error());
  return record;
}

const BrokerRecord::Listener* BrokerRecord::find_listener(std::string_view name) const {
  const auto found = std::ranges::find(listeners, name, &Listener::name);
  return found == listeners.end() ? nullptr : &*found;
}

}  // namespace weir::broker
