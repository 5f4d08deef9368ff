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

Controller::Controller(storage::MetaStore& store, runtime::Loop& loop, MetadataPublisher& publisher, MetadataImagePtr image,
                       uint64_t memory_bytes)
    : store_(store),
      loop_(loop),
      publisher_(publisher),
      image_(std::move(image)),
      entries_max_(std::max(static_cast<int64_t>(memory_bytes / kEntryBytes), kLeastEntriesMax)) {
  image_->for_each([&](const TopicPtr& topic) { note_name(topic->name(), true); });
}

Controller::~Controller() { *alive_ = false; }

void Controller::note_name(const std::string& name, bool exists) {
  if (!has_collision_characters(name)) return;
  if (exists) collisions_.insert_or_assign(unify_collision_characters(name), name);
  else collisions_.erase(unify_collision_characters(name));
}

Controller::Outcome Controller::check_new_name(const std::string& name) const {
  if (image_->find(name) != nullptr) {
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
      [this, topics = std::move(topics), validate_only](Call* at) mutable {
        Call& call = *at;
        std::vector<std::string> names;
        for (size_t i = 0; i < topics.size(); ++i) prepare_new_topic(call, i, topics[i], names);
        if (!validate_only) return;
        for (const Step& step : call.steps) call.outcomes[step.index].topic = step.after;
        call.steps.clear();
      },
      std::move(done));
}

void Controller::prepare_new_topic(Call& call, size_t index, NewTopic& topic, std::vector<std::string>& names) {
  call.outcomes[index] = check_new_name(topic.name);
  if (call.outcomes[index].error != ErrorCode::kNone) return;
  // Two names of one call may collide with each other as well.
  std::string unified = unify_collision_characters(topic.name);
  if (std::find(names.begin(), names.end(), unified) != names.end()) {
    call.outcomes[index] = {ErrorCode::kInvalidTopicException,
                            fmt::format("Topic '{}' collides with another topic of the request", topic.name), nullptr};
    return;
  }
  names.push_back(std::move(unified));
  if (!topic.needed) call.outcomes[index] = check_room(call, topic.partition_count);
  if (call.outcomes[index].error != ErrorCode::kNone) return;
  TopicRecord record;
  record.id = loop_.random().uuid();
  record.name = std::move(topic.name);
  record.partition_count = topic.partition_count;
  record.creation_epoch = image_->broker_epoch();
  record.configs = std::move(topic.configs);
  call.steps.push_back({index, nullptr, make_topic(std::move(record))});
}

void Controller::delete_topics(std::string who, std::vector<TopicId> topics, Done done) {
  const size_t count = topics.size();
  enqueue(
      std::move(who), count,
      [this, topics = std::move(topics)](Call* at) {
        Call& call = *at;
        for (size_t i = 0; i < topics.size(); ++i) {
          const TopicPtr* topic = image_->find_shared(topics[i]);
          if (topic == nullptr) call.outcomes[i].error = ErrorCode::kUnknownTopicId;
          else call.steps.push_back({i, *topic, nullptr});
        }
      },
      std::move(done));
}

void Controller::create_partitions(std::string who, std::vector<NewPartitions> topics, Done done, bool validate_only) {
  const size_t count = topics.size();
  enqueue(
      std::move(who), count,
      [this, topics = std::move(topics), validate_only](Call* at) {
        Call& call = *at;
        for (size_t i = 0; i < topics.size(); ++i) {
          Outcome& outcome = call.outcomes[i];
          const TopicPtr* topic = image_->find_shared(topics[i].topic);
          if (topic == nullptr) {
            outcome.error = ErrorCode::kUnknownTopicOrPartition;
            continue;
          }
          const int32_t present = (*topic)->partition_count(), wanted = topics[i].partition_count;
          if (wanted <= present) {
            outcome.error = ErrorCode::kInvalidPartitions;
            outcome.message = wanted == present
                                  ? fmt::format("Topic already has {} partition(s).", present)
                                  : fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.",
                                                topics[i].topic, present, wanted);
            continue;
          }
          outcome = check_room(call, wanted - present);
          if (outcome.error != ErrorCode::kNone) continue;
          TopicRecord record = (*topic)->record;
          record.partition_count = wanted;
          call.steps.push_back({i, *topic, make_topic(std::move(record))});
        }
        if (validate_only) call.steps.clear();
      },
      std::move(done));
}

