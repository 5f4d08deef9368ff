// The expressions by which members subscribe to topics, in RE2's syntax. An expression matches a topic's name as a whole.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "coordination/group/consumer/consumer_messages.h"
#include "coordination/runtime/image.h"

namespace weir::coordination {

// kInvalid, in words for the client: it does not parse, or it is too large.
Result<void> validate_expression(std::string_view expression);

struct TopicExpression {
  std::string expression;
  TopicFilter may_describe;
};
// By expression the topics that match it and that its filter shows, ascending. One that is not valid matches nothing. For the
// pool: it takes time in proportion to the names of all topics, and some MiB of memory beside the result. Nothing: the expression
// would take more than `bytes_max`, or too much time, both of all expressions together.
std::vector<std::optional<std::vector<std::string>>> resolve_expressions(std::span<const TopicExpression> expressions,
                                                                         const Image& image, size_t bytes_max);

}  // namespace weir::coordination
