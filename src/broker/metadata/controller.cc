#include "broker/metadata/controller.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/change_log.h"
#include "broker/metadata/deleted_topic_record.h"
#include "broker/metadata/partition_record.h"
#include "broker/metadata/settled_transaction.h"
#include "broker/metadata/topic_name.h"
#include "broker/metadata/topic_name_record.h"

namespace weir::broker {

using protocol::ErrorCode;
using storage::MetaOperation;

Controller::Controller(storage::MetaStore& store, runtime::Loop& loop, MetadataFollower& follower, uint64_t memory_bytes)
    : store_(store),
      loop_(loop),
      follower_(follower),
      entries_max_(std::max(static_cast<int64_t>(memory_bytes / kEntryBytes), kLeastEntriesMax)) {
  image().for_each([&](const TopicPtr& topic) { note_name(topic->name(), true); });
  follower_.on_change([this](const MetadataChange& change) {
    for (const TopicPtr& topic : change.removed) note_name(topic->name(), false);
    for (const auto& added : change.added) note_name(added.topic->name(), true);
  });
}

Controller::~Controller() { lifetime_.end(); }

void Controller::note_name(const std::string& name, bool exists) {
  if (!has_collision_characters(name)) return;
  if (exists) collisions_.insert_or_assign(unify_collision_characters(name), name);
  else collisions_.erase(unify_collision_characters(name));
}

Controller::Outcome Controller::check_new_name(const std::string& name) const {
  if (image().find(name) != nullptr) {
    return {ErrorCode::kTopicAlreadyExists, fmt::format("Topic '{}' already exists.", name), nullptr};
  }
  if (auto fault = topic_name_fault(name)) return {ErrorCode::kInvalidTopicException, std::move(*fault), nullptr};
  if (has_collision_characters(name)) {
    const auto taken = collisions_.find(unify_collision_characters(name));
    if (taken != collisions_.end()) {
      return {ErrorCode::kInvalidTopicException, fmt::format("Topic '{}' collides with existing topic: {}", name, taken->second),
              nullptr};
    }
  }
  return {};
}

// --- calls ----------------------------------------------------------------------------------------------------------

void Controller::create_topics(std::string who, std::vector<NewTopic> topics, Done done, bool validate_only) {
  const size_t count = topics.size();
  enqueue(
      std::move(who), count,
      [this, topics = std::move(topics), names = std::unordered_map<std::string, size_t>()](Call* call, size_t index) mutable {
        prepare_new_topic(*call, index, topics[index], names);
      },
      std::move(done), validate_only);
}

// `names`: which part of the call has a name, in unified form.
void Controller::prepare_new_topic(Call& call, size_t index, const NewTopic& topic,
                                   std::unordered_map<std::string, size_t>& names) {
  Outcome& outcome = call.outcomes[index];
  outcome = check_new_name(topic.name);
  if (outcome.error != ErrorCode::kNone) return;
  // Two names of one call may collide with each other as well.
  if (names.try_emplace(unify_collision_characters(topic.name), index).first->second != index) {
    outcome = {ErrorCode::kInvalidTopicException,
               fmt::format("Topic '{}' collides with another topic of the request", topic.name), nullptr};
    return;
  }
  if (!topic.needed) outcome = check_room(call, topic.partition_count);
  if (outcome.error != ErrorCode::kNone) return;
  TopicRecord record;
  record.id = loop_.random().uuid();
  record.name = topic.name;
  record.partition_count = topic.partition_count;
  record.creation_epoch = image().broker_epoch();
  record.configs = topic.configs;
  call.steps.push_back({index, nullptr, make_topic(std::move(record), *image().config())});
}

void Controller::delete_topics(std::string who, std::vector<TopicId> topics, Done done) {
  const size_t count = topics.size();
  enqueue(
      std::move(who), count,
      [this, topics = std::move(topics)](Call* call, size_t index) {
        const TopicPtr* topic = image().find_shared(topics[index]);
        if (topic == nullptr) call->outcomes[index].error = ErrorCode::kUnknownTopicId;
        else call->steps.push_back({index, *topic, nullptr});
      },
      std::move(done));
}

void Controller::create_partitions(std::string who, std::vector<NewPartitions> topics, Done done, bool validate_only) {
  const size_t count = topics.size();
  enqueue(
      std::move(who), count,
      [this, topics = std::move(topics)](Call* call, size_t index) { prepare_new_partitions(*call, index, topics[index]); },
      std::move(done), validate_only);
}

void Controller::prepare_new_partitions(Call& call, size_t index, const NewPartitions& more) {
  Outcome& outcome = call.outcomes[index];
  const TopicPtr* topic = image().find_shared(more.topic);
  if (topic == nullptr) {
    outcome.error = ErrorCode::kUnknownTopicOrPartition;
    return;
  }
  const int32_t present = (*topic)->partition_count(), wanted = more.partition_count;
  if (wanted <= present) {
    outcome.error = ErrorCode::kInvalidPartitions;
    outcome.message = wanted == present ? fmt::format("Topic already has {} partition(s).", present)
                                        : fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.",
                                                      more.topic, present, wanted);
    return;
  }
  outcome = check_room(call, wanted - present);
  if (outcome.error != ErrorCode::kNone) return;
  TopicRecord record = (*topic)->record;
  record.partition_count = wanted;
  call.steps.push_back({index, *topic, make_topic(std::move(record), *image().config())});
}

