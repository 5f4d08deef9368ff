// ConsumerGroups: the topics of regular expressions. A job of the pool looks for them: there may be very many topics.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/counted.h"
#include "base/log.h"
#include "base/printable.h"
#include "coordination/group/consumer/consumer_groups.h"
#include "coordination/group/consumer/regular_expressions.h"

namespace weir::coordination {
namespace {

constexpr int64_t kPauseMs = 10'000;                      // between jobs of a group, as in Kafka
constexpr int64_t kResolvedBytesMax = int64_t{64} << 20;  // of a group's expressions together

struct Resolution {
  std::vector<std::string> regexes;
  std::vector<std::optional<std::vector<std::string>>> topics;  // by expression
  int64_t image_version = 0;
  int64_t wall_ms = 0;
};

}  // namespace

// All expressions are looked at together, so that they cause one rebalance.
bool ConsumerGroups::is_resolution_due(const ConsumerGroup& group, Instant now) const {
  const auto resolved =
      std::ranges::find_if(group.regexes(), [](const auto& regex) { return regex.second.resolved.has_value(); });
  if (resolved != group.regexes().end()) {
    const int64_t age_ms = now.wall_ms - resolved->second.resolved->timestamp_ms;
    const bool clock_set_back = age_ms < 0;
    if (!clock_set_back && age_ms <= kPauseMs) return false;
    if (clock_set_back || age_ms > config_.regex_refresh_interval_ms) return true;
  }
  return group.unresolved_regexes() > 0 || group.soft.resolved_image < newest_topics_;
}

void ConsumerGroups::resolve_regexes(ConsumerGroup& group, const TopicFilter& may_describe, Instant now, Effects& effects) {
  if (group.subscribed_regexes() == 0 || awaited_.waits(group.id(), kResolution)) return;
  if (now.monotonic_ms < group.soft.resolve_again_ms || !is_resolution_due(group, now)) return;
  group.soft.resolve_again_ms = 0;
  std::vector<std::string> regexes;
  for (const auto& [regex, of] : group.regexes()) {
    if (of.subscribers > 0) regexes.push_back(regex);
  }
  const int64_t bytes_max = std::min(kResolvedBytesMax, context_.record_bytes_max / 2);  // they are one batch
  const auto work = [image = context_.image, may_describe, bytes_max, wall_ms = now.wall_ms, regexes = std::move(regexes)] {
    std::vector<TopicExpression> expressions;
    for (const std::string& regex : regexes) expressions.push_back({regex, may_describe});
    Resolution result{regexes, resolve_expressions(expressions, *image, static_cast<size_t>(bytes_max)), image->version(),
                      wall_ms};
    return std::any(std::move(result));
  };
  effects.jobs.push_back({awaited_.begin(group.id(), kResolution), work});
}

// Whether there is memory for the topics of one of a group's expressions.
bool ConsumerGroups::has_room(const std::vector<std::string>& topics, const ConsumerGroup::Regex& of, Instant now) {
  const size_t before = of.resolved ? of.resolved->topics.size() : 0;
  if (topics.size() <= before || !context_.memory.full(GroupMemory::For::kMember)) return true;
  context_.warn_of_memory(now);
  return false;
}

void ConsumerGroups::arrived(const Token& token, std::any result, Instant now, Effects& effects) {
  if (!awaited_.take(token)) return;
  ConsumerGroup* group = context_.groups.find_consumer(token.key);
  if (group == nullptr) return;
  auto& resolution = std::any_cast<Resolution&>(result);
  GroupChange change(context_, effects);
  bool raise = false;
  for (size_t i = 0; i < resolution.regexes.size(); ++i) {
    const std::string& regex = resolution.regexes[i];
    const auto present = group->regexes().find(regex);
    if (present == group->regexes().end() || present->second.subscribers == 0) continue;
    std::optional<std::vector<std::string>>& topics = resolution.topics[i];
    if (!topics || !has_room(*topics, present->second, now)) {
      group->soft.resolve_again_ms = now.monotonic_ms + kPauseMs;
      log_warn("groups", "Group {}: too many topics match {}, it keeps those that it had", quoted(group->id(), 256),
               quoted(regex));
      continue;
    }
    // The first result counts even if it is empty: the member may have left the topics of another expression without an heir.
    raise = raise || !present->second.resolved || present->second.resolved->topics != *topics;
    change.emit(
        ResolvedRegexEntry{group->id(), regex, ResolvedRegex{std::move(*topics), resolution.image_version, resolution.wall_ms}});
  }
  group->soft.resolved_image = resolution.image_version;
  refresh_epoch(*group, raise, "other topics match its expressions", now, change);
}

}  // namespace weir::coordination
