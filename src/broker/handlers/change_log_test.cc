// The log says who changed what.
#include "broker/metadata/change_log.h"

#include <gmock/gmock.h>

#include "base/log.h"
#include "broker/handlers/broker_fixture.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/incremental_alter_configs.h"

namespace weir::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ChangeLogTest : public BrokerTest {
 protected:
  ChangeLogTest() {
    set_log_sink([this](LogLevel, std::string_view module, std::string_view message) {
      if (module == "metadata") lines_.emplace_back(message);
    });
  }
  ~ChangeLogTest() override { set_log_sink({}); }

  std::vector<std::string> take_lines() { return std::exchange(lines_, {}); }
  void alter(int8_t type, std::string_view name, std::string_view key, int8_t operation, std::optional<std::string_view> value) {
    protocol::IncrementalAlterConfigsRequest::AlterableConfig config;
    config.name = key;
    config.config_operation = operation;
    config.value = value;
    protocol::IncrementalAlterConfigsRequest::AlterConfigsResource resource;
    resource.resource_type = type;
    resource.resource_name = name;
    resource.configs = {&config, 1};
    protocol::IncrementalAlterConfigsRequest request;
    request.resources = {&resource, 1};
    const auto answer = call<protocol::IncrementalAlterConfigsResponse>(1, request);
    ASSERT_EQ(answer->responses[0].error_code, 0) << answer->responses[0].error_message.value_or("");
  }

  std::vector<std::string> lines_;
};

TEST_F(ChangeLogTest, ATopicsLifeIsToldWithTheClientThatAskedForIt) {
  const std::string id = create_topic("orders", 2, {{"retention.ms", "5000"}}).to_string();
  EXPECT_THAT(take_lines(), ElementsAre(::testing::StartsWith("Topic 'orders' (" + id +
                                                              ") created with 2 partitions, "
                                                              "retention.ms='5000' by client 'test' at ")));
  protocol::CreatePartitionsRequest::CreatePartitionsTopic more;
  more.name = "orders";
  more.count = 3;
  more.assignments = std::nullopt;
  protocol::CreatePartitionsRequest grow;
  grow.topics = {&more, 1};
  call<protocol::CreatePartitionsResponse>(3, grow);
  EXPECT_THAT(take_lines(), ElementsAre(HasSubstr("partitions changed from 2 to 3 by client 'test' at ")));
  protocol::DeleteTopicsRequest remove;
  std::string_view name = "orders";
  remove.topic_names = {&name, 1};
  call<protocol::DeleteTopicsResponse>(5, remove);
  EXPECT_THAT(take_lines(), ElementsAre(HasSubstr("(" + id + ") deleted by client 'test' at ")));
}

TEST_F(ChangeLogTest, ConfigurationsAreToldWithTheirOldAndNewValues) {
  create_topic("orders", 1);
  take_lines();
  alter(2, "orders", "retention.ms", 0, "5000");
  alter(2, "orders", "retention.ms", 0, "6000");
  alter(2, "orders", "retention.ms", 1, std::nullopt);
  alter(4, "", "log.retention.ms", 0, "7000");
  EXPECT_THAT(take_lines(),
              ElementsAre(HasSubstr("topic 'orders': retention.ms changed from the default to '5000' by client 'test' at "),
                          HasSubstr("changed from '5000' to '6000'"), HasSubstr("changed from '6000' to the default"),
                          HasSubstr("all brokers: log.retention.ms changed from the default to '7000'")));
}

TEST_F(ChangeLogTest, LevelsOfLoggersAndDeletedRecordsAreTold) {
  alter(8, std::to_string(config_.node_id()), "groups", 0, "DEBUG");
  EXPECT_THAT(take_lines(),
              ElementsAre(::testing::StartsWith("Level of logger groups changed from INFO to DEBUG by client 'test' at ")));
  alter(8, std::to_string(config_.node_id()), "groups", 1, std::nullopt);
}

// A client that sets such keys waits for an effect. A line for each key would let one request flood the log, and names come from
// the client.
TEST_F(ChangeLogTest, WhatIsKeptWithoutEffectIsToldInOneLine) {
  const auto told = [&](std::string_view text) {
    std::vector<std::string> found;
    for (std::string& line : take_lines()) {
      if (line.find(text) != std::string::npos) found.push_back(std::move(line));
    }
    return found;
  };
  constexpr std::string_view kKept = "Kept, but without effect here: ";
  alter(4, "", "num.io.threads", 0, "9");
  EXPECT_THAT(told(kKept), ElementsAre(HasSubstr("num.io.threads of all brokers (")));
  alter(4, "", "num.io.threads", 1, std::nullopt);
  alter(32, "g", "share.session.timeout.ms", 1, std::nullopt);
  EXPECT_THAT(told(kKept), SizeIs(0)) << "it is taken back";
  alter(32, "g", "consumer.session.timeout.ms", 0, "50000");
  EXPECT_THAT(told(kKept), SizeIs(0)) << "it has an effect";

  const std::string long_name = std::string("evil\ngroup' ") + std::string(5000, 'x');
  std::vector<std::string> names{long_name};
  for (int i = 0; i < 50; ++i) names.push_back("g" + std::to_string(i));
  protocol::IncrementalAlterConfigsRequest::AlterableConfig config;
  config.name = "share.session.timeout.ms";
  config.value = "50000";
  std::vector<protocol::IncrementalAlterConfigsRequest::AlterConfigsResource> resources(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    resources[i].resource_type = 32;
    resources[i].resource_name = names[i];
    resources[i].configs = {&config, 1};
  }
  protocol::IncrementalAlterConfigsRequest request;
  request.resources = resources;
  call<protocol::IncrementalAlterConfigsResponse>(1, request);
  const auto lines = told(kKept);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], HasSubstr("of group 'evil?group\\' x"));
  EXPECT_THAT(lines[0], HasSubstr(" and 48 more; by client 'test' at "));
  EXPECT_LT(lines[0].size(), 1000u);
}

TEST_F(ChangeLogTest, NothingIsToldOfWhatDoesNotChange) {
  create_topic("orders", 1, {{"retention.ms", "5000"}});
  take_lines();
  alter(2, "orders", "retention.ms", 0, "5000");
  EXPECT_THAT(take_lines(), SizeIs(0));
}

TEST(DescribeConfigChange, HidesPasswordsAndWhatNobodyKnows) {
  ConfigRecord before, after;
  before.type = after.type = ConfigResourceType::kBroker;
  before.name = after.name = "1";
  after.overrides = {{"ssl.key.password", "secret"}, {"listener.name.x.oauth", "secret"}};
  EXPECT_THAT(describe_config_change(&before, after),
              ElementsAre(EndsWith("listener.name.x.oauth changed from the default to (hidden)"),
                          EndsWith("ssl.key.password changed from the default to (hidden)")));
}

}  // namespace
}  // namespace weir::broker
