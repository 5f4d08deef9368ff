#include "coordination/group/consumer/regular_expressions.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace weir::coordination {
namespace {

constexpr size_t kExpressionBytesMax = 16 * 1024;
// Each has hundreds of ranges, so that reading 16 KiB of them takes 0.3 s.
constexpr size_t kUnicodeClassesMax = 64;
constexpr int64_t kCompiledBytesMax = 1 << 20;
constexpr size_t kCompiledAtOnce = 16;
// A step is an instruction of an expression over a byte of a name. Those that RE2 has no automaton for take 3 ns each, so that
// this is half a minute; all others take far less.
constexpr size_t kStepsMax = size_t{10} << 30;

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

// Why an expression is not even parsed.
std::optional<std::string> fault_of_size(std::string_view expression) {
  if (expression.size() > kExpressionBytesMax) {
    return fmt::format("SubscribedTopicRegex has {} bytes, more than {}.", expression.size(), kExpressionBytesMax);
  }
  size_t classes = 0;
  for (size_t i = 1; i < expression.size(); ++i) {
    if (expression[i - 1] == '\\' && (expression[i] == 'p' || expression[i] == 'P')) ++classes;
  }
  if (classes <= kUnicodeClassesMax) return std::nullopt;
  return fmt::format("SubscribedTopicRegex has {} Unicode classes, more than {}.", classes, kUnicodeClassesMax);
}

using Compiled = std::unique_ptr<const re2::RE2>;

Compiled compile(std::string_view expression) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(kCompiledBytesMax);
  return std::make_unique<const re2::RE2>(piece(expression), options);
}

struct Resolution {
  Compiled compiled;  // nothing: no topic more
  std::optional<std::vector<std::string>> topics = std::vector<std::string>();
  size_t bytes = 0;
};

Resolution begin(std::string_view expression, size_t name_bytes, size_t& steps_left) {
  if (fault_of_size(expression)) return {};
  Compiled compiled = compile(expression);
  if (!compiled->ok()) return {};
  const size_t steps = name_bytes * static_cast<size_t>(compiled->ProgramSize());
  if (steps > steps_left) return {.compiled = nullptr, .topics = std::nullopt};
  steps_left -= steps;
  return {std::move(compiled)};
}

void take(Resolution& of, std::string_view topic, size_t& bytes_left) {
  const size_t bytes = sizeof(std::string) + topic.size();
  if (bytes > bytes_left) {
    bytes_left += of.bytes;
    of = {.compiled = nullptr, .topics = std::nullopt};
    return;
  }
  bytes_left -= bytes;
  of.bytes += bytes;
  of.topics->emplace_back(topic);
}

}  // namespace

Result<void> validate_expression(std::string_view expression) {
  if (auto fault = fault_of_size(expression)) return fail(weir::ErrorCode::kInvalid, std::move(*fault));
  const Compiled compiled = compile(expression);
  if (compiled->ok()) return {};
  return fail(weir::ErrorCode::kInvalid,
              fmt::format("SubscribedTopicRegex `{}` is not a valid regular expression: {}.", expression, compiled->error()));
}

std::vector<std::optional<std::vector<std::string>>> resolve_expressions(std::span<const TopicExpression> expressions,
                                                                         const Image& image, size_t bytes_max) {
  size_t name_bytes = 0, steps_left = kStepsMax, bytes_left = bytes_max;
  image.for_each_topic([&](std::string_view topic) { name_bytes += topic.size(); });
  std::vector<std::optional<std::vector<std::string>>> results;
  results.reserve(expressions.size());
  while (results.size() < expressions.size()) {
    const auto batch = expressions.subspan(results.size(), std::min(kCompiledAtOnce, expressions.size() - results.size()));
    std::vector<Resolution> resolutions;
    for (const TopicExpression& one : batch) resolutions.push_back(begin(one.expression, name_bytes, steps_left));
    image.for_each_topic([&](std::string_view topic) {
      for (size_t i = 0; i < batch.size(); ++i) {
        Resolution& of = resolutions[i];
        if (!of.compiled || !re2::RE2::FullMatch(piece(topic), *of.compiled)) continue;
        if (!batch[i].may_describe || (*batch[i].may_describe)(topic)) take(of, topic, bytes_left);
      }
    });
    for (Resolution& of : resolutions) {
      if (of.topics) std::ranges::sort(*of.topics);
      results.push_back(std::move(of.topics));
    }
  }
  return results;
}

}  // namespace weir::coordination
