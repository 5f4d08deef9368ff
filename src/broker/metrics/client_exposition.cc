#include "broker/metrics/client_exposition.h"

#include <fmt/format.h>

#include <iterator>
#include <map>
#include <string_view>

#include "broker/server/metrics.h"
#include "broker/telemetry/client_metrics.h"

namespace weir::broker {
namespace {

void append_label(std::string& out, std::string_view name, std::string_view value) {
  if (out.back() != '{') out += ',';
  out += name;
  out += "=\"";
  append_label_value(out, value);
  out += '"';
}

struct Family {
  bool counter = false;
  std::string lines;
};

}  // namespace

void append_client_metrics(std::string& out, const std::vector<ShardSnapshot>& shards) {
  std::map<std::string_view, Family> families;
  for (const ShardSnapshot& shard : shards) {
    for (const ClientMetricsPtr& client : shard.client_metrics) {
      for (const auto& [key, series] : client->series) {
        const auto [at, fresh] = families.try_emplace(series.name);
        Family& family = at->second;
        if (fresh) family.counter = series.counter;
        family.lines += series.name + "{";
        append_label(family.lines, "client_id", client->client_id);
        append_label(family.lines, "client_instance_id", client->instance_id);
        for (const auto& [name, value] : series.labels) append_label(family.lines, name, value);
        fmt::format_to(std::back_inserter(family.lines), "}} {}\n", series.value);
      }
    }
  }
  for (const auto& [name, family] : families) {
    fmt::format_to(std::back_inserter(out), "# HELP {} Pushed by clients.\n# TYPE {} {}\n{}", name, name,
                   family.counter ? "counter" : "gauge", family.lines);
  }
}

}  // namespace weir::broker
