#include "testing/history/ownership_checker.h"

#include <gtest/gtest.h>

#include "testing/history/history_fixture.h"

namespace weir::testing {
namespace {

using enum AnomalyKind;

class GroupHistory : public PlantedHistory {
 public:
  Assigned assignment(int32_t generation, std::vector<int32_t> partitions = {0}) {
    Assigned assigned{group(), generation, {}};
    for (const int32_t index : partitions) assigned.partitions.push_back(partition(index));
    return assigned;
  }
  OperationId assign(uint32_t client, int32_t generation, std::vector<int32_t> partitions = {0}) {
    return add(client, assignment(generation, std::move(partitions)));
  }
  // With the member's own epoch.
  OperationId assign_in_epoch(uint32_t client, int32_t epoch, std::vector<int32_t> partitions = {0}) {
    Assigned assigned = assignment(epoch, std::move(partitions));
    assigned.member_epoch = true;
    return add(client, assigned);
  }
  OperationId keep(uint32_t client, int32_t epoch, Outcome outcome = Outcome::kOk) {
    return add(client, Kept{group(), epoch, {partition(0)}}, outcome);
  }
  OperationId commit_in(uint32_t client, int32_t generation, int64_t offset, Outcome outcome = Outcome::kOk) {
    return add(client, CommitOffsets{group(), generation, {{partition(0), offset}}}, outcome);
  }
  OperationId revoke(uint32_t client, int32_t generation, Outcome outcome = Outcome::kOk) {
    return add(client, Revoked{group(), generation, {partition(0)}}, outcome);
  }
};

TEST(OwnershipChecker, FindsTwoOwnersOfAGeneration) {
  GroupHistory history;
  history.assign(1, 4);
  history.assign(2, 4);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kTwoOwners});
}

TEST(OwnershipChecker, AGenerationHasOneOwnerForEachPartition) {
  GroupHistory history;
  history.assign(1, 4, {0});
  history.assign(2, 4, {1});
  history.assign(1, 5, {1});
  history.assign(2, 5, {0});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// The coordinator takes the commit of a member that it had replaced.
TEST(OwnershipChecker, FindsAnOwnerThatActsAfterTheNextOne) {
  GroupHistory history;
  history.assign(1, 4);
  history.assign(2, 5);
  history.commit_in(1, 4, 3);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kTwoOwners});
}

TEST(OwnershipChecker, AZombieMayBeRefused) {
  GroupHistory history;
  history.assign(1, 4);
  history.assign(2, 5);
  history.commit_in(1, 4, 3, Outcome::kFail);
  history.revoke(1, 4, Outcome::kFail);
  history.commit_in(2, 5, 3);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(OwnershipChecker, FindsAPartitionThatWasGivenAwayBeforeItWasGivenUp) {
  GroupHistory history;
  history.assign(1, 4);
  history.assign(2, 5);
  history.revoke(1, 4);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kTwoOwners});
}

TEST(OwnershipChecker, APartitionMayBeGivenUpAndGivenAway) {
  GroupHistory history;
  history.assign(1, 4);
  history.commit_in(1, 4, 3);
  history.revoke(1, 4);
  history.assign(2, 5);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// A member learns of its assignment when it is already over.
TEST(OwnershipChecker, AnAssignmentMayComeLate) {
  GroupHistory history;
  const OperationId slow = history.recorder().invoke(1, history.assignment(4));
  history.assign(2, 5);
  history.commit_in(2, 5, 3);
  history.recorder().ok(slow, history.assignment(4));
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// A commit in a transaction counts, too.
TEST(OwnershipChecker, FindsAnOwnerThatCommitsInATransaction) {
  GroupHistory history;
  history.assign(1, 4);
  history.assign(2, 5);
  const OperationId transaction = history.begin(1);
  history.add(1, SendOffsets{transaction, history.group(), 4, {{history.partition(0), 3}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kTwoOwners});
}

TEST(OwnershipChecker, FindsAnOwnerWhoseHeartbeatIsTakenAfterTheNextOne) {
  GroupHistory history;
  history.assign_in_epoch(1, 4);
  history.assign_in_epoch(2, 5);
  history.keep(1, 4);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kTwoOwners});
}

TEST(OwnershipChecker, AHeartbeatMayBeRefused) {
  GroupHistory history;
  history.assign_in_epoch(1, 4);
  history.keep(1, 4);
  history.assign_in_epoch(2, 5);
  history.keep(1, 4, Outcome::kFail);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(OwnershipChecker, AMemberHandsItsEpochOver) {
  GroupHistory history;
  history.assign_in_epoch(1, 4);
  history.revoke(1, 4, Outcome::kUnknown);
  history.assign_in_epoch(2, 4);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(OwnershipChecker, FindsAMemberWhoseEpochIsTakenFromIt) {
  GroupHistory history;
  history.assign_in_epoch(1, 4);
  history.assign_in_epoch(2, 4);
  history.revoke(1, 4);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kTwoOwners});
}

TEST(OwnershipChecker, EpochsOfMembersHaveNoCommonOrder) {
  GroupHistory history;
  history.assign_in_epoch(1, 5, {0});
  history.assign_in_epoch(2, 4, {1});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
  history.assign_in_epoch(1, 4, {2});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kGenerationWentBack});
}

TEST(OwnershipChecker, FindsGenerationsThatGoBack) {
  GroupHistory history;
  history.assign(1, 5);
  history.assign(1, 4);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kGenerationWentBack});
}

TEST(OwnershipChecker, OverlappingAssignmentsHaveNoOrder) {
  GroupHistory history;
  const OperationId slow = history.recorder().invoke(1, history.assignment(4, {1}));
  history.assign(2, 5, {0});
  history.recorder().ok(slow, history.assignment(4, {1}));
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

}  // namespace
}  // namespace weir::testing
