#include "protocol/arena.h"

#include <gtest/gtest.h>

namespace weir::protocol {
namespace {

TEST(Arena, ArraysAreValueInitialisedAndAligned) {
  Arena arena;
  for (int round = 0; round < 3; ++round) {
    auto text = arena.array<char>(3);
    auto numbers = arena.array<int64_t>(1000);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(numbers.data()) % alignof(int64_t), 0u);
    for (int64_t& number : numbers) {
      ASSERT_EQ(number, 0);
      number = -1;
    }
    for (char& c : text) {
      ASSERT_EQ(c, 0);
      c = 'x';
    }
    arena.reset();
  }
}

TEST(Arena, LimitIsKeptAndClearedByReset) {
  Arena arena(100);
  EXPECT_EQ(arena.array<char>(60).size(), 60u);
  EXPECT_TRUE(arena.array<char>(41).empty());
  EXPECT_TRUE(arena.exceeded());
  EXPECT_LE(arena.used_bytes(), 100u);
  arena.reset();
  EXPECT_FALSE(arena.exceeded());
  EXPECT_EQ(arena.array<char>(100).size(), 100u);
  EXPECT_EQ(arena.create<char>(), nullptr);
  EXPECT_TRUE(arena.array<int64_t>(Arena::kUnlimited / 4).empty());
}

TEST(Arena, SteadyStateKeepsItsMemory) {
  Arena arena(Arena::kUnlimited, 64 << 10);
  const auto use = [&] {
    for (int i = 0; i < 20; ++i) arena.array<char>(1000);
  };
  use();
  arena.reset();
  const size_t held = arena.held_bytes();
  EXPECT_GT(held, 0u);
  for (int i = 0; i < 10; ++i) {
    use();
    EXPECT_EQ(arena.held_bytes(), held);
    arena.reset();
  }
}

TEST(Arena, ResetGivesBackWhatOneUnusualMessageTook) {
  Arena arena(Arena::kUnlimited, 64 << 10);
  arena.array<char>(100);
  arena.array<char>(10 << 20);
  EXPECT_GT(arena.held_bytes(), size_t{10} << 20);
  arena.reset();
  EXPECT_LE(arena.held_bytes(), size_t{64} << 10);
  EXPECT_EQ(arena.array<char>(5000).size(), 5000u);
}

TEST(Arena, CopyOutlivesItsSource) {
  Arena arena;
  std::string source = "topic";
  const std::string_view copy = arena.copy(source);
  source = "other";
  EXPECT_EQ(copy, "topic");
  EXPECT_EQ(arena.copy(""), "");
}

}  // namespace
}  // namespace weir::protocol
