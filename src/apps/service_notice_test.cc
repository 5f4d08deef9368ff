#include "apps/service_notice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "apps/start_notes.h"
#include "testing/temp_dir.h"

namespace weir::apps {
namespace {

TEST(ServiceNotice, TellsTheServiceManager) {
  testing::TempDir folder;
  const std::string path = folder.path() + "/notify";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  const int manager = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  ASSERT_EQ(::bind(manager, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const auto received = [manager] {
    char text[256];
    const ssize_t n = ::recv(manager, text, sizeof text, 0);
    return n < 0 ? std::string() : std::string(text, static_cast<size_t>(n));
  };
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  const ServiceNotice notice = ServiceNotice::from_environment();
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  notice.ready();
  EXPECT_EQ(received(), "READY=1\nSTATUS=Serving");
  notice.stopping();
  EXPECT_EQ(received(), "STOPPING=1");
  ServiceNotice("").ready();
  EXPECT_EQ(received(), "");
  ::close(manager);
}

TEST(StartNotes, NameTheVariablesOfKafkasImages) {
  const char* const environment[] = {"PATH=/bin", "KAFKA_NUM_PARTITIONS=3", "KAFKA_LISTENERS=PLAINTEXT://:1", "KAFKA_DEBUG=y",
                                     nullptr};
  EXPECT_THAT(ignored_variables(environment),
              ::testing::ElementsAre("KAFKA_LISTENERS (listeners)", "KAFKA_NUM_PARTITIONS (num.partitions)"));
}

}  // namespace
}  // namespace weir::apps
