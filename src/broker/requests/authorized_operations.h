// Bit fields of permitted operations, as Metadata and Describe* responses carry them: bit n is operation n of Kafka's
// AclOperation. Without an authorizer everything the resource knows is permitted.
#pragma once

#include <cstdint>

namespace weir::broker {

inline constexpr int32_t kOperationsNotAsked = INT32_MIN;

// Read 3, Write 4, Create 5, Delete 6, Alter 7, Describe 8, ClusterAction 9, DescribeConfigs 10, AlterConfigs 11,
// IdempotentWrite 12.
inline constexpr int32_t kAllTopicOperations = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
inline constexpr int32_t kAllClusterOperations = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

}  // namespace weir::broker
