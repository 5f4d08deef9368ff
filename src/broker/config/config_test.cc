#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "broker/config/broker_config.h"
#include "broker/config/listeners.h"
#include "broker/config/properties_file.h"
#include "broker/config/topic_config.h"
#include "broker/server/connection_info.h"

namespace weir::broker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ConfigKeys, TableIsSortedUniqueAndItsDefaultsAreValid) {
  const auto keys = broker_config_keys();
  EXPECT_GT(keys.size(), 340u);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0) {
      EXPECT_LT(std::string_view(keys[i - 1].name), std::string_view(keys[i].name));
    }
    EXPECT_STRNE(keys[i].doc, "") << keys[i].name;
    if (keys[i].holds) {
      EXPECT_TRUE(check_config_value(keys[i], keys[i].holds)) << keys[i].name;
      EXPECT_EQ(keys[i].support, ConfigSupport::kNoEffect) << keys[i].name;
    }
    if (keys[i].default_value && *keys[i].default_value) {
      EXPECT_TRUE(check_config_value(keys[i], keys[i].default_value)) << keys[i].name;
    }
    EXPECT_EQ(find_broker_config_key(keys[i].name), &keys[i]);
  }
  EXPECT_EQ(find_broker_config_key("no.such.key"), nullptr);
}

TEST(TopicConfig, TableIsSortedAndRefersToBrokerKeysThatExist) {
  const auto keys = topic_config_keys();
  EXPECT_EQ(keys.size(), 37u);
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end(),
                             [](const auto& a, const auto& b) { return std::string_view(a.key.name) < b.key.name; }));
  const BrokerConfig broker;
  for (const TopicConfigKey& key : keys) {
    EXPECT_TRUE(check_config_value(key.key, key.key.default_value)) << key.key.name;
    for (const ConfigSynonym& synonym : key.synonyms) {
      if (synonym.broker_key) {
        EXPECT_NE(find_broker_config_key(synonym.broker_key), nullptr) << synonym.broker_key;
      }
    }
    EXPECT_EQ(effective_topic_config(key, {}, broker).source, ConfigSource::kDefault);
  }
}

TEST(TopicConfig, DefaultsOfTheStructAreThoseOfTheTable) {
  const TopicConfig read = topic_config({}, BrokerConfig());
  const TopicConfig fixed;
  EXPECT_EQ(read.retention_ms, fixed.retention_ms);
  EXPECT_EQ(read.segment_bytes, fixed.segment_bytes);
  EXPECT_EQ(read.max_message_bytes, fixed.max_message_bytes);
  EXPECT_EQ(read.max_compaction_lag_ms, fixed.max_compaction_lag_ms);
  EXPECT_EQ(read.compression_type, fixed.compression_type);
  EXPECT_EQ(read.min_cleanable_dirty_ratio, fixed.min_cleanable_dirty_ratio);
  EXPECT_EQ(log_config({}, BrokerConfig()), storage::LogConfig());
}

TEST(TopicConfig, TakesDefaultsFromTheBrokerInKafkasOrder) {
  BrokerConfig broker;
  ASSERT_TRUE(broker.set("log.retention.hours", "2"));
  EXPECT_EQ(topic_config({}, broker).retention_ms, 7'200'000);
  ASSERT_TRUE(broker.set("log.retention.minutes", "3"));
  EXPECT_EQ(topic_config({}, broker).retention_ms, 180'000);
  ASSERT_TRUE(broker.set("log.retention.ms", "-1"));
  const auto effective = effective_topic_config(*find_topic_config_key("retention.ms"), {}, broker);
  EXPECT_EQ(effective.value, "-1");
  EXPECT_EQ(effective.source, ConfigSource::kStaticBroker);
  EXPECT_STREQ(effective.broker_key, "log.retention.ms");
  EXPECT_EQ(topic_config({{"retention.ms", "5"}}, broker).retention_ms, 5);
}

TEST(TopicConfig, RefusesWhatKafkaRefuses) {
  EXPECT_TRUE(check_topic_config("cleanup.policy", "compact,delete"));
  EXPECT_TRUE(check_topic_config("cleanup.policy", "compact, delete"));
  EXPECT_FALSE(check_topic_config("cleanup.policy", "shred"));
  EXPECT_FALSE(check_topic_config("retention.ms", "-2"));
  EXPECT_FALSE(check_topic_config("retention.ms", "one week"));
  EXPECT_FALSE(check_topic_config("segment.bytes", "10"));
  EXPECT_FALSE(check_topic_config("max.message.bytes", "3000000000"));
  EXPECT_FALSE(check_topic_config("min.cleanable.dirty.ratio", "1.5"));
  EXPECT_FALSE(check_topic_config("compression.gzip.level", "0"));
  EXPECT_TRUE(check_topic_config("compression.gzip.level", "-1"));
  EXPECT_FALSE(check_topic_config("compression.gzip.level", "-2"));
  for (const char* side : {"leader", "follower"}) {
    const std::string key = std::string(side) + ".replication.throttled.replicas";
    for (const char* good : {"", "*", "0:1", "0:1, 12:3", " * "}) EXPECT_TRUE(check_topic_config(key, good)) << good;
    for (const char* bad : {"none", "0", "0:", ":1", "0:1,*", "*,*", "0:1:2", "-1:1", "a:1"})
      EXPECT_FALSE(check_topic_config(key, bad)) << bad;
  }
  EXPECT_FALSE(check_topic_config("remote.storage.enable", "true"));
  EXPECT_TRUE(check_topic_config("remote.storage.enable", "false"));
  const auto unknown = check_topic_config("retention.msec", "1");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("did you mean retention.ms?"));
  EXPECT_FALSE(check_topic_configs({{"min.compaction.lag.ms", "9"}, {"max.compaction.lag.ms", "8"}}, BrokerConfig()));
}

