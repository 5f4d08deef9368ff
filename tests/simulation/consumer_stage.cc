#include "simulation/consumer_stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <regex>
#include <utility>

#include "protocol/messages/metadata.h"

namespace weir::simulation {

ConsumerGroupOptions::ConsumerGroupOptions(DrawnOptions& drawn)
    : work_ns(static_cast<int64_t>(drawn.one_of("work-ms", {600, 300, 1'500})) * runtime::kMillisecond),
      groups(drawn.one_of("groups", {1, 2})),
      members(drawn.one_of("members", {3, 2, 5})),
      static_members(drawn.one_of("static-members", {0, 1, 2})),
      producers(drawn.one_of("producers", {1, 2})),
      topics(drawn.one_of("topics", {2, 1, 4})),
      offsets_partitions(drawn.one_of("offsets.topic.num.partitions", {2, 1, 5})),
      segment_bytes(drawn.one_of("log.segment.bytes", {1 << 30, 1 << 20})),
      fetch_bytes(drawn.one_of("fetch.bytes", {40'000, 1'000})),
      session_timeout_ms(static_cast<int32_t>(drawn.one_of("session-ms", {2'000, 500, 6'000}))),
      heartbeat_interval_ms(static_cast<int32_t>(drawn.one_of("heartbeat-ms", {40, 20, 150}))),
      assignment_interval_ms(static_cast<int32_t>(drawn.one_of("assignment-ms", {0, 100, 1'000}))),
      rebalance_timeout_ms(static_cast<int32_t>(drawn.one_of("rebalance-ms", {1'000, 300, 5'000}))),
      crashes(drawn.feature("crashes")),
      leaves(drawn.feature("leaves")),
      stalls(drawn.feature("stalls")),
      resubscribes(drawn.feature("resubscribes")),
      regexes(drawn.feature("regexes")),
      slow_revocations(drawn.feature("slow-revocations")),
      topics_grow(drawn.feature("topics-grow")),
      topics_go(drawn.feature("topics-go")),
      topic_ids(drawn.feature("topic-ids")) {}

bool Subscription::matches(const std::string& topic) const {
  return topics.contains(topic) || (!regex.empty() && std::regex_match(topic, std::regex(regex)));
}

ConsumerStage::ConsumerStage(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom chance, DrawnOptions& drawn,
                             const ServerFaults& broken)
    : ClientStage(sim, oracle, chance), options(drawn), faults(broken), metadata_(sim.client_loop()) {
  metadata_.set_timeout(faults.timeout_ns());
}

Uuid ConsumerStage::topic_id(std::string_view name) const {
  const auto found = std::find_if(topics.begin(), topics.end(), [&](const auto& topic) { return topic.second.name == name; });
  return found == topics.end() ? Uuid() : found->first;
}

Subscription ConsumerStage::draw_subscription() {
  Subscription drawn;
  if (options.regexes && random.one_in(2)) {
    constexpr const char* kRegexes[] = {"topic-.*", "topic-[02468]", ".*-[0-4]", "nothing.*"};
    drawn.regex = kRegexes[random.below(std::size(kRegexes))];
    if (!random.one_in(4)) return drawn;
  }
  // One of them may be still to come.
  for (uint64_t i = 0; i <= next_topic_; ++i) {
    if (!random.one_in(3)) drawn.topics.insert("topic-" + std::to_string(i));
  }
  return drawn;
}

void ConsumerStage::look_up_topics(Step done) {
  waiting_.push_back(std::move(done));
  if (!std::exchange(looking_, true)) look_up();
}

void ConsumerStage::drop() {
  ++round_;
  metadata_.drop();
  if (looking_) look_up();
}

void ConsumerStage::look_up() {
  std::set<Uuid> before;
  for (const auto& [id, topic] : topics) {
    if (!topic.deleting) before.insert(id);
  }
  protocol::MetadataRequest request;
  request.topics = std::nullopt;
  begin_request();
  metadata_.call<protocol::MetadataResponse>(13, request, [this, before, round = round_](const auto* response) {
    end_request();
    if (round != round_) return;
    if (!response)
      return void(loop().schedule_after(30 * runtime::kMillisecond, [this, round] {
        if (round == round_) look_up();
      }));
    std::set<Uuid> found;
    for (const auto& topic : response->topics) {
      if (topic.is_internal || topic.error_code != 0 || !topic.name) continue;
      found.insert(topic.topic_id);
      ConsumedTopic& known = topics[topic.topic_id];
      known.name = *topic.name;
      known.partitions = std::max(known.partitions, static_cast<int32_t>(topic.partitions.size()));
    }
    for (const Uuid& id : before) {
      if (!found.contains(id) && !topics.at(id).deleting) oracle().violation(fmt::format("{} is lost", topics.at(id).name));
    }
    existing = std::move(found);
    looking_ = false;
    for (const Step& step : std::exchange(waiting_, {})) step();
  });
}

}  // namespace weir::simulation
