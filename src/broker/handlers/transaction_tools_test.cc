// DescribeTransactions and ListTransactions, through a whole broker.
#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/transactions_fixture.h"
#include "protocol/messages/describe_transactions.h"
#include "protocol/messages/list_transactions.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TransactionToolsTest : public TransactionsTest {
 protected:
  struct Described {
    ErrorCode error;
    std::string id, state;
    std::vector<std::pair<std::string, std::vector<int32_t>>> topics;
    bool operator==(const Described&) const = default;
  };
  std::vector<Described> describe_all(std::vector<std::string_view> ids) {
    DescribeTransactionsRequest request;
    request.transactional_ids = ids;
    const auto answer = call<DescribeTransactionsResponse>(0, request);
    std::vector<Described> described;
    for (const auto& state : answer->transaction_states) {
      Described& one = described.emplace_back(
          Described{error_of(state.error_code), std::string(state.transactional_id), std::string(state.transaction_state), {}});
      for (const auto& topic : state.topics) {
        one.topics.emplace_back(std::string(topic.topic), std::vector<int32_t>(topic.partitions.begin(), topic.partitions.end()));
      }
    }
    return described;
  }

  struct Filter {
    std::vector<std::string_view> states = {};
    std::vector<int64_t> producer_ids = {};
    int64_t duration_ms = -1;
    std::optional<std::string_view> pattern = std::nullopt;
  };
  struct Listed {
    ErrorCode error{};
    std::vector<std::string> ids, unknown_states;
  };
  Listed list() { return list(Filter{}); }
  Listed list(Filter filter, int16_t version = 2) {
    ListTransactionsRequest request;
    request.state_filters = filter.states;
    request.producer_id_filters = filter.producer_ids;
    request.duration_filter = filter.duration_ms;
    request.transactional_id_pattern = filter.pattern;
    const auto answer = call<ListTransactionsResponse>(version, request);
    Listed listed{error_of(answer->error_code), {}, {}};
    for (const auto& state : answer->transaction_states) listed.ids.emplace_back(state.transactional_id);
    for (const std::string_view state : answer->unknown_state_filters) listed.unknown_states.emplace_back(state);
    return listed;
  }
};

TEST_F(TransactionToolsTest, TransactionsAreDescribed) {
  create_topic("a", 2);
  Producer producer = init("x", 12'345);
  EXPECT_EQ(write(kSecond, producer, 2, {"v"}), ErrorCode::kNone);
  EXPECT_EQ(write(kSecond, producer, 0, {"v"}), ErrorCode::kNone);
  EXPECT_EQ(write(producer, "a", 1, {"v"}, 13), ErrorCode::kNone);
  init("y");
  EXPECT_THAT(describe_all({"y", "x", "", "absent", "x"}),
              ElementsAre(Described{ErrorCode::kNone, "y", "Empty", {}},
                          Described{ErrorCode::kNone, "x", "Ongoing", {{"a", {1}}, {"t", {0, 2}}}},
                          Described{ErrorCode::kInvalidRequest, "", "", {}},
                          Described{ErrorCode::kTransactionalIdNotFound, "absent", "", {}}));
  std::string_view id = "x";
  DescribeTransactionsRequest request;
  request.transactional_ids = {&id, 1};
  const auto answer = call<DescribeTransactionsResponse>(0, request);
  EXPECT_EQ(answer->transaction_states[0].transaction_timeout_ms, 12'345);
  EXPECT_EQ(answer->transaction_states[0].producer_id, producer.id);
  EXPECT_EQ(answer->transaction_states[0].producer_epoch, producer.epoch);
  EXPECT_NEAR(static_cast<double>(answer->transaction_states[0].transaction_start_time_ms),
              static_cast<double>(sim_.clock().wall_ms()), 1000);
}

TEST_F(TransactionToolsTest, TransactionsAreListedByWhatIsAskedFor) {
  Producer first = init("first", 600'000);
  EXPECT_EQ(write(kSecond, first, 0, {"v"}), ErrorCode::kNone);
  sim_.run_for(20 * runtime::kSecond);
  Producer second = init("second", 600'000);
  EXPECT_EQ(write(kSecond, second, 0, {"v"}), ErrorCode::kNone);
  init("third");
  EXPECT_THAT(list().ids, ElementsAre("first", "second", "third"));
  EXPECT_THAT(list({.states = {"Ongoing"}}).ids, ElementsAre("first", "second"));
  EXPECT_THAT(list({.states = {"Empty", "Ongoing", "Empty"}}).ids, ElementsAre("first", "second", "third"));
  EXPECT_THAT(list({.states = {"CompleteCommit"}}).ids, IsEmpty());
  const Listed odd = list({.states = {"Empty", "Odd", "ongoing"}});
  EXPECT_THAT(odd.ids, ElementsAre("third"));
  EXPECT_THAT(odd.unknown_states, ElementsAre("Odd", "ongoing"));
  EXPECT_THAT(list({.states = {"Odd"}}).ids, IsEmpty());
  EXPECT_THAT(list({.producer_ids = {999'999, second.id, 999'998, 1}}).ids, ElementsAre("second"));
  EXPECT_THAT(list({.states = {"Ongoing"}, .duration_ms = 10'000}).ids, ElementsAre("first"));
  EXPECT_THAT(list({}, 0).ids.size(), 3u);
  EXPECT_THAT(list({.pattern = "f.*|third"}).ids, ElementsAre("first", "third"));
  EXPECT_THAT(list({.pattern = "irs"}).ids, IsEmpty()) << "all of the id";
  EXPECT_THAT(list({.pattern = ""}).ids.size(), 3u);
  EXPECT_EQ(list({.pattern = "("}).error, ErrorCode::kInvalidRegularExpression);
}

TEST_F(TransactionToolsTest, APatternMayTakeSoManyStepsForAnId) {
  std::vector<std::string> ids;
  for (char number = '0'; number < '8'; ++number) ids.push_back(number + std::string(20'000, 'a'));
  for (const std::string& id : ids) init(id);
  EXPECT_EQ(list({.pattern = "[0-3].*a.{40}"}).ids, std::vector(ids.begin(), ids.begin() + 4)) << "in several steps";
  EXPECT_EQ(list({.pattern = ".*a.{900}x"}).error, ErrorCode::kInvalidRegularExpression);
}

TEST_F(TransactionToolsTest, NothingIsListedWhileACoordinatorLoads) {
  Producer producer = init("x");
  EXPECT_EQ(write(kSecond, producer, 0, {"v"}), ErrorCode::kNone);
  restart(true);
  EXPECT_EQ(list().error, ErrorCode::kCoordinatorLoadInProgress);
  sim_.run_for(runtime::kSecond);
  EXPECT_THAT(list().ids, ElementsAre("x"));
  EXPECT_EQ(end(kSecond, producer, true), ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::broker
