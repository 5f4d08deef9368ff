#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace weir {

std::unexpected<Error> fail_errno(std::string what, int os_errno) {
  ErrorCode code = ErrorCode::kIo;
  if (os_errno == ENOSPC || os_errno == EDQUOT) code = ErrorCode::kNoSpace;
  if (os_errno == ENOENT) code = ErrorCode::kNotFound;
  if (os_errno == EEXIST) code = ErrorCode::kExists;
  return fail(code, what + ": " + std::generic_category().message(os_errno), os_errno);
}

std::string remedy_of(const Error& error, std::string usual) {
  if (error.os_errno == EACCES || error.os_errno == EPERM) {
    return "Give the folder and all that is in it to the user that Weir runs as (chown -R USER: FOLDER)";
  }
  if (error.os_errno != EMFILE && error.os_errno != ENFILE) return usual;
  return "Raise the limit of open files (ulimit -n, LimitNOFILE) or lower max.connections; it goes on by itself once descriptors "
         "are free";
}

}  // namespace weir
