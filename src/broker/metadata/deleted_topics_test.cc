#include "broker/metadata/deleted_topics.h"

#include <gtest/gtest.h>

#include "broker/metadata/deleted_topic_record.h"
#include "broker/metadata/topic_id_fixture.h"
#include "storage/metadata/memory_meta_store.h"

namespace weir::broker {
namespace {

using storage::MetaOperation;

class DeletedTopicsTest : public ::testing::Test {
 protected:
  void note(const TopicId& id) {
    const DeletedTopicRecord record{id, "orders"};
    ASSERT_TRUE(store_.transact_blocking({{}, {{MetaOperation::Kind::kPut, record.key(), record.encode()}}}));
  }
  DeletedTopics load(bool new_cluster = false) {
    auto topics = DeletedTopics::load(store_, new_cluster);
    EXPECT_TRUE(topics) << topics.error().message;
    return std::move(*topics);
  }
  size_t notes() { return store_.range_blocking(std::string(DeletedTopicRecord::kPrefix))->entries.size(); }
  static bool deleted(const storage::PartitionLookup& lookup, uint8_t topic) {
    const auto known = lookup({id_of(topic), 0});
    return known && known->deleted;
  }

  storage::MemoryMetaStore store_;
  MetadataImage image_{0, BrokerConfig()};
};

TEST_F(DeletedTopicsTest, OnlyWhatIsNotedIsDeleted) {
  note(id_of(1));
  DeletedTopics topics = load(true);
  const auto lookup = topics.lookup(image_);
  EXPECT_TRUE(deleted(lookup, 1));
  EXPECT_FALSE(lookup({id_of(2), 0}));
  EXPECT_EQ(notes(), 1u);
}

TEST_F(DeletedTopicsTest, ANoteStaysUntilNothingOfTheTopicIsFound) {
  note(id_of(1));
  note(id_of(2));
  DeletedTopics topics = load(true);
  EXPECT_FALSE(topics.outdated({id_of(1), id_of(2)}));
  EXPECT_TRUE(topics.outdated({id_of(2)}));
  ASSERT_TRUE(topics.settle({id_of(2)}));
  EXPECT_EQ(notes(), 1u);
  DeletedTopics later = load();
  EXPECT_TRUE(deleted(later.lookup(image_), 2));
  EXPECT_FALSE(deleted(later.lookup(image_), 1));
}

// An image as of the revision before need not look at the new revision, unless another writer made it.
TEST_F(DeletedTopicsTest, TheRevisionGoesOnWithItsOwnWritesOnly) {
  note(id_of(1));
  note(id_of(2));
  DeletedTopics topics = load();
  const auto now = [&] { return store_.range_blocking("")->revision; };
  const int64_t loaded = now();
  EXPECT_EQ(topics.revision_after(loaded), loaded);
  EXPECT_TRUE(deleted(topics.lookup(image_), 3));
  ASSERT_TRUE(topics.settle({id_of(1)}));
  EXPECT_GT(now(), loaded);
  EXPECT_EQ(topics.revision_after(loaded), now());
  note(id_of(9));
  ASSERT_TRUE(topics.settle({}));
  EXPECT_EQ(topics.revision_after(loaded), loaded);
}

TEST_F(DeletedTopicsTest, ANoteThatSomebodyElseChangedStays) {
  note(id_of(1));
  DeletedTopics topics = load(true);
  note(id_of(1));
  ASSERT_TRUE(topics.settle({}));
  EXPECT_EQ(notes(), 1u);
}

// An earlier version noted nothing. The first start over its folder notes the topics that it finds.
TEST_F(DeletedTopicsTest, AFolderOfAnEarlierVersionIsTakenOverOnce) {
  DeletedTopics topics = load();
  EXPECT_TRUE(deleted(topics.lookup(image_), 1));
  EXPECT_EQ(notes(), 1u) << "before anything is removed";
  ASSERT_TRUE(topics.settle({id_of(1)}));
  DeletedTopics later = load();
  EXPECT_TRUE(deleted(later.lookup(image_), 1));
  EXPECT_FALSE(later.lookup(image_)({id_of(2), 0}));
}

TEST_F(DeletedTopicsTest, AnOperatorMayGiveUpATopicThatIsNotKnown) {
  DeletedTopics topics = load(true);
  EXPECT_TRUE(deleted(topics.lookup(image_, [](const TopicId& id) { return id == id_of(3); }), 3));
  EXPECT_EQ(notes(), 1u);
}

}  // namespace
}  // namespace weir::broker
