#include "apps/http_endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// One bad batch ends a partition's compaction: whoever watches the broker sees it, with the file and what to do.
TEST(Health, APartitionThatIsNotCompactedIsNamed) {
  HealthInfo info;
  info.uncleanable_partitions = 2;
  info.uncleanable.push_back({{}, "orders-3 (folder x-3)", "00000000000000000000.log at 120: \"bad\" checksum\n"});
  const http::Response response = health_response({}, info);
  EXPECT_EQ(response.status, 200) << "it serves";
  EXPECT_THAT(response.body, HasSubstr(R"("status":"warn")"));
  EXPECT_THAT(response.body, HasSubstr("2 partitions are not compacted any more"));
  EXPECT_THAT(response.body, HasSubstr("weir log salvage"));
  EXPECT_THAT(response.body,
              HasSubstr(R"x("uncleanable":[{"partition":"orders-3 (folder x-3)","reason":"00000000000000000000.log at 120: )x"
                        R"x(\"bad\" checksum\u000a"}])x"));
  EXPECT_THAT(health_response({}, {}).body, Not(HasSubstr("warn")));
}

// Nobody would look into the log for why a log is not compacted any more, though deletion for its age goes on.
TEST(Health, ASegmentThatCannotBeLookedIntoIsNamed) {
  std::vector<broker::ShardSnapshot> shards(2);
  shards[1].unreadable_segments = 3;
  shards[1].unreadable.push_back({"orders-3 (folder x-3)", "00000000000000000000.log: no batch header at 120"});
  const http::Response response = health_response(shards, {});
  EXPECT_EQ(response.status, 200) << "it serves";
  EXPECT_THAT(response.body, HasSubstr(R"("status":"warn")"));
  EXPECT_THAT(response.body, HasSubstr("3 segments"));
  EXPECT_THAT(response.body, HasSubstr("weir log salvage"));
  EXPECT_THAT(response.body,
              HasSubstr(R"x("unreadable_segments":3,"unreadable":[{"partition":"orders-3 (folder x-3)","reason":"0000)x"));
}

// Without it the broker looks well, and its readers get nothing.
TEST(Health, APartitionThatCannotBeReadIsNamed) {
  std::vector<broker::ShardSnapshot> shards(2);
  shards[1].failing_reads = 1;
  shards[1].failing.push_back({"orders-3 (folder x-3)", "cannot open /data/x-3/0.log: Permission denied"});
  const http::Response response = health_response(shards, {});
  EXPECT_EQ(response.status, 200) << "it serves others";
  EXPECT_THAT(response.body, HasSubstr(R"("status":"warn","version")"));
  EXPECT_THAT(response.body, HasSubstr("segments of 1 partition could not be read"));
  EXPECT_THAT(response.body, HasSubstr("chown"));
  EXPECT_THAT(response.body,
              HasSubstr(R"x("failing_reads":1,"failing":[{"partition":"orders-3 (folder x-3)","reason":"cannot)x"));
}

// Nobody who looks at clients that ask again and again would think of the internal topic.
TEST(Health, APartitionOfGroupsThatCannotBeLoadedIsNamed) {
  std::vector<broker::ShardSnapshot> shards(2);
  shards[1].coordinators.failed = 2;
  shards[1].coordinators.some_failed.push_back({"__consumer_offsets-3", "at offset 7: \"bad\" checksum"});
  const http::Response response = health_response(shards, {});
  EXPECT_EQ(response.status, 200) << "it serves others";
  EXPECT_THAT(response.body, HasSubstr(R"("status":"warn")"));
  EXPECT_THAT(response.body, HasSubstr("2 partitions of __consumer_offsets cannot be loaded"));
  EXPECT_THAT(response.body, HasSubstr(R"x("failed_coordinators":2,"unloaded":[{"partition":"__consumer_offsets-3",)x"
                                       R"x("reason":"at offset 7: \"bad\" checksum"}])x"));
}

TEST(Health, APartitionOfTransactionsThatCannotBeLoadedIsNamed) {
  std::vector<broker::ShardSnapshot> shards(2);
  shards[0].transaction_coordinators.failed = 1;
  shards[0].transaction_coordinators.some_failed.push_back({"__transaction_state-3", "bad"});
  EXPECT_THAT(health_response(shards, {}).body, HasSubstr("1 partitions of __transaction_state cannot be loaded"));
  EXPECT_THAT(health_response(shards, {}).body,
              HasSubstr(R"x("failed_coordinators":1,"unloaded":[{"partition":"__transaction_state-3","reason":"bad"}])x"));
  shards[1].coordinators.failed = 2;
  EXPECT_THAT(health_response(shards, {}).body, HasSubstr("3 partitions of internal topics cannot be loaded"));
}

TEST(Health, TransactionsThatHoldUpReadersAreTold) {
  std::vector<broker::ShardSnapshot> shards(2);
  HealthInfo info;
  EXPECT_THAT(health_response(shards, info).body, HasSubstr(R"("status":"pass")"));
  shards[0].orphan_transactions = 2;
  EXPECT_THAT(health_response(shards, info).body, HasSubstr("2 open transactions in partitions without a coordinator"));
  EXPECT_THAT(health_response(shards, info).body, HasSubstr(R"("orphan_transactions":2)"));
  info.transactions_refused = true;
  EXPECT_THAT(health_response(shards, info).body, HasSubstr("transactions hold all the memory that they may"));
}

}  // namespace
}  // namespace weir::apps
