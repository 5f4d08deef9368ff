// The answer for a request, or a part of one, that is not done: an error and its text.
#pragma once

#include <string>

#include "protocol/errors.h"

namespace weir::broker {

struct Refusal {
  protocol::ErrorCode error{};
  std::string message;
};

}  // namespace weir::broker
