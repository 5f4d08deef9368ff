// An authorizer for tests. They grant it rights.
#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

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

}  // namespace weir::broker
