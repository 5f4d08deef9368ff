#include "broker/config/configuration_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/config/resource_config.h"
#include "broker/config/topic_config.h"

namespace weir::broker {

namespace {

constexpr const char* kIntroduction = R"(# Configuration

Made from the tables in src/broker/config/ (see configuration_page.h); do not edit.

`weir serve --config FILE` reads a properties file with Kafka's keys; `--set key=value` overrides single ones. Each of Kafka's
broker keys is in one of three classes:

- it **works**;
- it has **no effect** here, because it tunes a part of Kafka that Weir does not have: a file that sets it is taken, and the
  log warns of a value that is neither Kafka's default nor what holds here. Those marked *at run time* are also taken by
  `kafka-configs`, kept and described, as tools expect, and do nothing;
- it is **refused** if set to anything but its default, because it promises something that Weir does not do (yet).

`DescribeConfigs` lists all of them, but for Kafka's internal ones that nobody has set. Keys without effect that state a fact about
the broker show what is *in force*, whatever is set.

A key that is not in the tables is an error with the nearest known name; of those that Kafka had before version 4
(`zookeeper.connect`, `inter.broker.protocol.version`, `port`...) the error says that they can go.

Keys marked *at run time* can be altered while the broker runs (`kafka-configs --entity-type brokers`), for this broker or for
all, and act at once; what is altered wins over the file. Where two keys mean the same in different units the finer one wins:
`log.retention.ms` over `.minutes` over `.hours`, `log.roll.ms` over `.hours`.
)";

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string default_of(const ConfigKey& key) {
  if (!key.default_value) return "";
  return *key.default_value ? "`" + escape(key.default_value) + "`" : "(empty)";
}

std::string type_of(const ConfigKey& key) {
  std::string text(config_type_name(key.type));
  if (key.choices) {
    std::string choices = key.choices;
    std::replace(choices.begin(), choices.end(), '|', ' ');
    return text + ": " + choices;
  }
  const bool low = key.min != ConfigKey::kNoMin, high = key.max != ConfigKey::kNoMax;
  const char* besides = key.minus_one ? ", or -1" : "";
  if (low && high) return fmt::format("{}, {} to {}{}", text, key.min, key.max, besides);
  if (low) return fmt::format("{}, from {}{}", text, key.min, besides);
  return text;
}

std::string broker_section(ConfigSupport support, const char* title) {
  std::string page = fmt::format("\n## {}\n\n| key | type | default | |\n|---|---|---|---|\n", title);
  for (const ConfigKey& key : broker_config_keys()) {
    if (key.support != support) continue;
    const std::string holds = key.holds ? fmt::format(" In force: `{}`.", key.holds) : std::string();
    page += fmt::format("| `{}` | {} | {} | {}{}{} |\n", key.name, type_of(key), default_of(key), escape(key.doc), holds,
                        key.dynamic ? " *At run time.*" : "");
  }
  return page;
}

std::string resource_section(std::span<const ResourceConfigKey> keys, const char* title, const char* text) {
  std::string page = fmt::format("\n## {}\n\n{}\n\n| key | type | default | from | |\n|---|---|---|---|---|\n", title, text);
  for (const ResourceConfigKey& key : keys) {
    std::string from;
    for (const ConfigSynonym& synonym : key.synonyms) {
      if (synonym.broker_key) from += fmt::format("{}`{}`", from.empty() ? "" : ", ", synonym.broker_key);
    }
    const char* note = key.key.support == ConfigSupport::kNoEffect  ? "No effect: "
                       : key.key.support == ConfigSupport::kRefused ? "Refused: "
                                                                    : "";
    page += fmt::format("| `{}` | {} | {} | {} | {}{} |\n", key.key.name, type_of(key.key), default_of(key.key), from, note,
                        escape(key.key.doc));
  }
  return page;
}

}  // namespace

std::string configuration_page() {
  std::string page = kIntroduction;
  page += resource_section(
      topic_config_keys(), "Topics",
      "Set at creation or with `kafka-configs --entity-type topics`; without an override the broker's key counts.");
  page += resource_section(
      group_resource_keys(), "Groups",
      "Set with `kafka-configs --entity-type groups`. Those of consumer groups (KIP-848) act at once; a value that is out of "
      "the broker's bounds by now counts as the nearest one within. Those of share and streams groups are checked and kept, "
      "and will be in force when such groups are served; altering one is logged. A classic group takes its timeouts from its "
      "members, here as in Kafka, whatever is set.");
  page +=
      resource_section(client_metrics_keys(), "Client metrics",
                       "Subscriptions (KIP-714), set with `kafka-configs --entity-type client-metrics` or "
                       "`kafka-client-metrics`. As long as there "
                       "is none, clients are not told that they could push metrics: those that connected before push after they "
                       "connect anew, Java clients after they are started anew.");
  page += broker_section(ConfigSupport::kWorks, "Broker keys that work");
  page += broker_section(ConfigSupport::kNoEffect, "Broker keys without effect");
  page += broker_section(ConfigSupport::kRefused, "Broker keys that are refused");
  return page;
}

}  // namespace weir::broker