TEST(TopicConfig, ValuesAreReadAsKafkaReadsThem) {
  const auto described = [](const char* name, const char* value) -> std::string {
    if (!check_topic_config(name, value)) return "refused";
    return described_config_value(find_topic_config_key(name)->key, value);
  };
  const char* ms = "retention.ms";
  for (const char* bad : {"5e3", "5_000", "", " ", "0x10", "+-5", "1000L", "1 000"})
    EXPECT_EQ(described(ms, bad), "refused") << bad;
  EXPECT_EQ(described(ms, "\t5000\n"), "5000");
  EXPECT_EQ(described(ms, "-0"), "0");
  EXPECT_EQ(described("preallocate", " False"), "false");
  EXPECT_EQ(described("preallocate", "yes"), "refused");
  const char* policy = "cleanup.policy";
  for (const char* bad : {"compact,", ",", ",delete", "COMPACT"}) EXPECT_EQ(described(policy, bad), "refused") << bad;
  EXPECT_EQ(described(policy, "compact , delete"), "compact,delete");
  EXPECT_EQ(described(policy, " "), "");
  const char* ratio = "min.cleanable.dirty.ratio";
  for (const char* half : {"0.50", " .5", "5E-1", "0.5f", "0.5d", "+.5"}) EXPECT_EQ(described(ratio, half), "0.5") << half;
  EXPECT_EQ(described(ratio, "1"), "1.0");
  EXPECT_EQ(described(ratio, "0"), "0.0");
  EXPECT_EQ(described(ratio, "0.001"), "0.001");
  EXPECT_EQ(described(ratio, "0.00015"), "1.5E-4");
  EXPECT_EQ(described(ratio, "0.0001"), "1.0E-4");
  for (const char* bad : {"1.1", "0,5", "d", "inf", "NaN"}) EXPECT_EQ(described(ratio, bad), "refused") << bad;
  EXPECT_EQ(described("compression.type", " gzip"), "gzip");
  EXPECT_EQ(described("compression.type", "GZIP"), "refused");
}

TEST(BrokerConfig, SettingsWinOverTheFile) {
  BrokerConfig config;
  ASSERT_TRUE(config.add_file("num.partitions=3\nnode.id : 7\n", "server.properties"));
  ASSERT_TRUE(config.add_setting("num.partitions=5"));
  EXPECT_EQ(config.integer("num.partitions"), 5);
  EXPECT_EQ(config.node_id(), 7);
  EXPECT_EQ(config.text("log.segment.bytes"), "1073741824");
  EXPECT_TRUE(config.is_null("log.retention.ms"));
}

