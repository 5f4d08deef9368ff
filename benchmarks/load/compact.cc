// Keyed records for a compacted topic: `--records` of them over `--keys` keys, in an order that spreads each key over the whole
// log. The benchmark watches the broker's compaction from outside.
#include <algorithm>
#include <cstring>

#include "load/connection.h"
#include "load/measure.h"
#include "load/options.h"
#include "load/wire.h"

namespace load {
namespace {

constexpr size_t kKeyBytes = 16;

std::string key_of(uint64_t number) {
  std::string key(kKeyBytes, '0');
  for (size_t at = kKeyBytes; at > 0 && number > 0; number /= 10) key[--at] = static_cast<char>('0' + number % 10);
  return key;
}

}  // namespace

void run_compact(Options& options) {
  const TopicPartition where{options.topic(), 0};
  const auto records = static_cast<uint64_t>(options.number("records", 1'000'000));
  const auto keys = static_cast<uint64_t>(options.number("keys", 100'000));
  const auto value_bytes = static_cast<int>(options.number("value-bytes", 100));
  const auto batch_records = static_cast<int>(options.number("batch-records", 500));
  std::map<std::string, std::string> configs = {{"cleanup.policy", "compact"},
                                                {"min.cleanable.dirty.ratio", "0.1"},
                                                {"file.delete.delay.ms", "1000"},
                                                {"segment.bytes", options.text("segment-bytes", "16777216")}};
  const int pid = options.broker_pid();
  Connection connection(options.broker());
  options.refuse_unknown();
  create_topic(connection, where.topic, 1, configs);

  const Usage before = usage_now(pid);
  uint64_t bytes = 0, sent = 0;
  int in_flight = 0;
  while (sent < records || in_flight > 0) {
    if (sent < records && in_flight < 5) {
      std::vector<std::string> batch_keys;
      for (int i = 0; i < batch_records && sent < records; ++i, ++sent) {
        batch_keys.push_back(key_of(sent * 7'368'787 % keys));
      }
      const Batch batch(batch_keys, value_bytes, sent);
      const ProduceFrame frame(where, -1, batch.bytes().size());
      const std::vector<std::span<const uint8_t>> pieces = {frame.before, batch.bytes(), frame.after};
      connection.send(kProduce, kProduceVersion, true, pieces);
      bytes += batch.bytes().size();
      ++in_flight;
      continue;
    }
    check_produce_response(connection.receive(true));
    --in_flight;
  }
  JsonLine out;
  out.put("records", records);
  out.put("bytes", bytes);
  out.put(usage_now(pid) - before);
}

}  // namespace load
