// Who may commit and fetch offsets of a consumer group.
#include <gtest/gtest.h>

#include <string>

#include "coordination/group/consumer/consumer_client.h"

namespace weir::coordination {
namespace {

using enum ErrorCode;

class ConsumerOffsetsTest : public ::testing::Test {
 protected:
  ConsumerOffsetsTest() : world(at_once()) {
    world.image = image_with({{"t", {4}}, {"u", {1}}});
    world.restart();
    a.id = "a";
    b.id = "b";
  }
  static GroupConfig at_once() {
    GroupConfig config;
    config.consumer.assignment_interval_ms.value = 0;
    return config;
  }
  // The member gets epoch 3, in which it has half of its partitions since epoch 1 and has to give up the others.
  void half_way() {
    a.join(world);
    a.subscribe({"t", "u"});
    ASSERT_EQ(a.heartbeat(world), kNone);
    ASSERT_EQ(a.epoch, 2);
    a.subscribe({"t"});
    ASSERT_EQ(a.heartbeat(world), kNone);
    ASSERT_EQ(a.heartbeat(world), kNone);
    ASSERT_EQ(a.epoch, 3);
  }
  OffsetCommitRequest request(const std::string& member_id, int32_t epoch, int32_t partition = 0) {
    OffsetCommitRequest request;
    request.group_id = "g";
    request.member_id = member_id;
    request.generation = epoch;
    request.items.push_back({"t", {}, partition, 5, -1, ""});
    return request;
  }
  TxnOffsetCommitRequest in_transaction(const std::string& member_id, int32_t epoch, bool newest = true) {
    TxnOffsetCommitRequest made;
    static_cast<OffsetCommitRequest&>(made) = request(member_id, epoch);
    made.group_not_found_known = newest;
    made.producer_id = 1;
    made.producer_epoch = 0;
    return made;
  }