TEST(BrokerConfig, ExplainsMistakes) {
  BrokerConfig config;
  const auto unknown = config.add_file("\nnum.partition=3", "server.properties");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message,
            "server.properties, line 2: unknown configuration 'num.partition'; did you mean 'num.partitions'?");
  EXPECT_EQ(config.add_setting("weir.unmerged.bytes.max=1").error().message,
            "'weir.unmerged.bytes.max' is called 'weir.dirty.bytes.max' now: change the name");
  EXPECT_FALSE(config.add_setting("num.partitions"));
  EXPECT_FALSE(config.add_setting("num.partitions=0"));
  EXPECT_FALSE(config.add_setting("completely.different.thing=0"));
  EXPECT_TRUE(config.add_setting("transaction.two.phase.commit.enable=false"));
  EXPECT_FALSE(config.add_setting("transaction.two.phase.commit.enable=true"));
  const auto refused = config.add_setting("ssl.keystore.location=/x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, weir::ErrorCode::kUnsupported);
}

// The settings of the file that Apache Kafka 4.4 is shipped with.
TEST(BrokerConfig, KafkasOwnFileIsTaken) {
  std::ifstream in(WEIR_CONFIG_TESTDATA "/kafka-4.4-server.properties");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  BrokerConfig config;
  const auto taken = config.add_file(text, "server.properties");
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(config.values().size(), 24u);
  EXPECT_EQ(config.text("log.dirs"), "/tmp/kraft-combined-logs");
  std::vector<std::string_view> without_effect;
  std::vector<std::string_view> asks;
  for (const auto& [key, asked] : config.without_effect()) (asked ? asks : without_effect).emplace_back(key->name);
  EXPECT_THAT(without_effect, Contains("num.network.threads")) << "Kafka's default";
  EXPECT_THAT(without_effect, Contains("transaction.state.log.min.isr")) << "what holds here";
  EXPECT_THAT(asks, ElementsAre("controller.quorum.bootstrap.servers", "inter.broker.listener.name"));
  const auto listeners = combine_listeners(config.text("listeners"), config.text("advertised.listeners"),
                                           config.text("listener.security.protocol.map"));
  ASSERT_TRUE(listeners) << listeners.error().message;
  EXPECT_EQ((*listeners)[0].advertised->port, 9092);
}

TEST(BrokerConfig, UnitsHaveAnOrder) {
  const auto in_force = [](std::vector<std::string> settings, const char* topic_key) {
    BrokerConfig config;
    for (const std::string& setting : settings) EXPECT_TRUE(config.add_setting(setting)) << setting;
    return effective_topic_config(*find_topic_config_key(topic_key), {}, config).value;
  };
  EXPECT_EQ(in_force({"log.retention.hours=1", "log.retention.minutes=2", "log.retention.ms=3"}, "retention.ms"), "3");
  EXPECT_EQ(in_force({"log.retention.hours=1", "log.retention.minutes=2"}, "retention.ms"), "120000");
  EXPECT_EQ(in_force({"log.retention.hours=1"}, "retention.ms"), "3600000");
  EXPECT_EQ(in_force({"log.retention.hours=-1"}, "retention.ms"), "-1");
  EXPECT_EQ(in_force({"log.roll.hours=1", "log.roll.ms=5"}, "segment.ms"), "5");
  EXPECT_EQ(in_force({"log.roll.hours=2"}, "segment.ms"), "7200000");
  EXPECT_EQ(in_force({"message.max.bytes=99"}, "max.message.bytes"), "99");
}

TEST(BrokerConfig, DynamicLayersLieAboveStaticOnes) {
  BrokerConfig config;
  ASSERT_TRUE(config.add_setting("log.retention.ms=1"));
  config.set_dynamic({{"log.retention.ms", "3"}}, {{"log.retention.ms", "2"}, {"max.connections", "9"}});
  EXPECT_EQ(config.text("log.retention.ms"), "3");
  EXPECT_EQ(config.source("log.retention.ms"), ConfigSource::kDynamicBroker);
  EXPECT_EQ(config.integer("max.connections"), 9);
  config.set_dynamic({}, {{"log.retention.ms", "2"}});
  EXPECT_EQ(config.source("log.retention.ms"), ConfigSource::kDynamicDefaultBroker);
  config.set_dynamic({}, {});
  EXPECT_EQ(config.text("log.retention.ms"), "1");
  EXPECT_FALSE(config.is_set("max.connections"));
}