void Controller::change_configs(std::string who, std::vector<ConfigChange> changes, Done done) {
  const size_t count = changes.size();
  enqueue(
      std::move(who), count,
      [this, changes = std::move(changes)](Call* at) mutable {
        for (size_t i = 0; i < changes.size(); ++i) prepare_config_change(*at, i, changes[i]);
      },
      std::move(done));
}

void Controller::prepare_config_change(Call& call, size_t index, ConfigChange& change) {
  Outcome& outcome = call.outcomes[index];
  if (change.type == ConfigResourceType::kTopic) {
    const TopicPtr* topic = image_->find_shared(change.name);
    if (topic == nullptr) {
      outcome.error = ErrorCode::kUnknownTopicOrPartition;
      return;
    }
    TopicRecord record = (*topic)->record;
    outcome = change.edit(record.configs, *image_->config());
    if (outcome.error != ErrorCode::kNone) return;
    if (record == (*topic)->record) outcome.topic = *topic;
    else call.steps.push_back({index, *topic, make_topic(std::move(record))});
    return;
  }
  const auto present = image_->find_configs(change.type, change.name);
  auto record = std::make_shared<ConfigRecord>();
  record->type = change.type;
  record->name = change.name;
  if (present) record->overrides = present->overrides;
  const ConfigOverrides before = record->overrides;
  outcome = change.edit(record->overrides, *image_->config());
  if (outcome.error != ErrorCode::kNone || record->overrides == before) return;
  // There are two of brokers at most, and they may be what helps.
  if (!present && change.type != ConfigResourceType::kBroker) outcome = check_room(call, 1);
  if (outcome.error != ErrorCode::kNone) return;
  call.steps.push_back({index, nullptr, nullptr, std::move(record)});
}

void Controller::change_features(std::string who, Function<Outcome(FeaturesRecord&)> edit, Done done) {
  enqueue(
      std::move(who), 1,
      [this, edit = std::move(edit)](Call* at) mutable {
        auto record = std::make_shared<FeaturesRecord>(*image_->features());
        at->outcomes[0] = edit(*record);
        if (at->outcomes[0].error != ErrorCode::kNone || *record == *image_->features()) return;
        record->epoch = image_->features()->epoch + 1;
        at->steps.push_back({0, nullptr, nullptr, nullptr, std::move(record)});
      },
      std::move(done));
}

