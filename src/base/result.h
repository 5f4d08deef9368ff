// Values for expected failures. Exceptions are for process edges only.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace weir {

enum class ErrorCode {
  kIo,       // the kernel or a device refused; `os_errno` tells more
  kNoSpace,  // ENOSPC or EDQUOT
  kNotFound,
  kExists,
  kCorrupt,      // stored bytes contradict their checksum or format
  kInvalid,      // the caller's input is wrong
  kUnsupported,  // a newer format, a kernel without the feature
  kClosed,       // the object was shut down
  kUnknown,      // the outcome is not known (metadata transactions)
};

struct Error {
  ErrorCode code = ErrorCode::kIo;
  std::string message;  // what happened, with names; written for the operator
  int os_errno = 0;
};

template <typename T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message, int os_errno = 0) {
  return std::unexpected(Error{code, std::move(message), os_errno});
}
// An Error for a failed system call; adds the errno's text and maps ENOSPC, ENOENT, EEXIST.
std::unexpected<Error> fail_errno(std::string what, int os_errno);

// Returns the advice to an operator: `usual`, unless the process ran out of descriptors or lacks a right.
std::string remedy_of(const Error& error, std::string usual);

}  // namespace weir
