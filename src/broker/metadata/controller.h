// The writer of metadata: topics, configurations, features. Each call becomes durable metadata transactions. Their changes come
// back through the MetadataFollower, which brings the new image to every shard, partitions included. Only then is the call
// answered, so a client that was told of a topic can use it.
//
// Calls run one after the other in call order, so each sees the image that its predecessor left. If somebody else changes the
// same entries, a compare fails. The controller then waits for that image, checks the part of the call anew and tries again, a
// few times. Lives on shard 0. All calls are on its loop. Completions run there, possibly inline.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/lifetime.h"
#include "base/rate_limit.h"
#include "broker/metadata/metadata_follower.h"
#include "broker/metadata/metadata_image.h"
#include "protocol/errors.h"
#include "runtime/loop.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class Controller {
 public:
  struct Outcome {
    protocol::ErrorCode error{};
    std::string message;  // why, for the client; empty on success
    TopicPtr topic;       // as it is now; of a deleted one as it was
  };
  // In the order of the call.
  using Outcomes = std::vector<Outcome>;
  // The completion of a call, and how long its caller waits. After that time the call is answered with REQUEST_TIMED_OUT. A call
  // that has not begun by then never begins. One that has begun may still be done.
  class Done {
   public:
    template <typename Callback>
      requires(!std::is_same_v<std::remove_cvref_t<Callback>, Done>)
    Done(Callback&& callback, int64_t timeout_ms = kTimeoutMs)  // implicit: most callers name no time
        : timeout_ms_(std::max(timeout_ms, kLeastTimeoutMs)), callback_(std::forward<Callback>(callback)) {}
    Done() = default;
    explicit operator bool() const { return callback_ != nullptr; }
    void operator()(Outcomes outcomes) { callback_(std::move(outcomes)); }
    int64_t timeout_ms() const { return timeout_ms_; }

   private:
    // Less than the 30 s that Kafka's clients wait for an answer.
    static constexpr int64_t kTimeoutMs = 20'000;
    // Some clients name 0, in order not to wait. A call that nothing holds up takes less than this.
    static constexpr int64_t kLeastTimeoutMs = 1000;
    int64_t timeout_ms_ = kTimeoutMs;
    Function<void(Outcomes)> callback_;
  };

  // Metadata is in memory, in each image and on each shard. Its bound counts entries: partitions, and resources with
  // configurations of their own.
  static constexpr uint64_t kEntryBytes = 4096;
  static constexpr int64_t kLeastEntriesMax = 10'000;
  // `follower` has no other listener of its changes, and outlives the controller.
  Controller(storage::MetaStore& store, runtime::Loop& loop, MetadataFollower& follower, uint64_t memory_bytes = 0);
  ~Controller();
  Controller(const Controller&) = delete;

  struct NewTopic {
    std::string name;
    int32_t partition_count = 1;
    ConfigOverrides configs;  // valid
    bool needed = false;      // by the broker itself, whatever memory there is
  };
  // `who` is the client for the log. Refuses names that are bad, taken, or that collide with others. `validate_only`: tells the
  // outcomes that there would be, and creates nothing.
  void create_topics(std::string who, std::vector<NewTopic> topics, Done done, bool validate_only = false);

  void delete_topics(std::string who, std::vector<TopicId> topics, Done done);

  struct NewPartitions {
    std::string topic;
    int32_t partition_count = 0;  // in all
  };
  void create_partitions(std::string who, std::vector<NewPartitions> topics, Done done, bool validate_only = false);

  // Changes the overrides of one topic, broker, group or client metrics subscription. `edit` gets the present overrides and the
  // configuration in force. It leaves the new overrides there, or says why not. The controller calls it again when it tries
  // again.
  struct ConfigChange {
    ConfigResourceType type{};
    std::string name;
    Function<Outcome(ConfigOverrides&, const BrokerConfig&)> edit;
  };
  void change_configs(std::string who, std::vector<ConfigChange> changes, Done done);

  // The same for the finalized features; their epoch grows with each change. One outcome.
  void change_features(std::string who, Function<Outcome(FeaturesRecord&)> edit, Done done);

  const MetadataImage& image() const { return *follower_.image(); }
  // The error that refuses a creation of `name` now. kNone: none does.
  Outcome check_new_name(const std::string& name) const;

 private:
  // One topic's part of a call, or that of another entry, past all checks.
  struct Step {
    size_t index = 0;  // in outcomes
    TopicPtr before;   // null: new
    TopicPtr after;    // null: deleted
    // Of a resource that is not a topic, as they are to be, and as they were; null: none.
    std::shared_ptr<const ConfigRecord> configs = nullptr;
    std::shared_ptr<const ConfigRecord> configs_before = nullptr;
    std::shared_ptr<const FeaturesRecord> features = nullptr;  // as they are to be
    std::shared_ptr<const FeaturesRecord> features_before = nullptr;

    bool of_topic() const { return !configs && !features; }
  };
  struct Call {
    std::string who;
    Function<void(Call*, size_t index)> prepare;  // of one part: makes its step, or sets its outcome. Again after a conflict
    bool validate_only = false;
    std::vector<Step> steps;
    Outcomes outcomes;
    Done done;  // empty once it has been answered
    uint64_t number = 0;
    runtime::TimerId timer;
    size_t settled = 0;     // steps whose outcome is known
    size_t group_size = 0;  // steps in the transaction under way
    int conflicts = 0;      // of it, one after the other
    bool one_by_one = false;
    int64_t revision = 0;  // of the last transaction that succeeded
  };
  static constexpr size_t kStepsPerTransaction = storage::MetaStore::kMaxOperations / 4;
  static constexpr size_t kMaxQueuedCalls = 1000;
  static constexpr int kConflictsMax = 5;

  void enqueue(std::string who, size_t count, Function<void(Call*, size_t)> prepare, Done done, bool validate_only = false);
  void run_next();
  void commit_more();
  void committed(Result<storage::MetaOutcome> outcome);
  void conflict(int64_t revision);
  void prepare_group_again();
  void settle_group(const Outcome& failure);
  void wait_for_image();
  void tell(const Call& call, const Step& step);
  void finish();
  void expire(uint64_t number);
  static void add_to(storage::MetaTransaction& transaction, const Step& step);
  static void add_topic_to(storage::MetaTransaction& transaction, const Step& step);
  void prepare_config_change(Call& call, size_t index, ConfigChange& change);
  void prepare_new_partitions(Call& call, size_t index, const NewPartitions& topic);
  // Beside those that the steps of `call` make.
  Outcome check_room(const Call& call, int64_t more) const;
  void prepare_new_topic(Call& call, size_t index, const NewTopic& topic, std::unordered_map<std::string, size_t>& names);
  void note_name(const std::string& name, bool exists);

  storage::MetaStore& store_;
  runtime::Loop& loop_;
  MetadataFollower& follower_;
  const int64_t entries_max_;
  std::unordered_map<std::string, std::string> collisions_;  // unified name -> the topic that has it
  std::deque<Call> calls_;                                   // the first one is under way
  bool running_ = false;
  uint64_t last_number_ = 0;
  RateLimit lines_{1000};
  Lifetime lifetime_;
};

}  // namespace weir::broker
