// Import of a Kafka log directory in which something is missing, damaged or impossible.
#include "apps/log_import_fixture.h"

namespace weir::apps {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST_F(LogImportTest, AnUncleanEndIsRefusedOrCut) {
  fs::remove(source() + "/.kafka_cleanshutdown");
  EXPECT_THAT(refusal(), HasSubstr("did not end cleanly"));
  fs::remove(fs::path(source()) / segment(8));
  put(segment(5), batch(5, 3, {"f"}, 4711, 2) + batch(6, 3, {"g", "h"}).substr(0, 70));
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->cut, Contains(HasSubstr("orders-0 was cut after offset 5")));
  const auto loaded = load();
  EXPECT_EQ(loaded[0].manifest.end_offset, 6);
  const std::string file = target() + "/" + kOrders.to_string() + "-0/00000000000000000005.log";
  EXPECT_EQ(fs::file_size(file), loaded[0].manifest.segments[1].length);
}

TEST_F(LogImportTest, DamageBeforeTheLastSegmentIsRefused) {
  std::string damaged = batch(0, 0, {"a", "b", "c"}) + batch(3, 0, {"d", "e"});
  damaged[80] = static_cast<char>(damaged[80] ^ 1);
  put(segment(0), damaged);
  EXPECT_THAT(refusal(with(&LogImportOptions::accept_unclean)), HasSubstr("its checksum is wrong"));
}

TEST_F(LogImportTest, AMissingSegmentIsRefused) {
  fs::remove(fs::path(source()) / segment(5));
  fs::remove(fs::path(source()) / "orders-0/00000000000000000005.index");
  EXPECT_THAT(refusal(), HasSubstr("orders-0 lacks 3 offsets, first 5 to 7"));
  EXPECT_THAT(refusal(with(&LogImportOptions::accept_unclean)), HasSubstr("it was never compacted"));
  fs::remove_all(source() + "/__cluster_metadata-0");
  EXPECT_THAT(refusal(), HasSubstr("neither a metadata log nor cleaner-offset-checkpoint tells"));
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->uncertain, Contains(HasSubstr("first 5 to 7")));
}

TEST_F(LogImportTest, AMissingBatchIsRefused) {
  put(segment(5), batch(6, 3, {"g", "h"}));
  EXPECT_THAT(refusal(), HasSubstr("orders-0 lacks 1 offsets, first 5 to 5"));
}

TEST_F(LogImportTest, TheFirstSegmentsMustBeThere) {
  fs::remove(fs::path(source()) / segment(0));
  EXPECT_THAT(refusal(), HasSubstr("orders-0 begins at offset 2 (log-start-offset-checkpoint)"));
  put("log-start-offset-checkpoint", "0\n0\n");
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->uncertain, Contains(HasSubstr("orders-0 begins at offset 0 (leader-epoch-checkpoint)")));
}

TEST_F(LogImportTest, AnIndexWithoutItsSegmentIsASegmentMissing) {
  put("cleaner-offset-checkpoint", "0\n1\norders 0 8\n");
  put("orders-0/00000000000000000003.timeindex", "");
  EXPECT_THAT(refusal(), HasSubstr("00000000000000000003.timeindex (1 such files) is of a segment that is not there"));
}

TEST_F(LogImportTest, CompactedLogsHaveGaps) {
  put("cleaner-offset-checkpoint", "0\n1\norders 0 8\n");
  put(segment(0), batch(1, 0, {"b"}));
  put(segment(5), batch(6, 3, {"g", "h"}));
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->uncertain, Contains(HasSubstr("orders-0 lacks 3 offsets between segments, first 2 to 4")));
  EXPECT_EQ(load()[0].manifest.end_offset, 8);
}

// A reader at the end needs a batch there to go on from.
TEST_F(LogImportTest, TheEndThatCompactionEmptiedIsFilled) {
  put("cleaner-offset-checkpoint", "0\n1\norders 0 8\n");
  put(segment(5), "");
  put(segment(8), "");
  put("log-start-offset-checkpoint", "0\n0\n");
  ASSERT_TRUE(import());
  const auto some = load()[0].manifest;
  ASSERT_EQ(some.segments.size(), 1u);
  EXPECT_EQ(some.segments[0].next_offset, 8);
  fs::remove_all(target());
  put(segment(0), "");
  ASSERT_TRUE(import());
  const auto none = load()[0].manifest;
  ASSERT_EQ(none.segments.size(), 1u);
  EXPECT_EQ(none.end_offset, 8);
  const std::string bytes = content(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log");
  ASSERT_EQ(bytes.size(), none.segments[0].length);
  const auto header = protocol::BatchHeader::parse(as_bytes(bytes).data());
  EXPECT_EQ(header.base_offset, 0);
  EXPECT_EQ(header.next_offset(), 8);
}

TEST_F(LogImportTest, EmptySegmentsAreMissingRecords) {
  put(segment(0), "");
  put(segment(5), "");
  EXPECT_THAT(refusal(), HasSubstr("orders-0 lacks 8 offsets, first 0 to 4"));
}

TEST_F(LogImportTest, AnEndBelowTheOneThatKafkaNotedIsRefused) {
  const auto expect_refused = [&](const std::string& by, const std::string& end) {
    EXPECT_THAT(refusal(), HasSubstr("orders-0 ends at offset 8, but " + by + " says that it went on to " + end));
  };
  put("recovery-point-offset-checkpoint", "0\n1\norders 0 9\n");
  expect_refused("recovery-point-offset-checkpoint", "9");
  put("recovery-point-offset-checkpoint", "0\n1\norders 0 8\n");
  put("orders-0/00000000000000000010.snapshot", "");
  expect_refused("the snapshot of its producers", "10");
  fs::remove(source() + "/orders-0/00000000000000000010.snapshot");
  put("orders-0/leader-epoch-checkpoint", "0\n2\n0 0\n3 11\n");
  expect_refused("leader-epoch-checkpoint", "11");
  for (const char* start : {"12", "9223372036854775807"}) {
    put("log-start-offset-checkpoint", std::string("0\n1\norders 0 ") + start + "\n");
    expect_refused("log-start-offset-checkpoint", start);
  }
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->cut, Contains(HasSubstr("orders-0 was cut after offset 7")));
  EXPECT_EQ(load()[0].manifest.log_start_offset, 8);
}

