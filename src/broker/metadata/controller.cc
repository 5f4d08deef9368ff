#include "broker/metadata/controller.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "broker/metadata/settled_transaction.h"
#include "broker/metadata/topic_name.h"
#include "broker/metadata/topic_name_record.h"

namespace weir::broker {

using protocol::ErrorCode;
using storage::MetaOperation;

Controller::Controller(storage::MetaStore& store, runtime::Loop& loop, MetadataPublisher& publisher,
                       LogConfigOf log_config_of, MetadataImagePtr image)
    : store_(store), loop_(loop), publisher_(publisher), log_config_of_(std::move(log_config_of)), image_(std::move(image)) {
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
      return {ErrorCode::kInvalidTopicException,
              fmt::format("Topic '{}' collides with existing topic: {}", name, taken->second), nullptr};
    }
  }
  return {};
}

// --- calls ----------------------------------------------------------------------------------------------------------

void Controller::create_topics(std::vector<NewTopic> topics, Done done) {
  const size_t count = topics.size();
  enqueue(count, [this, topics = std::move(topics)](Call* at) mutable {
    Call& call = *at;
    std::vector<std::string> names;
    for (size_t i = 0; i < topics.size(); ++i) prepare_new_topic(call, i, topics[i], names);
  }, std::move(done));
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
  TopicRecord record;
  record.id = loop_.random().uuid();
  record.name = std::move(topic.name);
  record.partition_count = topic.partition_count;
  record.creation_epoch = image_->broker_epoch();
  record.configs = std::move(topic.configs);
  call.steps.push_back({index, nullptr, make_topic(std::move(record))});
}

void Controller::delete_topics(std::vector<TopicId> topics, Done done) {
  const size_t count = topics.size();
  enqueue(count, [this, topics = std::move(topics)](Call* at) {
    Call& call = *at;
    for (size_t i = 0; i < topics.size(); ++i) {
      const TopicPtr* topic = image_->find_shared(topics[i]);
      if (topic == nullptr) call.outcomes[i].error = ErrorCode::kUnknownTopicId;
      else call.steps.push_back({i, *topic, nullptr});
    }
  }, std::move(done));
}

void Controller::create_partitions(std::vector<NewPartitions> topics, Done done) {
  const size_t count = topics.size();
  enqueue(count, [this, topics = std::move(topics)](Call* at) {
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
      TopicRecord record = (*topic)->record;
      record.partition_count = wanted;
      call.steps.push_back({i, *topic, make_topic(std::move(record))});
    }
  }, std::move(done));
}

void Controller::change_configs(std::vector<ConfigChange> changes, Done done) {
  const size_t count = changes.size();
  enqueue(count, [this, changes = std::move(changes)](Call* at) mutable {
    Call& call = *at;
    for (size_t i = 0; i < changes.size(); ++i) {
      const TopicPtr* topic = image_->find_shared(changes[i].topic);
      if (topic == nullptr) {
        call.outcomes[i].error = ErrorCode::kUnknownTopicOrPartition;
        continue;
      }
      TopicRecord record = (*topic)->record;
      call.outcomes[i] = changes[i].edit(record.configs);
      if (call.outcomes[i].error != ErrorCode::kNone) continue;
      if (record == (*topic)->record) call.outcomes[i].topic = *topic;
      else call.steps.push_back({i, *topic, make_topic(std::move(record))});
    }
  }, std::move(done));
}

TopicPtr Controller::make_topic(TopicRecord record) const {
  auto topic = std::make_shared<Topic>();
  topic->log_config = log_config_of_(record.configs);
  topic->internal = is_internal_topic(record.name);
  topic->record = std::move(record);
  return topic;
}

// --- execution: prepare, commit in groups, publish, answer ----------------------------------------------------------

void Controller::enqueue(size_t count, Function<void(Call*)> prepare, Done done) {
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
  call.prepare = std::move(prepare);
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

void Controller::add_to(storage::MetaTransaction& transaction, const Step& step) {
  const TopicRecord& record = step.after ? step.after->record : step.before->record;
  const TopicNameRecord name{record.name, record.id};
  // Compares the value rather than a revision: encodings are exact, and the image does not have to keep revisions.
  if (step.before) transaction.compares.push_back({record.key(), std::nullopt, step.before->record.encode()});
  else transaction.compares.push_back({name.key(), 0, std::nullopt});
  if (step.after) transaction.operations.push_back({MetaOperation::Kind::kPut, record.key(), record.encode()});
  else transaction.operations.push_back({MetaOperation::Kind::kDelete, record.key(), {}});
  if (!step.before) transaction.operations.push_back({MetaOperation::Kind::kPut, name.key(), name.encode()});
  if (!step.after) transaction.operations.push_back({MetaOperation::Kind::kDelete, name.key(), {}});
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
      outcome.error = step.before ? ErrorCode::kUnknownServerError : ErrorCode::kTopicAlreadyExists;
      outcome.message = "The topic's metadata was changed by somebody else";
    }
    step.before = step.after = nullptr;
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
    if (!step.before && !step.after) continue;
    changed = true;
    if (!step.after) {
      image->remove(step.before->id());
      note_name(step.before->name(), false);
      change->removed.push_back(step.before);
      continue;
    }
    image->put(step.after);
    if (!step.before) note_name(step.after->name(), true);
    const int32_t first = step.before ? step.before->partition_count() : 0;
    if (first < step.after->partition_count()) change->added.push_back({step.after, first});
    if (step.before && !(step.before->log_config == step.after->log_config)) change->reconfigured.push_back(step.after);
  }
  if (!changed) return finish();
  image_ = image;
  change->image = std::move(image);
  publisher_.publish(std::move(change), [this, alive = alive_] {
    if (*alive) finish();
  });
}

void Controller::finish() {
  Call call = std::move(calls_.front());
  calls_.pop_front();
  running_ = false;
  call.done(std::move(call.outcomes));
  // The completion may have begun the next call already.
  if (!running_) run_next();
}

}  // namespace weir::broker
