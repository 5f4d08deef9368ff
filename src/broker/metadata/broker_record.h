// `/brokers/<id>`: one broker of the cluster, while it lives. The broker puts the entry under its own lease, so the entry goes
// with the broker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/loop.h"

namespace weir::broker {

struct BrokerRecord {
  static constexpr std::string_view kPrefix = "/brokers/";

  // Where clients of a listener reach the broker. A listener without an address is on all interfaces.
  struct Listener {
    std::string name;
    std::string security_protocol;
    runtime::Endpoint address;
    bool operator==(const Listener&) const = default;
  };

  int32_t id = 0;     // in the key
  int32_t epoch = 0;  // `/broker/epoch` of its present life. The leader epochs of its partitions grow with it
  std::string rack;   // empty: none
  std::vector<Listener> listeners;

  bool operator==(const BrokerRecord&) const = default;
  std::string key() const { return key_of(id); }
  std::string encode() const;
  // nullptr if there is no listener of that name.
  const Listener* find_listener(std::string_view name) const;
  static std::string key_of(int32_t id) { return std::string(kPrefix) + std::to_string(id); }
  static Result<BrokerRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace weir::broker
