// DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources as clients see them.
#include <gmock/gmock.h>

#include "base/log.h"
#include "broker/config/topic_config.h"
#include "broker/handlers/broker_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/list_config_resources.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr int8_t kTopic = 2, kBroker = 4, kLogger = 8, kClientMetrics = 16, kGroup = 32;
constexpr int8_t kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3;

// Copies of texts, because the texts of an answer point into its bytes.
struct Config {
  std::string value;
  int source = 0;
  int type = 0;
  bool read_only = false;
  std::vector<std::string> synonyms;  // name=value@source
};
struct Described {
  ErrorCode error{};
  std::string message;
  std::map<std::string, Config> configs;
};
struct Altered {
  ErrorCode error{};
  std::string message;
  bool operator==(ErrorCode other) const { return error == other; }
};
std::ostream& operator<<(std::ostream& out, const Altered& altered) {
  return out << code(altered.error) << " " << altered.message;
}

class ConfigsTest : public BrokerTest {
 protected:
  Described describe(int8_t type, std::string_view name) {
    protocol::DescribeConfigsRequest::DescribeConfigsResource resource;
    resource.resource_type = type;
    resource.resource_name = name;
    resource.configuration_keys = std::nullopt;
    protocol::DescribeConfigsRequest request;
    request.resources = {&resource, 1};
    request.include_synonyms = true;
    const auto answer = call<protocol::DescribeConfigsResponse>(4, request);
    Described described;
    described.error = static_cast<ErrorCode>(answer->results[0].error_code);
    described.message = answer->results[0].error_message.value_or("");
    for (const auto& config : answer->results[0].configs) {
      Config& one = described.configs[std::string(config.name)];
      one = {std::string(config.value.value_or("<null>")), config.config_source, config.config_type, config.read_only, {}};
      for (const auto& s : config.synonyms) {
        one.synonyms.push_back(std::string(s.name) + "=" + std::string(s.value.value_or("<null>")) + "@" +
                               std::to_string(s.source));
      }
    }
    return described;
  }
  Config of_broker(const std::string& name) { return describe(kBroker, node()).configs[name]; }
  Altered alter(int8_t type, std::string_view resource_name, std::string_view name, int8_t operation,
                std::optional<std::string_view> value, bool validate_only = false) {
    protocol::IncrementalAlterConfigsRequest::AlterableConfig config;
    config.name = name;
    config.config_operation = operation;
    config.value = value;
    protocol::IncrementalAlterConfigsRequest::AlterConfigsResource resource;
    resource.resource_type = type;
    resource.resource_name = resource_name;
    resource.configs = {&config, 1};
    protocol::IncrementalAlterConfigsRequest request;
    request.resources = {&resource, 1};
    request.validate_only = validate_only;
    const auto answer = call<protocol::IncrementalAlterConfigsResponse>(1, request);
    return {static_cast<ErrorCode>(answer->responses[0].error_code),
            std::string(answer->responses[0].error_message.value_or(""))};
  }
  Altered replace(int8_t type, std::string_view resource_name, const ConfigOverrides& overrides, int16_t version = 2) {
    std::vector<protocol::AlterConfigsRequest::AlterableConfig> configs;
    for (const auto& [name, value] : overrides) configs.push_back({name, value});
    protocol::AlterConfigsRequest::AlterConfigsResource resource;
    resource.resource_type = type;
    resource.resource_name = resource_name;
    resource.configs = configs;
    protocol::AlterConfigsRequest request;
    request.resources = {&resource, 1};
    const auto answer = call<protocol::AlterConfigsResponse>(version, request);
    return {static_cast<ErrorCode>(answer->responses[0].error_code),
            std::string(answer->responses[0].error_message.value_or(""))};
  }
  std::vector<std::string> listed(int16_t version, std::vector<int8_t> types) {
    protocol::ListConfigResourcesRequest request;
    request.resource_types = types;
    const auto answer = call<protocol::ListConfigResourcesResponse>(version, request);
    if (answer->error_code != 0) return {"error " + std::to_string(answer->error_code)};
    std::vector<std::string> names;
    for (const auto& r : answer->config_resources)
      names.push_back(std::to_string(r.resource_type) + " " + std::string(r.resource_name));
    return names;
  }
  std::string node() const { return std::to_string(broker_->shard(0).image->self().id); }
  storage::LogConfig in_force(const TopicId& id, int32_t index = 0) {
    const storage::PartitionId partition{id, index};
    return broker_->shard(broker_->owner(partition)).log.find(partition)->config();
  }
};