void Controller::change_configs(std::string who, std::vector<ConfigChange> changes, Done done) {
  const size_t count = changes.size();
  enqueue(
      std::move(who), count,
      [this, changes = std::move(changes)](Call* call, size_t index) mutable {
        prepare_config_change(*call, index, changes[index]);
      },
      std::move(done));
}

void Controller::prepare_config_change(Call& call, size_t index, ConfigChange& change) {
  Outcome& outcome = call.outcomes[index];
  if (change.type == ConfigResourceType::kTopic) {
    const TopicPtr* topic = image().find_shared(change.name);
    if (topic == nullptr) {
      outcome.error = ErrorCode::kUnknownTopicOrPartition;
      return;
    }
    TopicRecord record = (*topic)->record;
    outcome = change.edit(record.configs, *image().config());
    if (outcome.error != ErrorCode::kNone) return;
    if (record == (*topic)->record) outcome.topic = *topic;
    else call.steps.push_back({index, *topic, make_topic(std::move(record), *image().config())});
    return;
  }
  const auto present = image().find_configs(change.type, change.name);
  auto record = std::make_shared<ConfigRecord>();
  record->type = change.type;
  record->name = change.name;
  if (present) record->overrides = present->overrides;
  const ConfigOverrides before = record->overrides;
  outcome = change.edit(record->overrides, *image().config());
  if (outcome.error != ErrorCode::kNone || record->overrides == before) return;
  // There are at most two entries of brokers, and they may be the remedy.
  if (!present && change.type != ConfigResourceType::kBroker) outcome = check_room(call, 1);
  if (outcome.error != ErrorCode::kNone) return;
  call.steps.push_back({index, nullptr, nullptr, std::move(record), present});
}

void Controller::change_features(std::string who, Function<Outcome(FeaturesRecord&)> edit, Done done) {
  enqueue(
      std::move(who), 1,
      [this, edit = std::move(edit)](Call* call, size_t index) mutable {
        const auto before = image().features();
        auto record = std::make_shared<FeaturesRecord>(*before);
        call->outcomes[index] = edit(*record);
        if (call->outcomes[index].error != ErrorCode::kNone || *record == *before) return;
        record->epoch = before->epoch + 1;
        call->steps.push_back({index, nullptr, nullptr, nullptr, nullptr, std::move(record), before});
      },
      std::move(done));
}

Controller::Outcome Controller::check_room(const Call& call, int64_t more) const {
  const int64_t entries = image().partition_count() + static_cast<int64_t>(image().configs_count());
  for (size_t i = call.settled; i < call.steps.size(); ++i) {
    const Step& step = call.steps[i];
    if (step.after) more += step.after->partition_count() - (step.before ? step.before->partition_count() : 0);
    else if (step.configs) ++more;
  }
  if (entries + more <= entries_max_) return {};
  return {ErrorCode::kPolicyViolation,
          fmt::format(
              "The broker has {} partitions and configured resources, and its memory (weir.max.memory.bytes) is for {}: delete "
              "topics, or give it more memory",
              entries, entries_max_),
          nullptr};
}

// --- execution: prepare, commit in groups, wait for the image, answer ----------------------------------------------------------

