#include "security/authorization/authorizer.h"

#include <gtest/gtest.h>

namespace weir::security {
namespace {

// As Kafka's tools decode them: AclUtils and AclEntry.supportedOperations.
TEST(AuthorizerTest, OperationsOfATypeAreKafkas) {
  EXPECT_EQ(operations_of(ResourceType::kTopic), 3576);
  EXPECT_EQ(operations_of(ResourceType::kGroup), 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11);
  EXPECT_EQ(operations_of(ResourceType::kCluster), 8096);
  EXPECT_EQ(operations_of(ResourceType::kTransactionalId), 1 << 4 | 1 << 8 | 1 << 15);
  EXPECT_EQ(operations_of(ResourceType::kDelegationToken), 1 << 8);
  EXPECT_EQ(operations_of(ResourceType::kUser), 1 << 13 | 1 << 14);
}

TEST(PrincipalTest, IsAnonymousUntilSomebodyAsks) {
  EXPECT_EQ(Principal().text(), "User:ANONYMOUS");
  EXPECT_EQ((Principal{"User", "alice"}).text(), "User:alice");
}

}  // namespace
}  // namespace weir::security
