#include "base/lifetime.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "base/function.h"

namespace weir {
namespace {

TEST(Lifetime, AGuardedCallbackGetsWhatItIsGiven) {
  const Lifetime lifetime;
  std::string got;
  Function<void(std::unique_ptr<std::string>)> callback =
      lifetime.guard([&](std::unique_ptr<std::string> text) { got = std::move(*text); });
  callback(std::make_unique<std::string>("late"));
  EXPECT_EQ(got, "late");
}

TEST(Lifetime, ACallbackDoesNothingOnceTheObjectIsGone) {
  std::optional<Lifetime> lifetime(std::in_place);
  int calls = 0;
  auto callback = lifetime->guard([&] { ++calls; });
  const Lifetime::Observer observer = lifetime->observe();
  callback();
  EXPECT_TRUE(observer);
  lifetime.reset();
  callback();
  EXPECT_FALSE(observer);
  EXPECT_EQ(calls, 1);
}

TEST(Lifetime, EndsBeforeTheObjectIfToldSo) {
  Lifetime lifetime;
  int calls = 0;
  auto callback = lifetime.guard([&] { ++calls; });
  lifetime.end();
  callback();
  EXPECT_FALSE(lifetime);
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace weir