void Controller::enqueue(std::string who, size_t count, Function<void(Call*, size_t)> prepare, Done done, bool validate_only) {
  WEIR_CHECK(loop_.in_loop());
  Call call;
  call.outcomes.resize(count);
  if (calls_.size() >= kMaxQueuedCalls) {
    for (Outcome& outcome : call.outcomes) {
      outcome.error = ErrorCode::kRequestTimedOut;
      outcome.message = "Too many metadata changes are waiting; retry later";
    }
    return done(std::move(call.outcomes));
  }
  call.who = std::move(who);
  call.prepare = std::move(prepare);
  call.validate_only = validate_only;
  call.number = ++last_number_;
  call.timer =
      loop_.schedule_after(done.timeout_ms() * runtime::kMillisecond, [this, alive = lifetime_.observe(), number = call.number] {
        if (alive) expire(number);
      });
  call.done = std::move(done);
  calls_.push_back(std::move(call));
  if (!running_) run_next();
}

void Controller::run_next() {
  if (calls_.empty()) return;
  running_ = true;
  Call& call = calls_.front();
  for (size_t i = 0; i < call.outcomes.size(); ++i) call.prepare(&call, i);
  if (call.validate_only) {
    for (const Step& step : call.steps) call.outcomes[step.index].topic = step.after;
    call.steps.clear();
  }
  commit_more();
}

void Controller::add_to(storage::MetaTransaction& transaction, const Step& step) {
  if (step.of_topic()) return add_topic_to(transaction, step);
  std::string key = step.features ? std::string(FeaturesRecord::kKey) : step.configs->key();
  if (step.features) {
    transaction.compares.push_back({key, std::nullopt, step.features_before->encode()});
    transaction.operations.push_back({MetaOperation::Kind::kPut, std::move(key), step.features->encode()});
    return;
  }
  if (step.configs_before) transaction.compares.push_back({key, std::nullopt, step.configs_before->encode()});
  else transaction.compares.push_back({key, 0, std::nullopt});
  if (step.configs->overrides.empty()) transaction.operations.push_back({MetaOperation::Kind::kDelete, std::move(key), {}});
  else transaction.operations.push_back({MetaOperation::Kind::kPut, std::move(key), step.configs->encode()});
}

void Controller::add_topic_to(storage::MetaTransaction& transaction, const Step& step) {
  const TopicRecord& record = step.after ? step.after->record : step.before->record;
  const TopicNameRecord name{record.name, record.id};
  // Compares the value rather than a revision: encodings are exact, and the image does not have to keep revisions.
  if (step.before) transaction.compares.push_back({record.key(), std::nullopt, step.before->record.encode()});
  else transaction.compares.push_back({name.key(), 0, std::nullopt});
  if (step.after) transaction.operations.push_back({MetaOperation::Kind::kPut, record.key(), record.encode()});
  else transaction.operations.push_back({MetaOperation::Kind::kDelete, record.key(), {}});
  if (!step.before) transaction.operations.push_back({MetaOperation::Kind::kPut, name.key(), name.encode()});
  if (step.after) return;
  const DeletedTopicRecord note{record.id, record.name};
  transaction.operations.push_back({MetaOperation::Kind::kDelete, name.key(), {}});
  transaction.operations.push_back({MetaOperation::Kind::kPut, note.key(), note.encode()});
  transaction.operations.push_back({MetaOperation::Kind::kDeletePrefix, PartitionRecord::prefix_of(record.id), {}});
}

void Controller::commit_more() {
  Call& call = calls_.front();
  const size_t left = call.steps.size() - call.settled;
  if (left == 0) return wait_for_image();
  call.group_size = call.one_by_one ? 1 : std::min(left, kStepsPerTransaction);
  storage::MetaTransaction transaction;
  for (size_t i = 0; i < call.group_size; ++i) add_to(transaction, call.steps[call.settled + i]);
  settle(store_, loop_, lifetime_.observe(), std::move(transaction),
         [this](Result<storage::MetaOutcome> outcome) { committed(std::move(outcome)); });
}

void Controller::committed(Result<storage::MetaOutcome> outcome) {
  if (!outcome) {
    log_error("metadata", "A change of the metadata could not be written: {}", outcome.error().message);
    settle_group({ErrorCode::kKafkaStorageError, "The metadata could not be written: " + outcome.error().message, nullptr});
  } else if (outcome->succeeded) {
    calls_.front().revision = outcome->revision;
    settle_group({});
  } else {
    conflict(outcome->revision);
  }
}