TEST_F(ConfigsTest, TopicsSayWhereTheirValuesComeFrom) {
  set("log.retention.hours", "24");
  set("message.max.bytes", "3000");
  restart(false);
  create_topic("t", 1, {{"max.message.bytes", "2000"}});
  Described topic = describe(kTopic, "t");
  EXPECT_EQ(topic.configs["max.message.bytes"].value, "2000");
  EXPECT_EQ(topic.configs["max.message.bytes"].source, 1);
  EXPECT_EQ(topic.configs["max.message.bytes"].type, 3);
  EXPECT_THAT(topic.configs["max.message.bytes"].synonyms,
              ElementsAre("max.message.bytes=2000@1", "message.max.bytes=3000@4", "message.max.bytes=1048588@5"));
  // As in Kafka, the value counts, but a key of another unit is not a synonym of the key in milliseconds.
  EXPECT_EQ(topic.configs["retention.ms"].value, "86400000");
  EXPECT_EQ(topic.configs["retention.ms"].source, 5);
  EXPECT_THAT(topic.configs["retention.ms"].synonyms, IsEmpty());
  EXPECT_THAT(topic.configs["cleanup.policy"].synonyms, ElementsAre("log.cleanup.policy=delete@5"));
  EXPECT_EQ(topic.configs.size(), topic_config_keys().size());
  EXPECT_EQ(describe(kTopic, "absent").error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(describe(kTopic, "bad/name").error, ErrorCode::kInvalidTopicException);
  EXPECT_EQ(describe(3, "x").error, ErrorCode::kInvalidRequest);
}

TEST_F(ConfigsTest, BrokersListAllOfKafkasKeysWithWhatHolds) {
  set("log.retention.minutes", "5");
  set("log.initial.task.delay.ms", "1");
  restart(false);
  const Described broker = describe(kBroker, node());
  const auto& configs = broker.configs;
  EXPECT_EQ(configs.at("log.retention.minutes").source, 4);
  EXPECT_THAT(configs.at("log.retention.minutes").synonyms,
              ElementsAre("log.retention.minutes=5@4", "log.retention.hours=168@5"));
  EXPECT_EQ(configs.at("log.retention.ms").value, "<null>");
  EXPECT_FALSE(configs.at("log.retention.ms").read_only);
  EXPECT_TRUE(configs.at("listeners").read_only);
  // Keys without an effect, and keys that cannot be set, are listed as they are. Internal keys are listed if they are set.
  EXPECT_GE(configs.size(), 352u);
  EXPECT_EQ(configs.at("num.io.threads").value, "8");
  EXPECT_EQ(configs.at("ssl.keystore.location").value, "<null>");
  EXPECT_TRUE(configs.at("ssl.keystore.location").read_only);
  EXPECT_FALSE(configs.contains("producer.id.expiration.check.interval.ms"));
  EXPECT_EQ(configs.at("log.initial.task.delay.ms").value, "1");
  EXPECT_EQ(configs.at("log.initial.task.delay.ms").source, 4);
  // A single broker has one replica of everything, whatever the default of the key.
  for (const char* one : {"offsets.topic.replication.factor", "transaction.state.log.replication.factor",
                          "transaction.state.log.min.isr", "default.replication.factor"}) {
    EXPECT_EQ(configs.at(one).value, "1") << one;
  }
  EXPECT_THAT(configs.at("offsets.topic.replication.factor").synonyms, ElementsAre("offsets.topic.replication.factor=3@5"));
  EXPECT_EQ(configs.at("broker.id").value, node());
  EXPECT_EQ(configs.at("process.roles").value, "broker,controller");
  EXPECT_EQ(describe(kBroker, "4711").message,
            "Unexpected broker id, expected " + node() + " or empty string, but received 4711");
  EXPECT_EQ(describe(kBroker, "one").message, "Broker id must be an integer, but it is: one");
  EXPECT_THAT(describe(kBroker, "").configs, IsEmpty());
}

TEST_F(ConfigsTest, TopicsAreAltered) {
  const TopicId id = create_topic("t", 2);
  EXPECT_EQ(alter(kTopic, "t", "cleanup.policy", kAppend, "compact"), ErrorCode::kNone);
  EXPECT_TRUE(in_force(id, 1).cleanup_compact && in_force(id, 1).cleanup_delete);
  EXPECT_EQ(alter(kTopic, "t", "cleanup.policy", kSubtract, "delete"), ErrorCode::kNone);
  EXPECT_TRUE(in_force(id, 1).cleanup_compact && !in_force(id, 1).cleanup_delete);
  EXPECT_EQ(alter(kTopic, "t", "cleanup.policy", kDelete, std::nullopt), ErrorCode::kNone);
  EXPECT_FALSE(in_force(id, 1).cleanup_compact);
  EXPECT_EQ(alter(kTopic, "t", "retention.ms", kSet, "5000", true), ErrorCode::kNone);
  EXPECT_NE(in_force(id, 1).retention_ms, 5000);
  EXPECT_EQ(alter(kTopic, "t", "retention.ms", kSet, "5000"), ErrorCode::kNone);
  EXPECT_EQ(in_force(id, 1).retention_ms, 5000);
  EXPECT_EQ(alter(kTopic, "t", "retention.ms", kAppend, "1").message,
            "Can't APPEND to key retention.ms because its type is not LIST.");
  EXPECT_EQ(alter(kTopic, "t", "retention.ms", kSet, "x"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(alter(kTopic, "t", "retention.ms", kSet, std::nullopt).message, "Null value not supported for : retention.ms");
  EXPECT_EQ(alter(kTopic, "t", "retention.ms", 7, "1"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kTopic, "t", "no.such", kSet, "1"), ErrorCode::kInvalidConfig);
  const char* list = "leader.replication.throttled.replicas";
  EXPECT_EQ(alter(kTopic, "t", list, kAppend, "0:" + std::string(20'000, '1')), ErrorCode::kNone);
  EXPECT_THAT(alter(kTopic, "t", list, kAppend, "0:" + std::string(20'000, '2')).message,
              HasSubstr("exceeds the maximum value size"));
  EXPECT_EQ(alter(kTopic, "absent", "retention.ms", kSet, "1"), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(alter(kTopic, "", "retention.ms", kSet, "1").message, "Default topic resources are not allowed.");
  EXPECT_EQ(alter(3, "t", "retention.ms", kSet, "1"), ErrorCode::kInvalidRequest);
  restart(false);
  EXPECT_EQ(in_force(id, 1).retention_ms, 5000);
}

TEST_F(ConfigsTest, TheOldRequestReplacesAll) {
  const TopicId id = create_topic("t", 1, {{"retention.ms", "5000"}});
  EXPECT_EQ(replace(kTopic, "t", {{"max.message.bytes", "2000"}}), ErrorCode::kNone);
  EXPECT_EQ(in_force(id).retention_ms, 604'800'000);
  EXPECT_EQ(in_force(id).max_message_bytes, 2000);
  EXPECT_EQ(replace(kTopic, "t", {{"max.message.bytes", "-2000"}}, 0), ErrorCode::kInvalidConfig);
  EXPECT_EQ(in_force(id).max_message_bytes, 2000);
  EXPECT_EQ(replace(kLogger, node(), {{"root", "DEBUG"}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(replace(kBroker, "", {{"message.max.bytes", "7000"}}, 1), ErrorCode::kNone);
  EXPECT_EQ(replace(kBroker, "", {}), ErrorCode::kNone);
  EXPECT_THAT(describe(kBroker, "").configs, IsEmpty());
}

TEST_F(ConfigsTest, ElementsOfListsAreKeptOnce) {
  create_topic("t", 1);
  EXPECT_EQ(alter(kTopic, "t", "cleanup.policy", kSet, "delete,delete"), ErrorCode::kNone);
  EXPECT_EQ(describe(kTopic, "t").configs["cleanup.policy"].value, "delete");
  EXPECT_EQ(alter(kTopic, "t", "cleanup.policy", kSet, "delete,compact"), ErrorCode::kNone);
  EXPECT_EQ(describe(kTopic, "t").configs["cleanup.policy"].value, "delete,compact");
}

TEST_F(ConfigsTest, ValuesAreDescribedParsed) {
  const TopicId id = create_topic("t", 1);
  const auto described = [&](const char* key, const char* value) {
    EXPECT_EQ(alter(kTopic, "t", key, kSet, value), ErrorCode::kNone) << key << "=" << value;
    const Config config = describe(kTopic, "t").configs[key];
    EXPECT_EQ(config.synonyms.front(), std::string(key) + "=" + config.value + "@1");
    return config.value;
  };
  EXPECT_EQ(described("retention.ms", " 5000 "), "5000");
  EXPECT_EQ(described("retention.ms", "+0007"), "7");
  EXPECT_EQ(in_force(id).retention_ms, 7);
  EXPECT_EQ(described("preallocate", "TRUE"), "true");
  EXPECT_EQ(described("cleanup.policy", " compact , delete"), "compact,delete");
  EXPECT_EQ(described("min.cleanable.dirty.ratio", "0.50"), "0.5");
  EXPECT_EQ(described("message.timestamp.type", "LogAppendTime "), "LogAppendTime");
  EXPECT_TRUE(in_force(id).log_append_time);
  EXPECT_EQ(described("compression.type", " gzip"), "gzip");
  EXPECT_EQ(in_force(id).compression, protocol::CompressionType::kGzip);
  EXPECT_EQ(alter(kTopic, "t", "cleanup.policy", kSet, "compact,"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(alter(kBroker, "", "log.message.timestamp.type", kSet, " LogAppendTime"), ErrorCode::kNone);
  EXPECT_EQ(of_broker("log.message.timestamp.type").value, "LogAppendTime");
  const TopicId other = create_topic("other", 1);
  EXPECT_TRUE(in_force(other).log_append_time);
  EXPECT_EQ(alter(kGroup, "g", "consumer.session.timeout.ms", kSet, " 50000"), ErrorCode::kNone);
  EXPECT_EQ(describe(kGroup, "g").configs.at("consumer.session.timeout.ms").value, "50000");
  EXPECT_EQ(alter(kGroup, "g", "share.auto.offset.reset", kSet, "earliest "), ErrorCode::kNone);
}

TEST_F(ConfigsTest, WhatBrokersAreToldAppliesAtOnceAndStays) {
  set("log.retention.ms", "1000");
  restart(false);
  int64_t max_connections = 0;
  broker_->follow_config([&](const BrokerConfig& config) { max_connections = config.integer("max.connections"); });
  const TopicId id = create_topic("t", 1);
  EXPECT_EQ(in_force(id).retention_ms, 1000);
  EXPECT_EQ(alter(kBroker, "", "log.retention.ms", kSet, "2000"), ErrorCode::kNone);
  EXPECT_EQ(in_force(id).retention_ms, 2000);
  EXPECT_EQ(alter(kBroker, node(), "log.retention.ms", kSet, "3000"), ErrorCode::kNone);
  EXPECT_EQ(in_force(id).retention_ms, 3000);
  EXPECT_EQ(alter(kBroker, node(), "log.cleanup.policy", kAppend, "compact"), ErrorCode::kNone);
  EXPECT_TRUE(in_force(id).cleanup_compact && in_force(id).cleanup_delete);
  EXPECT_EQ(alter(kBroker, "", "max.connections", kSet, "50"), ErrorCode::kNone);
  EXPECT_EQ(max_connections, 50);
  const std::vector<std::string> everywhere = {"log.retention.ms=3000@2", "log.retention.ms=2000@3", "log.retention.ms=1000@4",
                                               "log.retention.hours=168@5"};
  EXPECT_EQ(of_broker("log.retention.ms").synonyms, everywhere);
  EXPECT_EQ(of_broker("log.retention.ms").source, 2);
  EXPECT_EQ(describe(kTopic, "t").configs["retention.ms"].synonyms, everywhere);
  EXPECT_EQ(describe(kBroker, "").configs["log.retention.ms"].value, "2000");
  EXPECT_EQ(describe(kBroker, "").configs["log.retention.ms"].source, 3);
  const TopicId younger = create_topic("younger", 1);
  EXPECT_EQ(in_force(younger).retention_ms, 3000);

  restart(false);
  EXPECT_EQ(in_force(id).retention_ms, 3000);
  EXPECT_EQ(of_broker("max.connections").value, "50");
  EXPECT_EQ(alter(kBroker, node(), "log.retention.ms", kDelete, std::nullopt), ErrorCode::kNone);
  EXPECT_EQ(in_force(id).retention_ms, 2000);
  EXPECT_EQ(alter(kBroker, "", "log.retention.ms", kDelete, std::nullopt), ErrorCode::kNone);
  EXPECT_EQ(in_force(id).retention_ms, 1000);
}

TEST_F(ConfigsTest, TheLargestBatchFollowsTheBroker) {
  create_topic("t", 1);
  EXPECT_EQ(alter(kBroker, "", "message.max.bytes", kSet, "100"), ErrorCode::kNone);
  EXPECT_EQ(produce("t", 0, {std::string(200, 'x')})->responses[0].partition_responses[0].error_code,
            code(ErrorCode::kMessageTooLarge));
  EXPECT_EQ(alter(kBroker, "", "message.max.bytes", kDelete, std::nullopt), ErrorCode::kNone);
  EXPECT_EQ(produce("t", 0, {std::string(200, 'x')})->responses[0].partition_responses[0].error_code, 0);
}

TEST_F(ConfigsTest, BrokersRefuseWhatCannotWork) {
  EXPECT_THAT(alter(kBroker, "", "listeners", kSet, "PLAINTEXT://:1").message,
              HasSubstr("Cannot update these configs dynamically: [listeners]"));
  EXPECT_THAT(alter(kBroker, "", "queued.max.requests", kSet, "3").message, HasSubstr("queued.max.requests cannot be altered: "));
  EXPECT_THAT(alter(kBroker, "", "ssl.keystore.location", kSet, "/x").message, HasSubstr("cannot be altered"));
  EXPECT_THAT(alter(kBroker, "", "log.retention.msec", kSet, "3").message, HasSubstr("did you mean log.retention.ms?"));
  EXPECT_THAT(alter(kBroker, "", "log.retention.ms", kSet, "soon").message, HasSubstr("Not a number of type LONG"));
  EXPECT_EQ(alter(kBroker, "4711", "log.retention.ms", kSet, "3").message,
            "Unexpected broker id, expected " + node() + ", but received 4711");
  EXPECT_EQ(alter(kBroker, "x", "log.retention.ms", kSet, "3").message, "Node id must be an integer, but it is: x");
  EXPECT_THAT(describe(kBroker, "").configs, IsEmpty());
}

TEST_F(ConfigsTest, ClientMetricsSubscriptions) {
  EXPECT_EQ(alter(kClientMetrics, "sub", "metrics", kSet, "org.apache.kafka.producer."), ErrorCode::kNone);
  EXPECT_EQ(alter(kClientMetrics, "sub", "interval.ms", kSet, "1000"), ErrorCode::kNone);
  EXPECT_EQ(alter(kClientMetrics, "sub", "match", kAppend, "client_id=a.*"), ErrorCode::kNone);
  EXPECT_EQ(alter(kClientMetrics, "sub", "match", kAppend, "client_software_name=[a-z]+"), ErrorCode::kNone);
  EXPECT_EQ(alter(kClientMetrics, "sub", "interval.ms", kSet, "99"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kClientMetrics, "sub", "no.such", kSet, "99").message, "Unknown client metrics configuration: no.such");
  EXPECT_EQ(alter(kClientMetrics, "sub", "match", kSet, "client_shoe=1"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(alter(kClientMetrics, "sub", "match", kSet, "client_id=(").message, "Illegal client matching pattern: client_id=(");
  EXPECT_EQ(alter(kClientMetrics, "", "metrics", kSet, "x").message, "Subscription name can't be empty");
  restart(false);
  const Described described = describe(kClientMetrics, "sub");
  EXPECT_EQ(described.configs.at("match").value, "client_id=a.*,client_software_name=[a-z]+");
  EXPECT_EQ(described.configs.at("match").source, 7);
  EXPECT_EQ(described.configs.at("interval.ms").value, "1000");
  EXPECT_EQ(describe(kClientMetrics, "other").configs.at("interval.ms").source, 5);
  EXPECT_EQ(describe(kClientMetrics, "").error, ErrorCode::kInvalidRequest);
  EXPECT_THAT(listed(0, {}), ElementsAre("16 sub"));
  EXPECT_EQ(replace(kClientMetrics, "sub", {}), ErrorCode::kNone);
  EXPECT_THAT(listed(0, {}), IsEmpty());
}

TEST_F(ConfigsTest, GroupsTakeDefaultsFromTheBroker) {
  set("group.initial.rebalance.delay.ms", "0");
  const Described group = describe(kGroup, "g");
  EXPECT_EQ(group.configs.size(), 21u);
  EXPECT_EQ(group.configs.at("consumer.session.timeout.ms").value, "45000");
  EXPECT_THAT(group.configs.at("consumer.session.timeout.ms").synonyms, ElementsAre("group.consumer.session.timeout.ms=45000@5"));
  EXPECT_THAT(group.configs.at("share.auto.offset.reset").synonyms, ElementsAre("share.auto.offset.reset=latest@5"));
  EXPECT_EQ(alter(kGroup, "g", "no.such", kSet, "1").message, "Unknown group config name: no.such");
  EXPECT_EQ(alter(kGroup, "", "consumer.session.timeout.ms", kSet, "1").message, "Default group resources are not allowed.");
  EXPECT_EQ(describe(kGroup, "").message, "Group name must not be empty");
}

TEST_F(ConfigsTest, WhatHasNoEffectIsKeptWhereKafkaLetsItBeAltered) {
  EXPECT_EQ(of_broker("num.io.threads").source, 5);
  EXPECT_EQ(alter(kBroker, node(), "num.io.threads", kSet, "9"), ErrorCode::kNone);
  EXPECT_EQ(alter(kBroker, "", "background.threads", kSet, "11"), ErrorCode::kNone);
  EXPECT_EQ(of_broker("num.io.threads").value, "9");
  EXPECT_EQ(of_broker("num.io.threads").source, 2);
  EXPECT_EQ(of_broker("background.threads").value, "11");
  EXPECT_EQ(alter(kBroker, node(), "num.io.threads", kSet, "none"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kBroker, node(), "num.io.threads", kDelete, std::nullopt), ErrorCode::kNone);
  EXPECT_EQ(of_broker("num.io.threads").value, "8");
  EXPECT_EQ(alter(kBroker, node(), "queued.max.requests", kSet, "9"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kBroker, node(), "sasl.enabled.mechanisms", kSet, "PLAIN"), ErrorCode::kInvalidRequest);
}

TEST_F(ConfigsTest, GroupsKeepTheirConfigs) {
  EXPECT_EQ(alter(kGroup, "g", "consumer.session.timeout.ms", kSet, "50000"), ErrorCode::kNone);
  EXPECT_THAT(describe(kGroup, "g").configs.at("consumer.session.timeout.ms").synonyms,
              ElementsAre("consumer.session.timeout.ms=50000@8", "group.consumer.session.timeout.ms=45000@5"));
  EXPECT_EQ(describe(kGroup, "other").configs.at("consumer.session.timeout.ms").value, "45000");
  EXPECT_EQ(alter(kGroup, "g", "consumer.session.timeout.ms", kSet, "60001").message,
            "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive.");
  EXPECT_EQ(alter(kGroup, "g", "share.record.lock.duration.ms", kSet, "14999").message,
            "share.record.lock.duration.ms must be in the range 15000 to 60000 inclusive.");
  EXPECT_EQ(alter(kGroup, "g", "streams.num.standby.replicas", kSet, "3").message,
            "streams.num.standby.replicas must be less than or equal to 2");
  EXPECT_EQ(alter(kGroup, "g", "streams.assignor.name", kSet, "mine").message,
            "streams.assignor.name 'mine' is not a registered task assignor. Registered assignors are: [sticky].");
  EXPECT_EQ(describe(kGroup, "g").configs.at("consumer.session.timeout.ms").value, "50000");
  EXPECT_EQ(alter(kGroup, "g", "consumer.session.timeout.ms", kDelete, std::nullopt), ErrorCode::kNone);
  EXPECT_EQ(describe(kGroup, "g").configs.at("consumer.session.timeout.ms").value, "45000");
}

TEST_F(ConfigsTest, LoggersChangeAtOnce) {
  EXPECT_EQ(describe(kLogger, node()).configs.at("root").value, "INFO");
  EXPECT_EQ(describe(kLogger, node()).configs.at("storage").source, 6);
  EXPECT_FALSE(log_enabled(LogLevel::kDebug));
  EXPECT_EQ(alter(kLogger, node(), "storage", kSet, "DEBUG", true), ErrorCode::kNone);
  EXPECT_FALSE(log_enabled(LogLevel::kDebug));
  EXPECT_EQ(alter(kLogger, node(), "storage", kSet, "DEBUG"), ErrorCode::kNone);
  EXPECT_TRUE(log_enabled(LogLevel::kDebug));
  EXPECT_EQ(describe(kLogger, node()).configs.at("storage").value, "DEBUG");
  EXPECT_EQ(describe(kLogger, node()).configs.at("wal").value, "INFO");
  EXPECT_EQ(alter(kLogger, node(), "storage", kDelete, std::nullopt), ErrorCode::kNone);
  EXPECT_FALSE(log_enabled(LogLevel::kDebug));
  // As in Kafka, a value that is no level is an invalid configuration, and a missing value is an invalid request.
  EXPECT_EQ(alter(kLogger, node(), "storage", kSet, "LOUD").error, ErrorCode::kInvalidConfig);
  EXPECT_EQ(alter(kLogger, node(), "storage", kSet, std::nullopt).error, ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kLogger, node(), "storage", 9, "INFO").message,
            "Unknown operation type 9 is not allowed for the BROKER_LOGGER resource");
  EXPECT_EQ(alter(kLogger, "77", "storage", kSet, "INFO").message,
            "Unexpected node id. Expected " + node() + ", but received 77");
  EXPECT_EQ(alter(kLogger, node(), "shoes", kSet, "INFO").message,
            "Logger shoes does not exist! There are root, broker, groups, http, log, metadata, network, runtime, server, "
            "storage, wal");
  EXPECT_EQ(alter(kLogger, node(), "root", kDelete, std::nullopt), ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kLogger, node(), "wal", kAppend, "INFO").message,
            "APPEND operation is not allowed for the BROKER_LOGGER resource");
  EXPECT_EQ(alter(kLogger, "", "wal", kSet, "INFO"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(describe(kLogger, "").message, "Broker id must not be empty");
}

TEST_F(ConfigsTest, ResourcesAreListed) {
  create_topic("t", 1);
  EXPECT_EQ(alter(kClientMetrics, "sub", "metrics", kSet, "*"), ErrorCode::kNone);
  EXPECT_THAT(listed(1, {}), UnorderedElementsAre("16 sub", "8 " + node(), "4 " + node(), "2 t"));
  EXPECT_THAT(listed(1, {kTopic, kBroker}), UnorderedElementsAre("4 " + node(), "2 t"));
  EXPECT_THAT(listed(1, {3}), ElementsAre("error " + std::to_string(code(ErrorCode::kUnsupportedVersion))));
}

TEST_F(ConfigsTest, ResourcesOfOneRequestStandAlone) {
  create_topic("t", 1);
  protocol::IncrementalAlterConfigsRequest::AlterableConfig configs[2];
  configs[0].name = configs[1].name = "retention.ms";
  configs[0].value = configs[1].value = "1";
  std::vector<protocol::IncrementalAlterConfigsRequest::AlterConfigsResource> resources(4);
  for (auto& resource : resources) {
    resource.resource_type = kTopic;
    resource.resource_name = "t";
    resource.configs = {configs, 1};
  }
  resources[1].resource_name = resources[2].resource_name = "twice";
  resources[3].resource_name = "u";
  resources[3].configs = configs;
  protocol::IncrementalAlterConfigsRequest request;
  request.resources = resources;
  const auto answer = call<protocol::IncrementalAlterConfigsResponse>(0, request);
  EXPECT_EQ(answer->responses[0].error_code, 0);
  EXPECT_EQ(*answer->responses[1].error_message, "Each resource must appear at most once.");
  EXPECT_EQ(*answer->responses[2].error_message, "Each resource must appear at most once.");
  EXPECT_EQ(*answer->responses[3].error_message, "Error due to duplicate config keys");
}

TEST_F(ConfigsTest, AnUnknownOutcomeIsFoundOut) {
  faulty_.plan({storage::FaultyMetaStore::Fault::kUnknownNotDone, storage::FaultyMetaStore::Fault::kUnknownDone});
  EXPECT_EQ(alter(kBroker, "", "max.connections", kSet, "77"), ErrorCode::kNone);
  EXPECT_EQ(of_broker("max.connections").value, "77");
  faulty_.plan({storage::FaultyMetaStore::Fault::kFailed});
  EXPECT_EQ(alter(kBroker, "", "max.connections", kSet, "78"), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(of_broker("max.connections").value, "77");
}

}  // namespace
}  // namespace weir::broker
