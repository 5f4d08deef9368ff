#include "coordination/runtime/append_errors.h"

#include <gtest/gtest.h>

namespace weir::coordination {
namespace {

using protocol::ErrorCode;

TEST(AppendErrorsTest, AreKafkas) {
  for (const ErrorCode error :
       {ErrorCode::kUnknownTopicOrPartition, ErrorCode::kNotEnoughReplicas, ErrorCode::kRequestTimedOut}) {
    EXPECT_EQ(error_of_failed_append(error), ErrorCode::kCoordinatorNotAvailable);
  }
  for (const ErrorCode error : {ErrorCode::kNotLeaderOrFollower, ErrorCode::kKafkaStorageError}) {
    EXPECT_EQ(error_of_failed_append(error), ErrorCode::kNotCoordinator);
  }
  for (const ErrorCode error : {ErrorCode::kMessageTooLarge, ErrorCode::kRecordListTooLarge, ErrorCode::kInvalidFetchSize}) {
    EXPECT_EQ(error_of_failed_append(error), ErrorCode::kUnknownServerError);
  }
  EXPECT_EQ(error_of_failed_append(ErrorCode::kInvalidProducerEpoch), ErrorCode::kInvalidProducerEpoch);
}

}  // namespace
}  // namespace weir::coordination
