#include "http/host_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir::http {
namespace {

TEST(HostName, AddressesAndNamesOfNoPublicSitePass) {
  for (const char* host : {"", "127.0.0.1", "10.1.2.3:9644", "[::1]", "[fe80::1]:9644", "localhost", "LocalHost:9644", "weir",
                           "weir:9644", "broker-0.weir.kafka.svc", "broker-0.weir.kafka.svc.cluster.local:9644", "weir.localhost",
                           "ip-10-0-0-1.eu-central-1.compute.internal"}) {
    EXPECT_TRUE(may_be_host(host, {})) << host;
  }
}

TEST(HostName, OthersOnlyIfTheyAreKnown) {
  for (const char* host : {"evil.example.com", "evil.example.com:9644", "127.0.0.1.evil.example", "localhost.evil.example",
                           "evillocal.com", "broker.example.com."}) {
    EXPECT_FALSE(may_be_host(host, {})) << host;
  }
  const std::vector<std::string> known = {"broker.example.com"};
  EXPECT_TRUE(may_be_host("Broker.Example.com:9644", known));
  EXPECT_TRUE(may_be_host("broker.example.com.", known));
  EXPECT_FALSE(may_be_host("other.example.com", known));
  const std::vector<std::string> any = {"*"};
  EXPECT_TRUE(may_be_host("other.example.com", any));
}

}  // namespace
}  // namespace weir::http
