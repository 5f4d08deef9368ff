#include "security/authorization/authorizer.h"

#include <initializer_list>

namespace weir::security {
namespace {

constexpr int32_t bits(std::initializer_list<AclOperation> operations) {
  int32_t all = 0;
  for (const AclOperation operation : operations) all |= 1 << static_cast<int>(operation);
  return all;
}

}  // namespace

int32_t operations_of(ResourceType type) {
  using enum AclOperation;
  switch (type) {
    case ResourceType::kTopic:
      return bits({kRead, kWrite, kCreate, kDelete, kAlter, kDescribe, kDescribeConfigs, kAlterConfigs});
    case ResourceType::kGroup:
      return bits({kRead, kDelete, kDescribe, kDescribeConfigs, kAlterConfigs});
    case ResourceType::kCluster:
      return bits({kCreate, kAlter, kDescribe, kClusterAction, kDescribeConfigs, kAlterConfigs, kIdempotentWrite});
    case ResourceType::kTransactionalId:
      return bits({kWrite, kDescribe, kTwoPhaseCommit});
    case ResourceType::kDelegationToken:
      return bits({kDescribe});
    case ResourceType::kUser:
      return bits({kCreateTokens, kDescribeTokens});
  }
  return 0;
}

}  // namespace weir::security
