// The rows of the table of APIs decide about a request before its handler is called.
#include <gmock/gmock.h>

#include <functional>

#include "broker/server/connection_fixture.h"
#include "protocol/messages/describe_quorum.h"

namespace weir::broker {
namespace {

using protocol::ApiKey;
using security::AclOperation;
using security::ResourceType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Allows the rights that the test names, and notes each question.
class NotingAuthorizer final : public security::Authorizer {
 public:
  bool allowed(const security::Principal& principal, std::string_view host, AclOperation operation,
               const security::Resource& resource) const override {
    asked.push_back(principal.text() + " from " + std::string(host) + " " + std::to_string(static_cast<int>(operation)) + " on " +
                    std::string(resource.name));
    return rule(operation, resource);
  }
  bool allowed_with_any(const security::Principal&, std::string_view, AclOperation, ResourceType) const override { return true; }
  std::function<bool(AclOperation, const security::Resource&)> rule = [](AclOperation, const security::Resource&) {
    return true;
  };
  mutable std::vector<std::string> asked;
};

class DispatchTest : public ConnectionTest {
 protected:
  void SetUp() override {
    ConnectionTest::SetUp();
    dispatcher_.add({.key = ApiKey::kDescribeQuorum,
                     .needs = {.cluster = AclOperation::kDescribe, .cluster_right = ClusterRight::kRequired},
                     .deny = deny},
                    [this](RequestContextPtr context) { held_.push_back(std::move(context)); });
    dispatcher_.add({.key = ApiKey::kApiVersions, .max_version = 4, .before_authentication = true, .any_version = true},
                    [this](RequestContextPtr context) { held_.push_back(std::move(context)); });
  }
  static void deny(RequestContextPtr context, protocol::ErrorCode error) {
    protocol::DescribeQuorumResponse response;
    response.error_code = code(error);
    context->respond_as(response, 0);
  }
  static std::string describe_quorum(int32_t correlation) {
    return frame(55, 0, correlation, std::string("\0\1\0", 3));  // no tagged fields, no topics, no tagged fields
  }
  static std::string api_versions(int32_t correlation, int16_t version) { return frame(18, version, correlation); }

  NotingAuthorizer authorizer_;
};

TEST_F(DispatchTest, WithoutAnAuthorizerNobodyIsAsked) {
  FakePeer& peer = connect();
  peer.send(describe_quorum(1));
  ASSERT_EQ(held_.size(), 1u);
  EXPECT_TRUE(held_[0]->authorize(AclOperation::kAlter, {}));
  EXPECT_EQ(held_[0]->authorized_operations({ResourceType::kTopic, "t"}), 3576);
}

TEST_F(DispatchTest, WhatARowDemandsOfTheClusterIsAskedBeforeTheHandler) {
  dispatcher_.set_authorizer(&authorizer_);
  FakePeer& peer = connect();
  peer.send(describe_quorum(1));
  EXPECT_EQ(held_.size(), 1u);
  EXPECT_THAT(authorizer_.asked, ElementsAre("User:ANONYMOUS from 10.0.0.1 8 on kafka-cluster"));
  authorizer_.rule = [](AclOperation, const security::Resource&) { return false; };
  peer.send(describe_quorum(2) + list_groups(3));
  EXPECT_EQ(held_.size(), 1u) << "denied";
  answer(std::move(held_[0]));
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3)) << "an API that needs nothing of the cluster is not asked about";
  const AnswerErrors& errors = *dispatcher_.route(55)->errors;
  EXPECT_EQ(errors.total(31), 1);
}

// The handler returns and is called again. The rights may have changed by then.
TEST_F(DispatchTest, AHandlerThatWaitedForMemoryIsDeniedWhatIsForbiddenNow) {
  answer_at_once_ = false;
  dispatcher_.set_authorizer(&authorizer_);
  FakePeer& first = connect();
  FakePeer& second = connect("10.0.0.2");
  first.send(describe_quorum(1));
  second.send(describe_quorum(2));
  ASSERT_EQ(held_.size(), 2u);
  ASSERT_TRUE(held_[0]->reserve(held_[0]->most_answer_bytes()));
  ASSERT_FALSE(held_[1]->reserve(held_[1]->most_answer_bytes()));
  held_.pop_back();
  authorizer_.rule = [](AclOperation, const security::Resource&) { return false; };
  answer(std::move(held_[0]));
  held_.clear();
  turn();
  turn();
  EXPECT_EQ(held_.size(), 0u);
  EXPECT_THAT(correlations(second.received), ElementsAre(2));
  EXPECT_EQ(dispatcher_.route(55)->errors->total(31), 1);
}

TEST_F(DispatchTest, ARequestAsksForItsClient) {
  dispatcher_.set_authorizer(&authorizer_);
  authorizer_.rule = [](AclOperation operation, const security::Resource& resource) {
    return resource.name == "t" && (operation == AclOperation::kDescribe || operation == AclOperation::kRead);
  };
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1));
  ASSERT_EQ(held_.size(), 1u);
  held_[0]->connection().principal = {"User", "alice"};
  EXPECT_TRUE(held_[0]->authorize(AclOperation::kRead, {ResourceType::kTopic, "t"}));
  EXPECT_FALSE(held_[0]->authorize(AclOperation::kRead, {ResourceType::kTopic, "other"}));
  EXPECT_THAT(authorizer_.asked, ElementsAre("User:alice from 10.0.0.1 3 on t", "User:alice from 10.0.0.1 3 on other"));
  EXPECT_TRUE(held_[0]->authorize(AclOperation::kNone, {ResourceType::kTopic, "other"})) << "its row demands nothing";
  EXPECT_EQ(held_[0]->authorized_operations({ResourceType::kTopic, "t"}), 1 << 3 | 1 << 8);
  EXPECT_EQ(held_[0]->authorized_operations({ResourceType::kTopic, "other"}), 0);
}

TEST_F(DispatchTest, AListenerThatAsksWhoIsThereAnswersOnlyWhatComesBefore) {
  listener_.security_protocol = "SASL_PLAINTEXT";
  FakePeer& peer = connect();
  peer.send(api_versions(1, 0));
  EXPECT_EQ(held_.size(), 1u);
  held_.clear();
  FakePeer& other = connect();
  other.send(list_groups(2));
  turn();
  EXPECT_TRUE(other.closed);
  EXPECT_EQ(other.received, "");
  EXPECT_EQ(closed(CloseReason::kProtocol), 1);

  FakePeer& known = connect();
  known.send(api_versions(3, 0));
  ASSERT_EQ(held_.size(), 1u);
  held_[0]->connection().authenticated = true;
  answer(std::move(held_[0]));
  held_.clear();
  known.send(list_groups(4));
  turn();
  EXPECT_THAT(correlations(known.received), ElementsAre(3, 4));
}

TEST_F(DispatchTest, AnyVersionReachesTheHandlerWhereTheRowSaysSo) {
  FakePeer& peer = connect();
  peer.send(api_versions(1, 0) + frame(16, 50, 2));
  EXPECT_EQ(held_.size(), 1u);
  FakePeer& other = connect();
  other.send(api_versions(1, 77));
  EXPECT_EQ(held_.size(), 2u);
  answer(std::move(held_[0]));
  held_.pop_front();
  turn();
  EXPECT_TRUE(peer.closed);
  EXPECT_FALSE(other.closed);
}

}  // namespace
}  // namespace weir::broker
