// For tests: a follower over a store with faults, and another writer of the same store.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/metadata/metadata_follower.h"
#include "broker/metadata/metadata_loader.h"
#include "broker/metadata/topic_id_fixture.h"
#include "broker/metadata/topic_name_record.h"
#include "storage/metadata/faulty_meta_store.h"
#include "storage/metadata/memory_meta_store.h"
#include "testing/manual_loop.h"

namespace weir::broker {

class FollowerTest : public ::testing::Test, public MetadataPublisher {
 protected:
  using Fault = storage::FaultyMetaStore::Fault;
  using WatchFault = storage::FaultyMetaStore::WatchFault;

  FollowerTest() {
    add_topic(1, "orders", 3);
    follow(load());
  }

  LoadedMetadata load() {
    auto loaded = load_metadata(memory_, false, world_.loop().random(), BrokerConfig());
    EXPECT_TRUE(loaded) << loaded.error().message;
    return std::move(*loaded);
  }
  void follow(const LoadedMetadata& from) {
    follower_ = std::make_unique<MetadataFollower>(store_, world_.loop(), *this, from.image, from.revision());
  }

  // MetadataPublisher. The shards have the change a moment later.
  void publish(std::shared_ptr<const MetadataChange> change, Function<void()> done) override {
    changes_.push_back(std::move(change));
    world_.loop().post([this, done = std::move(done)]() mutable {
      ++served_;
      done();
    });
  }

  // Writes as another writer. Returns the revision.
  int64_t write(std::vector<storage::MetaOperation> operations) {
    auto outcome = memory_.transact_blocking({{}, std::move(operations)});
    EXPECT_TRUE(outcome && outcome->succeeded);
    return outcome->revision;
  }
  static storage::MetaOperation put(std::string key, std::string value) {
    return {storage::MetaOperation::Kind::kPut, std::move(key), std::move(value)};
  }
  static storage::MetaOperation erase(std::string key) { return {storage::MetaOperation::Kind::kDelete, std::move(key), {}}; }
  int64_t add_topic(uint8_t number, const std::string& name, int32_t partitions, ConfigOverrides configs = {}) {
    const TopicRecord topic{id_of(number), name, partitions, 0, std::move(configs)};
    const TopicNameRecord named{name, topic.id};
    return write({put(topic.key(), topic.encode()), put(named.key(), named.encode())});
  }
  int64_t remove_topic(uint8_t number, const std::string& name) {
    return write({erase(TopicRecord::key_of(id_of(number))), erase(TopicNameRecord{name, id_of(number)}.key())});
  }
  const MetadataImage& image() const { return *follower_->image(); }
  void settle() { world_.advance(10 * runtime::kMillisecond); }
  // Waits until every shard has the revision. Returns whether that came.
  bool served(int64_t revision, int64_t within_ns = 30 * runtime::kSecond) {
    bool done = false;
    world_.loop().post([&] { follower_->when_served(revision, [&] { done = true; }); });
    return world_.run_until([&] { return done; }, within_ns);
  }
  // Returns all contents of an image as text.
  static std::string text_of(const MetadataImage& image) {
    std::string text;
    for (const TopicPtr& topic : image.sorted_by_name()) {
      text += topic->record.key() + "=" + topic->record.encode() + "\n";
      EXPECT_EQ(image.find(topic->name()), topic.get());
      for (int32_t i = 0; i < topic->partition_count(); ++i) text += std::to_string(image.owner(*topic, i).leader_epoch) + " ";
    }
    for (const auto type : {ConfigResourceType::kBroker, ConfigResourceType::kGroup, ConfigResourceType::kClientMetrics}) {
      for (const auto& record : image.configs_of(type)) text += record->key() + "=" + record->encode() + "\n";
    }
    for (const BrokerPtr& broker : image.brokers()) text += broker->key() + "=" + broker->encode() + "\n";
    return text + image.features()->encode() + std::to_string(image.partition_count());
  }
  void expect_image_of_the_store() { EXPECT_EQ(text_of(image()), text_of(*load().image)); }

  weir::testing::ManualLoop world_;
  storage::MemoryMetaStore memory_{&world_.clock()};
  storage::FaultyMetaStore store_{memory_};
  std::vector<std::shared_ptr<const MetadataChange>> changes_;
  size_t served_ = 0;  // of them
  std::unique_ptr<MetadataFollower> follower_;
};

}  // namespace weir::broker
