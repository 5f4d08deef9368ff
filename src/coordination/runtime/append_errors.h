// The error for a client whose step's records could not be appended, as Kafka maps it.
#pragma once

#include "protocol/errors.h"

namespace weir::coordination {

constexpr protocol::ErrorCode error_of_failed_append(protocol::ErrorCode error) {
  using enum protocol::ErrorCode;
  switch (error) {
    case kUnknownTopicOrPartition:
    case kNotEnoughReplicas:
    case kRequestTimedOut:
      return kCoordinatorNotAvailable;
    case kNotLeaderOrFollower:
    case kKafkaStorageError:
      return kNotCoordinator;
    case kMessageTooLarge:
    case kRecordListTooLarge:
    case kInvalidFetchSize:
      return kUnknownServerError;
    default:
      return error;
  }
}

}  // namespace weir::coordination
