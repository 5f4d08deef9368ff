// Kafka's error for a failed operation of the log or of a metadata store. This is the only place that maps weir::ErrorCode to
// Kafka's errors. Results of appends and reads carry Kafka's error themselves, because the log knows more about those.
#pragma once

#include "base/result.h"
#include "protocol/errors.h"

namespace weir::storage {

// `invalid`: Kafka's error for input that the operation refuses. All other errors are trouble of the broker, and clients retry.
inline protocol::ErrorCode kafka_error(const Error& error,
                                       protocol::ErrorCode invalid = protocol::ErrorCode::kKafkaStorageError) {
  switch (error.code) {
    case ErrorCode::kInvalid:
      return invalid;
    case ErrorCode::kIo:
    case ErrorCode::kNoSpace:
    case ErrorCode::kNotFound:
    case ErrorCode::kExists:
    case ErrorCode::kCorrupt:
    case ErrorCode::kUnsupported:
    case ErrorCode::kClosed:
    case ErrorCode::kUnknown:
      break;
  }
  return protocol::ErrorCode::kKafkaStorageError;
}

}  // namespace weir::storage
