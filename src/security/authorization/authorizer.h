// The question whether somebody may do something. Numbers are those of Kafka's AclOperation and ResourceType.
#pragma once

#include <cstdint>
#include <string_view>

#include "security/authorization/principal.h"

namespace weir::security {

enum class ResourceType : int8_t {
  kTopic = 2,
  kGroup = 3,
  kCluster = 4,  // there is one: kClusterName
  kTransactionalId = 5,
  kDelegationToken = 6,
  kUser = 7,
};

enum class AclOperation : int8_t {
  kNone = 0,  // no right is needed
  kRead = 3,
  kWrite = 4,
  kCreate = 5,
  kDelete = 6,
  kAlter = 7,
  kDescribe = 8,
  kClusterAction = 9,
  kDescribeConfigs = 10,
  kAlterConfigs = 11,
  kIdempotentWrite = 12,
  kCreateTokens = 13,
  kDescribeTokens = 14,
  kTwoPhaseCommit = 15,
};

inline constexpr std::string_view kClusterName = "kafka-cluster";

struct Resource {
  ResourceType type = ResourceType::kCluster;
  std::string_view name = kClusterName;
};

// One for the process, asked by every shard at once. A function of its arguments and of the rules of the moment.
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  // `host`: the address that the principal comes from, as text.
  virtual bool allowed(const Principal& principal, std::string_view host, AclOperation operation,
                       const Resource& resource) const = 0;
  // Whether there may be a resource of the type that the operation is allowed on.
  virtual bool allowed_with_any(const Principal& principal, std::string_view host, AclOperation operation,
                                ResourceType type) const = 0;
};

// What can be done with a type of resource: bit n stands for operation n. The form of the fields `*_authorized_operations`.
int32_t operations_of(ResourceType type);

}  // namespace weir::security
