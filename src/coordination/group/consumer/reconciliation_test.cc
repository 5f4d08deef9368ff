#include "coordination/group/consumer/reconciliation.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>

namespace weir::coordination {
namespace {

using enum MemberState;

const Uuid kT{{1}}, kU{{2}};

OwnedTopicPartitions had(const Uuid& topic, std::vector<int32_t> partitions, int32_t epoch) {
  std::vector<int32_t> epochs(partitions.size(), epoch);
  return {topic, std::move(partitions), std::move(epochs)};
}

// Member in epoch 10, with partitions 1 to 3 of both topics since then.
class ReconciliationTest : public ::testing::Test {
 protected:
  std::optional<CurrentAssignment> run() {
    const auto subscribed = [&](const Uuid& topic) { return !unsubscribed_.contains(topic); };
    const auto free = [&](const Uuid& topic, int32_t partition) { return !others_.contains({topic, partition}); };
    return reconcile({current_, target_epoch_, target_, owned_ ? &*owned_ : nullptr, changed_, subscribed, free});
  }
  // The next state, which becomes the present one.
  CurrentAssignment step() {
    current_ = run().value();
    return current_;
  }

  CurrentAssignment current_{10, 9, kStable, {had(kT, {1, 2, 3}, 10), had(kU, {4, 5, 6}, 10)}, {}};
  int32_t target_epoch_ = 11;
  Assignment target_ = {{kT, {1, 2, 3}}, {kU, {4, 5, 6}}};
  std::optional<Assignment> owned_;
  bool changed_ = false;
  std::set<Uuid> unsubscribed_;
  std::set<std::pair<Uuid, int32_t>> others_;
};

TEST_F(ReconciliationTest, AStableMemberTakesTheEpochOfAnEqualTarget) {
  const CurrentAssignment before = current_;
  EXPECT_EQ(step(), (CurrentAssignment{11, 10, kStable, before.assigned, {}}));
  EXPECT_EQ(*run(), current_) << "there is nothing left to do";
}

TEST_F(ReconciliationTest, FreePartitionsComeWithTheEpoch) {
  target_ = {{kT, {1, 2, 3, 4}}, {kU, {4, 5, 6}}, {Uuid{{3}}, {0}}};
  step();
  EXPECT_EQ(current_.state, kStable);
  EXPECT_EQ(current_.assigned[0], (OwnedTopicPartitions{kT, {1, 2, 3, 4}, {10, 10, 10, 11}}));
  EXPECT_EQ(current_.assigned[2], had(Uuid{{3}}, {0}, 11));
}

TEST_F(ReconciliationTest, AMemberGivesUpPartitionsInItsOldEpoch) {
  target_ = {{kT, {2, 3, 4}}, {kU, {4}}};
  EXPECT_EQ(step(),
            (CurrentAssignment{
                10, 10, kUnrevokedPartitions, {had(kT, {2, 3}, 10), had(kU, {4}, 10)}, {had(kT, {1}, 10), had(kU, {5, 6}, 10)}}));
  EXPECT_EQ(*run(), current_) << "it does not say what it has";
  owned_ = Assignment{{kT, {1, 2, 3}}, {kU, {4}}};
  EXPECT_EQ(*run(), current_) << "it has one of them still";
  owned_ = Assignment{{kT, {2, 3}}, {kU, {4}}};
  step();
  EXPECT_EQ(current_.member_epoch, 11);
  EXPECT_EQ(current_.previous_member_epoch, 10);
  EXPECT_EQ(current_.state, kStable);
  EXPECT_EQ(current_.assigned[0], (OwnedTopicPartitions{kT, {2, 3, 4}, {10, 10, 11}}));
  EXPECT_TRUE(current_.pending_revocation.empty());
}

TEST_F(ReconciliationTest, AMemberThatHasGivenUpAlreadyGoesOnAtOnce) {
  target_ = {{kT, {1}}};
  owned_ = Assignment{{kT, {1}}};
  EXPECT_EQ(step(), (CurrentAssignment{11, 10, kStable, {had(kT, {1}, 10)}, {}}));
}

TEST_F(ReconciliationTest, PartitionsOfOthersAreWaitedFor) {
  target_ = {{kT, {1, 2, 3, 7, 8}}, {kU, {4, 5, 6}}};
  others_ = {{kT, 7}, {kT, 8}};
  step();
  EXPECT_EQ(current_.member_epoch, 11);
  EXPECT_EQ(current_.state, kUnreleasedPartitions);
  EXPECT_EQ(current_.assigned[0], had(kT, {1, 2, 3}, 10));
  EXPECT_EQ(*run(), current_) << "waiting changes nothing, not even the epoch before";
  others_.erase({kT, 8});
  step();
  EXPECT_EQ(current_.state, kUnreleasedPartitions);
  EXPECT_EQ(current_.assigned[0], (OwnedTopicPartitions{kT, {1, 2, 3, 8}, {10, 10, 10, 11}}));
  others_.clear();
  step();
  EXPECT_EQ(current_.state, kStable);
  EXPECT_EQ(current_.assigned[0], (OwnedTopicPartitions{kT, {1, 2, 3, 7, 8}, {10, 10, 10, 11, 11}}));
}

TEST_F(ReconciliationTest, AMemberThatWaitsMayHaveToGiveUpForALaterTarget) {
  current_.state = kUnreleasedPartitions;
  target_ = {{kT, {1}}, {kU, {4, 5, 6}}};
  step();
  EXPECT_EQ(current_.state, kUnrevokedPartitions);
  EXPECT_EQ(current_.member_epoch, 10);
  EXPECT_EQ(current_.pending_revocation, std::vector{had(kT, {2, 3}, 10)});
}

TEST_F(ReconciliationTest, ALaterTargetFindsAMemberThatGivesUp) {
  current_ = {10, 10, kUnrevokedPartitions, {had(kT, {2, 3}, 10)}, {had(kT, {1}, 9)}};
  target_epoch_ = 12;
  target_ = {{kT, {1, 3}}};
  EXPECT_EQ(*run(), current_) << "first it gives up what it was asked for";
  owned_ = Assignment{{kT, {2, 3}}};
  step();
  EXPECT_EQ(current_, (CurrentAssignment{10, 10, kUnrevokedPartitions, {had(kT, {3}, 10)}, {had(kT, {2}, 10)}}))
      << "and then what the later target takes";
  owned_ = Assignment{{kT, {3}}};
  step();
  EXPECT_EQ(current_, (CurrentAssignment{12, 10, kStable, {{kT, {1, 3}, {12, 10}}}, {}})) << "what it gave up comes back anew";
}

TEST_F(ReconciliationTest, TopicsWithoutSubscriptionAreTakenAwayAtOnce) {
  target_epoch_ = 10;
  unsubscribed_ = {kU};
  EXPECT_EQ(*run(), current_) << "nothing says that the subscription changed";
  changed_ = true;
  step();
  EXPECT_EQ(current_, (CurrentAssignment{10, 10, kUnrevokedPartitions, {had(kT, {1, 2, 3}, 10)}, {had(kU, {4, 5, 6}, 10)}}));
  unsubscribed_ = {kT, kU};
  step();
  EXPECT_EQ(current_.pending_revocation, (std::vector{had(kT, {1, 2, 3}, 10), had(kU, {4, 5, 6}, 10)}));
  EXPECT_TRUE(current_.assigned.empty());
}

TEST_F(ReconciliationTest, TopicsWithoutSubscriptionThatItHasNotAreGone) {
  target_epoch_ = 10;
  unsubscribed_ = {kU};
  changed_ = true;
  owned_ = Assignment{{kT, {1, 2, 3}}};
  EXPECT_EQ(step(), (CurrentAssignment{10, 10, kStable, {had(kT, {1, 2, 3}, 10)}, {}}));
}

TEST_F(ReconciliationTest, ATargetWithTopicsWithoutSubscriptionGivesNothingOfThem) {
  target_ = {{kT, {1, 2, 3}}, {kU, {4, 5, 6, 7}}};
  unsubscribed_ = {kU};
  step();
  EXPECT_EQ(current_.state, kUnrevokedPartitions);
  EXPECT_EQ(current_.pending_revocation, std::vector{had(kU, {4, 5, 6}, 10)});
}

TEST_F(ReconciliationTest, AnUnknownStateStartsAgainWithoutPartitions) {
  current_.state = kUnknown;
  EXPECT_FALSE(run()) << "it does not say what it has";
  owned_ = Assignment{{kT, {1}}};
  EXPECT_FALSE(run());
  owned_ = Assignment();
  target_ = {{kT, {1, 9}}};
  EXPECT_EQ(step(), (CurrentAssignment{11, 10, kStable, {{kT, {1, 9}, {10, 11}}}, {}}));
}

}  // namespace
}  // namespace weir::coordination