TEST_F(LogImportTest, APartitionWithoutItsFolderIsRefusedIfItHeldRecords) {
  fs::remove_all(source() + "/orders-1");
  put("recovery-point-offset-checkpoint", "0\n1\norders 1 4\n");
  EXPECT_THAT(refusal(),
              HasSubstr("orders-1 has no folder here, but recovery-point-offset-checkpoint says that it held records"));
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report);
  EXPECT_THAT(report->cut, Contains(HasSubstr("orders-1")));
}

TEST_F(LogImportTest, ALeaderEpochThatCannotBeIsPutRight) {
  for (const int32_t epoch : {INT32_MAX, 9, 1, -7}) {
    put(segment(0), batch(0, 0, {"a", "b", "c"}) + with_epoch(batch(3, 0, {"d", "e"}), epoch));
    const std::string before = content(source() + "/" + segment(0));
    const auto report = import();
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->leader_epoch, 4);
    EXPECT_THAT(report->uncertain, Contains(HasSubstr("0.log: 1 batches claimed a leader epoch that cannot be")));
    EXPECT_EQ(load()[0].manifest.epochs, (std::vector<storage::EpochStart>{{0, 0}, {3, 5}}));
    const std::string taken = content(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log");
    EXPECT_EQ(taken, batch(0, 0, {"a", "b", "c"}) + batch(3, 0, {"d", "e"}));
    EXPECT_EQ(content(source() + "/" + segment(0)), before);
    fs::remove_all(target());
  }
}

TEST_F(LogImportTest, ACheckpointOfLeaderEpochsThatCannotBeIsNotBelieved) {
  for (const char* rows : {"1\n2147483647 0", "2\n3 0\n0 5", "1\n4 0"}) {
    put("orders-0/leader-epoch-checkpoint", std::string("0\n") + rows + "\n");
    const auto report = import();
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->leader_epoch, 4);
    EXPECT_THAT(report->uncertain, Contains(HasSubstr("orders-0/leader-epoch-checkpoint")));
    EXPECT_EQ(load()[0].manifest.epochs, (std::vector<storage::EpochStart>{{0, 0}, {3, 5}}));
    fs::remove_all(target());
  }
  fs::remove(source() + "/orders-0/leader-epoch-checkpoint");
  put(segment(0), with_epoch(batch(0, 0, {"a", "b", "c"}), 2) + batch(3, 0, {"d", "e"}));
  EXPECT_THAT(refusal(), HasSubstr("is of leader epoch 0, one before it of 2"));
}

TEST_F(LogImportTest, OffsetsPastTheLargestAreDamage) {
  fs::remove(source() + "/orders-1/00000000000000000000.log");
  put("orders-1/09223372036854775805.log", [] {
    std::string bytes = batch(0, 0, {"a", "b", "c", "d", "e"});
    protocol::patch_base_offset(reinterpret_cast<uint8_t*>(bytes.data()), INT64_MAX - 2);
    return bytes;
  }());
  EXPECT_THAT(refusal(), HasSubstr("9223372036854775805.log: no batch begins at position 0"));
}

TEST_F(LogImportTest, FilesThatAreNoneAreRefused) {
  const std::string path = source() + "/" + segment(5);
  fs::remove(path);
  fs::create_directories(path);
  EXPECT_THAT(refusal(), HasSubstr("is a directory, not a segment"));
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(refusal(), HasSubstr("it is a FIFO"));
}

TEST_F(LogImportTest, WhatFollowsTheLastIntactBatchIsNotCopied) {
  put(segment(8), batch(8, 3, {"i"}));
  fs::resize_file(fs::path(source()) / segment(8), uint64_t{1} << 40);
  const auto report = import(with(&LogImportOptions::accept_unclean));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_LT(report->copied_bytes, 1000u);
}

}  // namespace
}  // namespace weir::apps