  GroupWorld world;
  ConsumerClient a, b;
};

TEST_F(ConsumerOffsetsTest, MembersCommitWithTheirEpoch) {
  a.join(world);
  EXPECT_EQ(world.commit(request("a", 1)), kNone);
  EXPECT_EQ(world.commit(request("a", 2)), kStaleMemberEpoch) << "above";
  EXPECT_EQ(world.commit(request("b", 1)), kUnknownMemberId);
  OffsetCommitRequest old = request("a", 1);
  old.group_not_found_known = false;
  EXPECT_EQ(world.commit(old), kUnsupportedVersion);
}

TEST_F(ConsumerOffsetsTest, AnEarlierEpochDoesForWhatTheMemberHasHadSince) {
  half_way();
  EXPECT_EQ(world.commit(request("a", 2)), kNone);
  EXPECT_EQ(world.commit(request("a", 1)), kNone);
  EXPECT_EQ(world.commit(request("a", 0)), kStaleMemberEpoch) << "it did not have it yet";
  OffsetCommitRequest both = request("a", 2);
  both.items.push_back({"u", {}, 0, 5, -1, ""});
  EXPECT_EQ(world.commit(both), kStaleMemberEpoch) << "one that it has not any more refuses all";
  OffsetCommitRequest by_id = request("a", 2);
  by_id.items[0].topic_id = Uuid{{9}};
  EXPECT_EQ(world.commit(by_id), kStaleMemberEpoch) << "another topic of this name";
}

TEST_F(ConsumerOffsetsTest, WhatAMemberGivesUpIsItsOwnUntilThen) {
  a.slow = true;
  a.join(world);
  a.revoke();
  b.join(world);
  a.heartbeat(world);
  const Assignment kept = a.assigned;
  ASSERT_EQ(kept.at(0).partitions.size(), 2u);
  for (int32_t partition = 0; partition < 4; ++partition) EXPECT_EQ(world.commit(request("a", a.epoch, partition)), kNone);
  a.revoke();
  a.heartbeat(world);
  ASSERT_EQ(a.epoch, 2);
  for (int32_t partition = 0; partition < 4; ++partition) {
    const bool has = ConsumerClient::has(kept, TestImage::id_of("t"), partition);
    EXPECT_EQ(world.commit(request("a", 1, partition)), has ? kNone : kStaleMemberEpoch) << partition;
  }
}

TEST_F(ConsumerOffsetsTest, WithoutAMemberOnlyAnEmptyGroupTakesOffsets) {
  a.join(world);
  EXPECT_EQ(world.commit(request("", -1)), kUnknownMemberId);
  a.leave(world);
  EXPECT_EQ(world.commit(request("", -1)), kNone);
  EXPECT_EQ(world.list().at(0).type, "consumer");
}

TEST_F(ConsumerOffsetsTest, TransactionsAreCheckedIfTheyNameAMember) {
  half_way();
  EXPECT_EQ(world.commit_in_transaction(in_transaction("", -1)), kNone);
  EXPECT_EQ(world.commit_in_transaction(in_transaction("a", 3)), kNone);
  EXPECT_EQ(world.commit_in_transaction(in_transaction("a", 1)), kNone);
  EXPECT_EQ(world.commit_in_transaction(in_transaction("a", 4)), kStaleMemberEpoch);
  EXPECT_EQ(world.commit_in_transaction(in_transaction("a", 4, false)), kIllegalGeneration);
  EXPECT_EQ(world.commit_in_transaction(in_transaction("b", 3)), kUnknownMemberId);
  TxnOffsetCommitRequest elsewhere = in_transaction("a", 3);
  elsewhere.group_id = "none";
  EXPECT_EQ(world.commit_in_transaction(elsewhere), kGroupIdNotFound);
  elsewhere.group_not_found_known = false;
  EXPECT_EQ(world.commit_in_transaction(elsewhere), kIllegalGeneration);
}

TEST_F(ConsumerOffsetsTest, AFetchOfAMemberNeedsItsEpoch) {
  half_way();
  world.commit(request("a", 3));
  OffsetFetchRequest fetch;
  fetch.group_id = "g";
  fetch.items = {{"t", {}, 0}};
  EXPECT_EQ(world.fetch_all(fetch).items.at(0).offset, 5) << "it names no member";
  fetch.member_id = "a";
  fetch.member_epoch = 3;
  EXPECT_EQ(world.fetch_all(fetch).items.at(0).offset, 5);
  fetch.member_epoch = 2;
  EXPECT_EQ(world.fetch_all(fetch).error, kStaleMemberEpoch);
  EXPECT_TRUE(world.fetch_all(fetch).items.empty()) << "-1 would send the client to its reset";
  fetch.member_id = "b";
  EXPECT_EQ(world.fetch_all(fetch).error, kUnknownMemberId);
}

TEST_F(ConsumerOffsetsTest, OffsetsOfSubscribedTopicsAreNotDeleted) {
  a.join(world);
  world.commit(request("a", 1));
  EXPECT_EQ(world.delete_offset("g", "t", 0), kGroupSubscribedToTopic);
  EXPECT_EQ(world.delete_offset("g", "u", 0), kNone);
  a.leave(world);
  EXPECT_EQ(world.delete_offset("g", "t", 0), kNone);
}

TEST_F(ConsumerOffsetsTest, OtherToolsSeeTheGroupAsTheyShould) {
  a.join(world);
  EXPECT_EQ(world.describe().error, kGroupIdNotFound) << "the classic description";
  EXPECT_EQ(world.describe().state, "Dead");
  const ListedGroup listed = world.list().at(0);
  EXPECT_EQ(listed.type, "consumer");
  EXPECT_EQ(listed.protocol_type, "consumer");
  EXPECT_EQ(listed.state, "Stable");
  world.commit("classic", "t", 0, 1);
  EXPECT_EQ(world.describe_consumer("classic").error, kGroupIdNotFound);
  EXPECT_EQ(world.describe_consumer("none").error, kGroupIdNotFound);
}

}  // namespace
}  // namespace weir::coordination