TEST(BrokerConfig, TellsWhatHolds) {
  BrokerConfig config;
  const auto described = [&](std::string_view key) { return config.described(*find_broker_config_key(key)); };
  EXPECT_EQ(described("offsets.topic.replication.factor"), "1");
  ASSERT_TRUE(config.set("offsets.topic.replication.factor", "3"));
  EXPECT_EQ(described("offsets.topic.replication.factor"), "1") << "a single broker keeps one copy";
  ASSERT_TRUE(config.set("broker.id", "7"));
  EXPECT_EQ(described("node.id"), "7");
  EXPECT_EQ(described("broker.id"), "7");
  EXPECT_EQ(described("log.retention.ms"), std::nullopt);
  EXPECT_EQ(described("num.io.threads"), "8");
}

TEST(BrokerConfig, KafkasInternalKeysDoNotStopTheStart) {
  BrokerConfig config;
  ASSERT_TRUE(config.set("producer.id.expiration.check.interval.ms", "1000"));
  ASSERT_TRUE(config.set("unstable.api.versions.enable", "true"));
  EXPECT_FALSE(config.set("producer.id.expiration.check.interval.ms", "0"));
  EXPECT_EQ(config.without_effect().size(), 2u);
}

TEST(BrokerConfig, KeysThatActAtOnceAreThoseOfKafka) {
  for (const ConfigKey& key : broker_config_keys()) {
    if (key.dynamic) {
      EXPECT_NE(key.support, ConfigSupport::kRefused) << key.name;
    }
  }
  EXPECT_TRUE(check_dynamic_configs({{"log.retention.ms", "5"}}));
  EXPECT_TRUE(check_dynamic_configs({{"num.io.threads", "5"}}));
  EXPECT_FALSE(check_dynamic_configs({{"num.io.threads", "0"}}));
  EXPECT_FALSE(check_dynamic_configs({{"num.partitions", "5"}}));
  EXPECT_FALSE(check_dynamic_configs({{"log.retention.hours", "5"}}));
}

// A retention of 0 would delete everything: every way in checks, as Kafka does.
TEST(BrokerConfig, LimitsAreMinusOneOrAtLeastOne) {
  for (const char* key : {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}) {
    BrokerConfig config;
    for (const char* bad : {"0", "-5"}) EXPECT_FALSE(config.set(key, bad)) << key << "=" << bad;
    for (const char* good : {"-1", "1"}) EXPECT_TRUE(config.set(key, good)) << key << "=" << good;
  }
  const auto refused = check_dynamic_configs({{"log.retention.ms", "0"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("unlimited (-1)"));
  EXPECT_TRUE(check_dynamic_configs({{"log.retention.ms", "-1"}}));
  EXPECT_FALSE(check_dynamic_configs({{"compression.gzip.level", "0"}}));
  EXPECT_FALSE(check_dynamic_configs({{"compression.gzip.level", "10"}}));
  EXPECT_TRUE(check_dynamic_configs({{"compression.gzip.level", "-1"}, {"log.roll.ms", "1"}}));
  EXPECT_FALSE(check_dynamic_configs({{"log.roll.ms", "0"}}));
  BrokerConfig config;
  EXPECT_FALSE(config.set("compression.gzip.level", "0"));
  EXPECT_FALSE(config.set("log.roll.ms", "0"));
}

TEST(BrokerConfig, TheCleanerMayBeSetWhileItRuns) {
  EXPECT_TRUE(check_dynamic_configs({{"log.cleaner.threads", "2"},
                                     {"log.cleaner.backoff.ms", "1000"},
                                     {"log.cleaner.dedupe.buffer.size", "33554432"},
                                     {"log.cleaner.io.buffer.load.factor", "0.8"},
                                     {"log.cleaner.io.buffer.size", "1048576"},
                                     {"log.cleaner.io.max.bytes.per.second", "1000000"}}));
  EXPECT_FALSE(check_dynamic_configs({{"log.cleaner.threads", "-1"}}));
  EXPECT_FALSE(check_dynamic_configs({{"log.cleaner.enable", "false"}}));
}

TEST(BrokerConfig, ReassignmentToolsMaySetTheirThrottles) {
  EXPECT_TRUE(check_dynamic_configs({{"leader.replication.throttled.rate", "10"},
                                     {"follower.replication.throttled.rate", "10"},
                                     {"replica.alter.log.dirs.io.max.bytes.per.second", "10"}}));
  EXPECT_FALSE(check_dynamic_configs({{"leader.replication.throttled.rate", "-1"}}));
}

TEST(BrokerConfig, SaysThatSecurityIsNotServed) {
  for (const char* name : {"super.users", "listener.name.sasl_ssl.ssl.keystore.location", "listener.name.a.sasl.jaas.config"}) {
    const auto refused = BrokerConfig().set(name, "x");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, weir::ErrorCode::kUnsupported);
    EXPECT_THAT(refused.error().message, HasSubstr("not available in this version")) << name;
  }
}

TEST(BrokerConfig, NamesKeysWithoutEffect) {
  BrokerConfig config;
  ASSERT_TRUE(config.add_setting("num.io.threads=8"));
  ASSERT_TRUE(config.add_setting("num.partitions=8"));
  const auto keys = config.without_effect();
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_STREQ(keys[0].key->name, "num.io.threads");
  EXPECT_FALSE(keys[0].asks);
  ASSERT_TRUE(config.add_setting("num.io.threads=16"));
  EXPECT_TRUE(config.without_effect()[0].asks);
}

TEST(BrokerConfig, SaysThatKeysOfEarlierKafkasCanGo) {
  for (const char* name : {"zookeeper.connect", "zookeeper.session.timeout.ms", "inter.broker.protocol.version", "port",
                           "host.name", "log.message.format.version", "broker.id.generation.enable"}) {
    const auto refused = BrokerConfig().set(name, "1");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "'" + std::string(name) +
                                           "' was a setting of Apache Kafka before version 4 and means nothing any more: "
                                           "take the line out");
  }
  for (const ConfigKey& key : broker_config_keys()) EXPECT_FALSE(is_former_kafka_key(key.name)) << key.name;
}