// The outcome of the group is known: done, or the failure.
void Controller::settle_group(const Outcome& failure) {
  Call& call = calls_.front();
  for (size_t i = 0; i < call.group_size; ++i) {
    const Step& step = call.steps[call.settled + i];
    Outcome& outcome = call.outcomes[step.index];
    outcome = failure;
    if (failure.error != ErrorCode::kNone) continue;
    outcome.topic = step.after ? step.after : step.before;
    tell(call, step);
  }
  call.settled += call.group_size;
  call.conflicts = 0;
  commit_more();
}

// Somebody else changed an entry that the group was made from. `revision` has the change.
void Controller::conflict(int64_t revision) {
  Call& call = calls_.front();
  if (++call.conflicts > kConflictsMax) {
    const Step& step = call.steps[call.settled];
    const bool new_topic = step.of_topic() && !step.before;
    return settle_group({new_topic ? ErrorCode::kTopicAlreadyExists : ErrorCode::kUnknownServerError,
                         "The metadata was changed by somebody else", nullptr});
  }
  // The second time one by one: a step that fails again does not hold up the others of its group.
  call.one_by_one = call.one_by_one || call.conflicts > 1;
  follower_.when_served(revision, [this, alive = lifetime_.observe()] {
    if (alive) prepare_group_again();
  });
}

void Controller::prepare_group_again() {
  Call& call = calls_.front();
  const auto first = call.steps.begin() + static_cast<ptrdiff_t>(call.settled);
  const auto last = first + static_cast<ptrdiff_t>(call.group_size);
  std::vector<size_t> indexes;
  for (auto step = first; step != last; ++step) indexes.push_back(step->index);
  call.steps.erase(first, last);
  const size_t left = call.steps.size();
  for (const size_t index : indexes) {
    call.outcomes[index] = {};
    call.prepare(&call, index);
  }
  // They come next, so that conflicts are counted of them.
  std::rotate(call.steps.begin() + static_cast<ptrdiff_t>(call.settled), call.steps.begin() + static_cast<ptrdiff_t>(left),
              call.steps.end());
  commit_more();
}

void Controller::wait_for_image() {
  follower_.when_served(calls_.front().revision, [this, alive = lifetime_.observe()] {
    if (alive) finish();
  });
}

// Tells the log what is durable now. Bounded, for clients can change much.
void Controller::tell(const Call& call, const Step& step) {
  std::vector<std::string> lines;
  if (step.features) {
    lines = describe_feature_change(*step.features_before, *step.features);
  } else if (step.configs) {
    lines = describe_config_change(step.configs_before.get(), *step.configs);
  } else {
    lines = describe_topic_change(step.before.get(), step.after.get());
  }
  for (const std::string& line : lines) {
    uint64_t suppressed = 0;
    if (!lines_.admit(loop_.clock().monotonic_ns() / runtime::kMillisecond, suppressed)) continue;
    log_info("metadata", "{} by {}{}", line, call.who,
             suppressed ? fmt::format(" ({} unreported)", counted(suppressed, "more change")) : std::string());
  }
}

void Controller::finish() {
  Call call = std::move(calls_.front());
  calls_.pop_front();
  running_ = false;
  loop_.cancel(call.timer);
  if (call.done) call.done(std::move(call.outcomes));
  // The completion may have begun the next call already.
  if (!running_) run_next();
}

void Controller::expire(uint64_t number) {
  const auto at = std::ranges::find(calls_, number, &Call::number);
  if (at == calls_.end() || !at->done) return;
  const bool begun = running_ && at == calls_.begin();
  Outcomes outcomes = begun ? at->outcomes : std::move(at->outcomes);
  for (Outcome& outcome : outcomes) {
    if (outcome.error != ErrorCode::kNone) continue;
    outcome = {ErrorCode::kRequestTimedOut,
               begun ? "The metadata could not be written in time; it may still be. The broker's log says what is wrong"
                     : "Earlier changes of the metadata are not done yet; this one was not begun",
               nullptr};
  }
  Done done = std::exchange(at->done, Done());
  if (!begun) calls_.erase(at);
  done(std::move(outcomes));
}

}  // namespace weir::broker
