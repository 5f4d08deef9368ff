#include "coordination/runtime/deadlines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::coordination {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Counts its copies.
struct Key {
  static inline int alive = 0;
  explicit Key(std::string text_of) : text(std::move(text_of)) { ++alive; }
  Key(const Key& other) : text(other.text) { ++alive; }
  Key(Key&& other) noexcept : text(std::move(other.text)) { ++alive; }
  ~Key() { --alive; }
  bool operator<(const Key& other) const { return text < other.text; }
  std::string text;
};

class DeadlinesTest : public ::testing::Test {
 protected:
  void set(const std::string& key, int64_t at_ms) { deadlines_.set(Key(key), at_ms); }
  std::vector<std::string> due(int64_t now_ms) {
    std::vector<std::string> keys;
    while (const auto key = deadlines_.pop(now_ms)) keys.push_back(key->text);
    return keys;
  }
  Deadlines<Key> deadlines_;
};

TEST_F(DeadlinesTest, ComeInTheOrderOfTheirTimesAndOnce) {
  set("c", 20);
  set("b", 10);
  set("a", 20);
  EXPECT_EQ(deadlines_.next_ms(), 10);
  EXPECT_THAT(due(9), IsEmpty());
  EXPECT_THAT(due(10), ElementsAre("b"));
  EXPECT_THAT(due(100), ElementsAre("a", "c"));
  EXPECT_THAT(due(100), IsEmpty());
  EXPECT_EQ(deadlines_.next_ms(), Deadlines<Key>::kNever);
}

TEST_F(DeadlinesTest, ALaterTimeAndAnEarlierOneTakeThePlaceOfTheFirst) {
  set("later", 10);
  set("later", 30);
  set("earlier", 30);
  set("earlier", 5);
  EXPECT_THAT(due(29), ElementsAre("earlier"));
  EXPECT_EQ(deadlines_.next_ms(), 30);
  EXPECT_THAT(due(30), ElementsAre("later"));
}

TEST_F(DeadlinesTest, ACancelledOneDoesNotCome) {
  set("a", 10);
  set("b", 10);
  deadlines_.cancel(Key("a"));
  deadlines_.cancel(Key("nobody"));
  EXPECT_FALSE(deadlines_.contains(Key("a")));
  EXPECT_TRUE(deadlines_.contains(Key("b")));
  EXPECT_THAT(due(10), ElementsAre("b"));
}

// A client chooses its timeouts, and could move its deadline forward all the time.
TEST_F(DeadlinesTest, AKeyIsKeptOnce) {
  const int before = Key::alive;
  for (int64_t at_ms = 1'000; at_ms > 0; --at_ms) set("a", at_ms);
  EXPECT_EQ(Key::alive, before + 1);
  EXPECT_THAT(due(1'000), ElementsAre("a"));
}

}  // namespace
}  // namespace weir::coordination