TEST(BrokerConfig, AnEmptyValueIsSeenInTheMessage) {
  const auto refused = BrokerConfig().set("num.partitions", "");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("Invalid value '' for configuration num.partitions"));
}

TEST(Properties, JavasRules) {
  const auto parsed = parse_properties(
      "# comment\n  ! another\na=1\nb : 2\nc 3\n  d\\ e = x\\ty \nf=one,\\\n   "
      "two\r\ng\\u00e4=\\u20ac\\ud83d\\ude00\nh=\\\\\ni\n");
  ASSERT_TRUE(parsed);
  ASSERT_EQ(parsed->size(), 8u);
  EXPECT_EQ((*parsed)[1].value, "2");
  EXPECT_EQ((*parsed)[2].key, "c");
  EXPECT_EQ((*parsed)[2].value, "3");
  EXPECT_EQ((*parsed)[3].key, "d e");
  EXPECT_EQ((*parsed)[3].value, "x\ty ");
  EXPECT_EQ((*parsed)[4].value, "one,two");
  EXPECT_EQ((*parsed)[4].line, 7);
  EXPECT_EQ((*parsed)[5].key, "g\xc3\xa4");
  EXPECT_EQ((*parsed)[5].value, "\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ((*parsed)[6].value, "\\");
  EXPECT_EQ((*parsed)[7].value, "");
  EXPECT_FALSE(parse_properties("a=\\u12"));
  EXPECT_EQ(parse_properties("a=b\\")->at(0).value, "b");
}

TEST(Properties, SeparatorsAndLinesThatGoOn) {
  const auto pairs = [](std::string_view text) {
    std::vector<std::pair<std::string, std::string>> result;
    const auto properties = parse_properties(text);
    for (const Property& property : *properties) result.emplace_back(property.key, property.value);
    return result;
  };
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(pairs("num.partitions 3"), (Pairs{{"num.partitions", "3"}}));
  EXPECT_EQ(pairs("a\t=\t3\nb\f:\f4"), (Pairs{{"a", "3"}, {"b", "4"}}));
  EXPECT_EQ(pairs("a = = 3\nb=c=d\ne f=g\nh==i"), (Pairs{{"a", "= 3"}, {"b", "c=d"}, {"e", "f=g"}, {"h", "=i"}}));
  EXPECT_EQ(pairs("a\\=b=c\nd\\:e:f\ng\\ h i"), (Pairs{{"a=b", "c"}, {"d:e", "f"}, {"g h", "i"}}));
  EXPECT_EQ(pairs("a=b #no comment\n#a=c\n \t!a=d\n"), (Pairs{{"a", "b #no comment"}}));
  EXPECT_EQ(pairs("a=1,\\\n  # 2,\\\r\n\t3\rb=4"), (Pairs{{"a", "1,# 2,3"}, {"b", "4"}}));
  EXPECT_EQ(pairs("a=b\\\n\nc=d"), (Pairs{{"a", "b"}, {"c", "d"}})) << "an empty line ends the one that goes on";
  EXPECT_EQ(pairs("\\\n\n\\\n# c\na=b\n\\"), (Pairs{{"#", "c"}, {"a", "b"}}));
  EXPECT_EQ(pairs("a\\\\=b\\q\\\\\nc="), (Pairs{{"a\\", "bq\\"}, {"c", ""}}));
}

TEST(BrokerConfig, TakesValuesWithoutTheBlanksAroundThem) {
  BrokerConfig config;
  ASSERT_TRUE(config.add_file("num.partitions 3 \nlog.dirs=/data \t\r\nweir.flush=os \n", "f"));
  EXPECT_EQ(config.integer("num.partitions"), 3);
  EXPECT_EQ(config.text("log.dirs"), "/data");
  EXPECT_EQ(config.text("weir.flush"), "os");
}

TEST(BrokerConfig, TellsOfEveryWrongLine) {
  BrokerConfig config;
  const auto refused = config.add_file("num.partitions=x\nnode.id=4\nno.such=1\n\nlog.retention.ms=soon", "f");
  ASSERT_FALSE(refused);
  const std::string& message = refused.error().message;
  for (const char* part : {"f, line 1: ", "\nf, line 3: ", "\nf, line 5: "}) EXPECT_THAT(message, HasSubstr(part));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 2);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "no.such.key=1\n";
  const std::string bounded = config.add_file(many, "f").error().message;
  EXPECT_LT(bounded.size(), 5000u);
  EXPECT_THAT(bounded, HasSubstr("980 more lines are wrong"));
}

