// For tests of rights: an authorizer that they grant rights, and a request that several of them send.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "protocol/errors.h"
#include "protocol/messages/txn_offset_commit.h"
#include "security/authorization/authorizer.h"

namespace weir::broker {

// Allows granted rights to resources of the types under test, and everything of other types.
class Grants final : public security::Authorizer {
 public:
  using Operation = security::AclOperation;
  using Type = security::ResourceType;

  Grants(std::initializer_list<Type> types) : types_(types) {}

  void add(Operation operation, Type type, std::string_view name) { granted_.emplace(operation, type, name); }
  void clear() { granted_.clear(); }

  bool allowed(const security::Principal&, std::string_view, Operation operation,
               const security::Resource& resource) const override {
    return !types_.contains(resource.type) || granted_.contains({operation, resource.type, std::string(resource.name)});
  }
  bool allowed_with_any(const security::Principal&, std::string_view, Operation operation, Type type) const override {
    const auto first = granted_.lower_bound({operation, type, std::string()});
    return !types_.contains(type) || (first != granted_.end() && std::get<0>(*first) == operation && std::get<1>(*first) == type);
  }

 private:
  const std::set<Type> types_;
  std::set<std::tuple<Operation, Type, std::string>> granted_;
};

// A TxnOffsetCommit for the topic `t` and for one that is absent.
class TwoTopicsCommit {
 public:
  TwoTopicsCommit(std::string_view transactional_id, std::string_view group, const Uuid& topic) {
    asked_[0].name = "t";
    asked_[0].topic_id = topic;
    asked_[1].name = "absent";
    asked_[1].topic_id = Uuid::from_random(9, 9);
    for (auto& each : asked_) each.partitions = {&partition_, 1};
    request.transactional_id = transactional_id;
    request.group_id = group;
    request.topics = asked_;
  }
  TwoTopicsCommit(const TwoTopicsCommit&) = delete;

  // The error of `t`. With `denial` nothing tells that the other topic is absent.
  static protocol::ErrorCode error_in(const protocol::TxnOffsetCommitResponse& answer, protocol::ErrorCode denial) {
    const auto error = [&](size_t topic) {
      return static_cast<protocol::ErrorCode>(answer.topics[topic].partitions[0].error_code);
    };
    if (error(0) == denial) {
      EXPECT_EQ(error(1), denial) << "not that it is absent";
    }
    return error(0);
  }

  protocol::TxnOffsetCommitRequest request;

 private:
  protocol::TxnOffsetCommitRequest::TxnOffsetCommitRequestPartition partition_;
  protocol::TxnOffsetCommitRequest::TxnOffsetCommitRequestTopic asked_[2];
};

}  // namespace weir::broker
