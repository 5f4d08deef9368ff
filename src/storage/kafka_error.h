// Kafka's error for a failed operation of the log or of a metadata store: the one mapping of weir::ErrorCode to a client's.
// Appends and reads carry Kafka's error themselves, for they know more of them.
#pragma once

#include "base/result.h"
#include "protocol/errors.h"

namespace weir::storage {

// `invalid`: the error of input that the operation refuses. All else is trouble of the broker, and clients retry it.
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