Controller::Outcome Controller::check_room(const Call& call, int64_t more) const {
  const int64_t entries = image_->partition_count() + static_cast<int64_t>(image_->configs_count());
  for (const Step& step : call.steps) {
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

TopicPtr Controller::make_topic(TopicRecord record) const {
  auto topic = std::make_shared<Topic>();
  topic->log_config = log_config(record.configs, *image_->config());
  topic->internal = is_internal_topic(record.name);
  topic->record = std::move(record);
  return topic;
}

// --- execution: prepare, commit in groups, publish, answer ----------------------------------------------------------

void Controller::enqueue(std::string who, size_t count, Function<void(Call*)> prepare, Done done) {
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
  call.number = ++last_number_;
  call.timer = loop_.schedule_after(done.timeout_ms() * runtime::kMillisecond, [this, alive = alive_, number = call.number] {
    if (*alive) expire(number);
  });
  call.done = std::move(done);
  calls_.push_back(std::move(call));
  if (!running_) run_next();
}

void Controller::run_next() {
  if (calls_.empty()) return;
  running_ = true;
  Call& call = calls_.front();
  call.prepare(&call);
  commit_more();
}

void Controller::add_to(storage::MetaTransaction& transaction, const Step& step) const {
  if (step.of_topic()) return add_topic_to(transaction, step);
  std::string key = step.features ? std::string(FeaturesRecord::kKey) : step.configs->key();
  if (step.features) {
    transaction.compares.push_back({key, std::nullopt, image_->features()->encode()});
    transaction.operations.push_back({MetaOperation::Kind::kPut, std::move(key), step.features->encode()});
    return;
  }
  const auto before = image_->find_configs(step.configs->type, step.configs->name);
  if (before) transaction.compares.push_back({key, std::nullopt, before->encode()});
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
  if (left == 0) return publish();
  call.group_size = call.one_by_one ? 1 : std::min(left, kStepsPerTransaction);
  storage::MetaTransaction transaction;
  for (size_t i = 0; i < call.group_size; ++i) add_to(transaction, call.steps[call.settled + i]);
  settle(store_, loop_, alive_, std::move(transaction), [this](Result<bool> result) { committed(std::move(result)); });
}

void Controller::committed(Result<bool> result) {
  Call& call = calls_.front();
  if (result && !*result && call.group_size > 1) {
    call.one_by_one = true;  // finds out which of them it is
    return commit_more();
  }
  for (size_t i = 0; i < call.group_size; ++i) {
    Step& step = call.steps[call.settled + i];
    Outcome& outcome = call.outcomes[step.index];
    if (result && *result) {
      outcome.topic = step.after ? step.after : step.before;
      continue;
    }
    if (!result) {
      outcome.error = ErrorCode::kKafkaStorageError;
      outcome.message = "The metadata could not be written: " + result.error().message;
      log_error("metadata", "Topic metadata could not be written: {}", result.error().message);
    } else {
      const bool new_topic = step.of_topic() && !step.before;
      outcome.error = new_topic ? ErrorCode::kTopicAlreadyExists : ErrorCode::kUnknownServerError;
      outcome.message = "The metadata was changed by somebody else";
    }
    step.failed = true;
  }
  call.settled += call.group_size;
  commit_more();
}

void Controller::publish() {
  Call& call = calls_.front();
  auto change = std::make_shared<MetadataChange>();
  auto image = std::make_shared<MetadataImage>(*image_);
  bool changed = false;
  for (const Step& step : call.steps) {
    if (step.failed) continue;
    changed = true;
    tell(call, step);
    if (step.features) {
      image->put_features(*step.features);
    } else if (step.configs) {
      image->put_configs(step.configs);
      change->broker_config_changed |= step.configs->type == ConfigResourceType::kBroker;
    } else {
      apply_topic(step, *image, *change);
    }
  }
  if (!changed) return finish();
  if (change->broker_config_changed) reconfigure_topics(*image, *change);
  image_ = image;
  change->image = std::move(image);
  publisher_.publish(std::move(change), [this, alive = alive_] {
    if (*alive) finish();
  });
}

// What is durable now; bounded, for clients can change much.
void Controller::tell(const Call& call, const Step& step) {
  std::vector<std::string> lines;
  if (step.features) {
    lines = describe_feature_change(*image_->features(), *step.features);
  } else if (step.configs) {
    const auto before = image_->find_configs(step.configs->type, step.configs->name);
    lines = describe_config_change(before.get(), *step.configs);
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

void Controller::apply_topic(const Step& step, MetadataImage& image, MetadataChange& change) {
  if (!step.after) {
    image.remove(step.before->id());
    note_name(step.before->name(), false);
    change.removed.push_back(step.before);
    return;
  }
  image.put(step.after);
  if (!step.before) note_name(step.after->name(), true);
  const int32_t first = step.before ? step.before->partition_count() : 0;
  if (first < step.after->partition_count()) change.added.push_back({step.after, first});
  if (step.before && !(step.before->log_config == step.after->log_config)) change.reconfigured.push_back(step.after);
}

// The broker's configuration is where topics take from what they do not set themselves.
void Controller::reconfigure_topics(MetadataImage& image, MetadataChange& change) {
  std::vector<TopicPtr> changed;
  image.for_each([&](const TopicPtr& topic) {
    storage::LogConfig config = log_config(topic->record.configs, *image.config());
    if (config == topic->log_config) return;
    auto next = std::make_shared<Topic>(*topic);
    next->log_config = config;
    changed.push_back(std::move(next));
  });
  for (TopicPtr& topic : changed) {
    image.put(topic);
    change.reconfigured.push_back(std::move(topic));
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
