#include "runtime/homebound.h"

#include <future>

#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

struct Traveller final : Homebound {
  Traveller(Loop& at, std::promise<bool>& end) : Homebound(at), home(at), died_at_home(end) {}
  ~Traveller() override { died_at_home.set_value(home.may_touch()); }
  Loop& home;
  std::promise<bool>& died_at_home;
};

class HomeboundTest : public RuntimeTest {};

TEST_F(HomeboundTest, DiesAtHomeThoughTheLastReferenceIsDroppedOnAnotherLoop) {
  for (int i = 0; i < 200; ++i) {
    std::promise<bool> died;
    loop(0).post([&] { loop(1).post([self = make_homebound<Traveller>(loop(0), died)] {}); });
    EXPECT_TRUE(died.get_future().get());
  }
}

TEST_F(HomeboundTest, DiesAtHomeThoughTheLastReferenceIsDroppedInThePool) {
  for (int i = 0; i < 200; ++i) {
    std::promise<bool> died;
    loop(0).post([&] { pool().submit([self = make_homebound<Traveller>(loop(0), died)] {}, loop(1), {}, 0); });
    EXPECT_TRUE(died.get_future().get());
  }
}

TEST_F(HomeboundTest, CopiesShareOneObject) {
  std::promise<bool> died;
  auto end = died.get_future();
  on_loop(0, [&] {
    auto first = make_homebound<Traveller>(loop(0), died);
    HomeRef<Traveller> second = first;
    first = HomeRef<Traveller>();
    EXPECT_NE(end.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    first = HomeRef(&*second);
    second = std::move(first);
    EXPECT_NE(end.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  });
  EXPECT_TRUE(end.get());
}

// Whichever loop is discarded first, and with whose task the object goes.
TEST_F(HomeboundTest, DiesWithTheTasksOfStoppedLoops) {
  std::promise<bool> of_first, of_second;
  on_loop(0, [&] { loop(0).schedule_after(3600 * kSecond, [self = make_homebound<Traveller>(loop(1), of_first)] {}); });
  on_loop(1, [&] { loop(1).schedule_after(3600 * kSecond, [self = make_homebound<Traveller>(loop(0), of_second)] {}); });
  runtime_.stop();
  EXPECT_TRUE(of_first.get_future().get());
  EXPECT_TRUE(of_second.get_future().get());
}

}  // namespace
}  // namespace weir::runtime