TEST(Listeners, CombinesBoundAndAdvertised) {
  const auto listeners = combine_listeners("PLAINTEXT://0.0.0.0:9092,internal://[::1]:0", "PLAINTEXT://b.example:9092",
                                           "PLAINTEXT:PLAINTEXT,INTERNAL:plaintext");
  ASSERT_TRUE(listeners) << listeners.error().message;
  EXPECT_EQ((*listeners)[0].advertised->host, "b.example");
  EXPECT_EQ((*listeners)[1].name, "INTERNAL");
  EXPECT_EQ((*listeners)[1].security_protocol, "PLAINTEXT");
  EXPECT_EQ((*listeners)[1].bound.host, "::1");
}

TEST(Listeners, AllInterfacesWithoutAdvertisedTellClientsWhatTheyConnectedTo) {
  for (const char* everywhere : {"PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://[::]:9092", "PLAINTEXT://:9092"}) {
    const auto found = combine_listeners(everywhere, "", "PLAINTEXT:PLAINTEXT");
    ASSERT_TRUE(found);
    EXPECT_FALSE((*found)[0].advertised);
    EXPECT_EQ((*found)[0].bound, (runtime::Endpoint{"", 9092}));  // IPv4 and IPv6
  }
  const auto listeners = combine_listeners("PLAINTEXT://:9092", "", "PLAINTEXT:PLAINTEXT");
  ConnectionInfo info;
  info.listener = &(*listeners)[0];
  info.local = {"10.1.2.3", 9092};
  EXPECT_EQ(info.advertised().host, "10.1.2.3");
}

TEST(Listeners, ExplainsMistakes) {
  for (const char* text : {"", "127.0.0.1:9092", "PLAINTEXT://host", "PLAINTEXT://host:x", "PLAINTEXT://::1:9092",
                           "PLAINTEXT://a:1,PLAINTEXT://b:2", "PLAINTEXT://a:99999", "OTHER://a:1"}) {
    EXPECT_FALSE(combine_listeners(text, "", "PLAINTEXT:PLAINTEXT")) << text;
  }
  EXPECT_THAT(combine_listeners("PLAINTEXT://a:", "", "PLAINTEXT:PLAINTEXT").error().message, HasSubstr("'a:' has no port"));
  for (const char* everywhere : {":1", "0.0.0.0:1", "[::]:1"}) {
    EXPECT_FALSE(combine_listeners("PLAINTEXT://a:1", std::string("PLAINTEXT://") + everywhere, "PLAINTEXT:PLAINTEXT"));
    EXPECT_FALSE(combine_listeners(std::string("A://0.0.0.0:1,B://") + everywhere, "", "A:PLAINTEXT,B:PLAINTEXT"));
  }
  EXPECT_FALSE(combine_listeners("PLAINTEXT://a:1", "OTHER://b:1", "PLAINTEXT:PLAINTEXT"));
}

}  // namespace
}  // namespace weir::broker
