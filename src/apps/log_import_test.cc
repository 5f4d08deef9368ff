// Import of a Kafka log directory: what is taken, and where it may go.
#include <limits>

#include "apps/log_import_fixture.h"

namespace weir::apps {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(LogImportTest, TakesLogsAsTheyAre) {
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->topics, 1u);
  EXPECT_EQ(report->partitions, 2u);
  EXPECT_EQ(report->batches, 4u);
  EXPECT_GT(report->linked_bytes, 0u);
  EXPECT_GT(report->copied_bytes, 0u);
  const auto loaded = load();
  ASSERT_EQ(loaded.size(), 2u);
  const storage::PartitionManifest& log = loaded[0].manifest;
  EXPECT_EQ(log.partition.topic, kOrders);
  EXPECT_EQ(log.log_start_offset, 2);
  EXPECT_EQ(log.end_offset, 8);
  ASSERT_EQ(log.segments.size(), 2u);
  EXPECT_EQ(log.segments[1].base_offset, 5);
  EXPECT_EQ(log.segments[1].next_offset, 8);
  EXPECT_EQ(log.segments[1].max_timestamp, 1007);
  EXPECT_EQ(log.epochs, (std::vector<storage::EpochStart>{{0, 0}, {3, 5}}));
  ASSERT_EQ(loaded[0].producers.size(), 1u);
  EXPECT_EQ(loaded[0].producers[0].producer_id, 4711);
  EXPECT_EQ(loaded[0].producers[0].batches.size(), 2u);
  EXPECT_EQ(loaded[1].manifest.end_offset, 0);
  // Closed segments are the same file; the one that is appended to is not.
  const std::string folder = target() + "/" + kOrders.to_string() + "-0/";
  EXPECT_EQ(fs::hard_link_count(folder + "00000000000000000000.log"), 2u);
  EXPECT_EQ(fs::hard_link_count(folder + "00000000000000000005.log"), 1u);
}

// A batch of producer 4000, or the marker that aborts its transaction.
std::string transactional(int64_t offset, bool marker) {
  protocol::RecordBatchBuilder builder({.base_offset = offset,
                                        .partition_leader_epoch = 3,
                                        .producer_id = 4000,
                                        .producer_epoch = 0,
                                        .base_sequence = marker ? -1 : 0,
                                        .transactional = true,
                                        .control = marker});
  if (marker) builder.append_end_marker(1000, false, 0);
  else builder.append(1000, as_bytes("k"), as_bytes("v"));
  return std::string(as_string(builder.finish()));
}

// Readers of committed records do not see them before somebody ends the transaction.
TEST_F(LogImportTest, AnOpenTransactionStaysOpen) {
  fs::remove(fs::path(source()) / segment(8));
  put(segment(5),
      batch(5, 3, {"f"}, 4711, 2) + batch(6, 3, {"g"}) + transactional(7, true) + transactional(8, false) + batch(9, 3, {"i"}));
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->not_taken, Not(Contains(HasSubstr("4000"))));
  const auto loaded = load();
  ASSERT_EQ(loaded[0].producers.size(), 2u);
  for (const storage::ProducerEntry& entry : loaded[0].producers) {
    EXPECT_EQ(entry.transaction_first_offset, entry.producer_id == 4000 ? 8 : -1) << entry.producer_id;
    EXPECT_EQ(entry.coordinator_epoch, -1);
  }
  fs::remove_all(source() + "/__cluster_metadata-0");
  fs::remove_all(target());
  const auto without = import();
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_THAT(without->not_taken, Contains(AllOf(HasSubstr("orders-0: 1 transaction"), HasSubstr("4000 from offset 8"))));
}

// From its batches, whatever Kafka's index says, which has no checksum.
TEST_F(LogImportTest, AbortedTransactionsAreKept) {
  fs::remove(fs::path(source()) / segment(8));
  put(segment(5), batch(5, 3, {"f"}, 4711, 2) + batch(6, 3, {"g", "h"}) + transactional(8, false) + batch(9, 3, {"i"}) +
                      transactional(10, true));
  put("orders-0/00000000000000000005.txnindex", "damaged");
  const auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  auto store = storage::LocalSegmentStore::open(files_, pool_, clock_, {.log_dir = target()});
  ASSERT_TRUE(store);
  const auto loaded = (*store)->load();
  ASSERT_TRUE(loaded);
  for (const auto& one : *loaded) {
    if (one.manifest.partition.index != 0) continue;
    ASSERT_EQ(one.manifest.segments.size(), 2u);
    const auto aborted = (*store)->aborted_transactions(one.manifest.partition, one.manifest.segments[1]);
    ASSERT_TRUE(aborted) << aborted.error().message;
    EXPECT_THAT(*aborted, ElementsAre(storage::AbortedTransaction{4000, 8, 10, 11}));
    EXPECT_EQ(one.manifest.segments[0].aborted, 0u);
  }
}

// Kafka's folder may hold what producers' headers said, of its versions or of copies: the broker looks at the records.
TEST_F(LogImportTest, TimesAreToBeLookedAtAndFilesKeepTheirAge) {
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(48);
  fs::last_write_time(fs::path(source()) / segment(0), old);
  ASSERT_TRUE(import());
  const auto partitions = load();
  const auto& segments = partitions[0].manifest.segments;
  ASSERT_EQ(segments.size(), 2u);
  const int64_t age_ms = clock_.wall_ms() - segments[0].modified_ms;
  EXPECT_GE(age_ms, 48 * 3'600'000);
  EXPECT_LT(age_ms, 49 * 3'600'000);
  EXPECT_LT(clock_.wall_ms() - segments[1].modified_ms, 3'600'000);
  for (const auto& info : segments) EXPECT_FALSE(info.times_known);
}

TEST_F(LogImportTest, ADryRunWritesNothing) {
  const auto report = import(with(&LogImportOptions::dry_run));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->batches, 4u);
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_FALSE(fs::exists(target() + ".importing"));
}

TEST_F(LogImportTest, CopiesOnlyIfAsked) {
  ASSERT_TRUE(import(with(&LogImportOptions::copy)));
  EXPECT_EQ(fs::hard_link_count(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log"), 1u);
}

TEST_F(LogImportTest, RefusesWhatItCannotUnderstand) {
  put("meta.properties", "version=2\ncluster.id=x\n");
  EXPECT_THAT(refusal(), HasSubstr("version '2'"));
  put("meta.properties", "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\nnode.id=1\n");
  put_metadata(as_log({topic_record("orders", kOrders), partition_record(0, kOrders, {1, 2})}));
  EXPECT_THAT(refusal(), HasSubstr("has 2 replicas"));
  put_metadata(as_log({record(2, 9, [](protocol::Writer& w) { w.string("orders", true); })}));
  EXPECT_THAT(refusal(), HasSubstr("version 9 of metadata record type 2"));
  put_metadata(metadata_log());
  std::string old = batch(0, 0, {"a"});
  old[16] = 1;
  put(segment(0), old);
  EXPECT_THAT(refusal(), HasSubstr("message format 1"));
  put("orders-0/00000000000000000000.log.swap", "x");
  EXPECT_THAT(refusal(), HasSubstr("compaction was interrupted"));
}

TEST_F(LogImportTest, TheTargetMustBeNew) {
  fs::create_directories(target());
  ASSERT_TRUE(import()) << "an empty folder is fine";
  const auto again = import();
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("is not empty"));
}

// Root imports into the empty folder of a service.
TEST_F(LogImportTest, TheOwnerOfTheFolderStaysItsOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  fs::create_directories(target());
  fs::permissions(target(), fs::perms::owner_all);
  ASSERT_EQ(::chown(target().c_str(), 12345, 23456), 0);
  ASSERT_TRUE(import(with(&LogImportOptions::copy)));
  struct stat entry{};
  for (const fs::path& path : {fs::path(target()), fs::path(target()) / "meta.db", fs::path(target()) / ".lock",
                               fs::path(target()) / (kOrders.to_string() + "-0") / "00000000000000000000.log"}) {
    ASSERT_EQ(::stat(path.c_str(), &entry), 0) << path;
    EXPECT_EQ(std::pair(entry.st_uid, entry.st_gid), std::pair(uid_t{12345}, gid_t{23456})) << path;
  }
  EXPECT_EQ(fs::status(target()).permissions(), fs::perms::owner_all);
}

TEST_F(LogImportTest, OneImportAtATimeMakesAFolder) {
  fs::create_directories(target() + ".importing");
  auto other = files_.lock(target() + ".importing/.lock");
  ASSERT_TRUE(other);
  EXPECT_THAT(refusal(), HasSubstr("another import is making"));
  EXPECT_TRUE(fs::exists(target() + ".importing/.lock")) << "it is the other one's";
  other->reset();
  put("../weir.importing/left/over", "of a try that was killed");
  ASSERT_TRUE(import());
  EXPECT_FALSE(fs::exists(target() + "/left"));
  EXPECT_FALSE(fs::exists(target() + ".importing"));
  EXPECT_TRUE(files_.lock(target() + "/.lock"));
}

TEST_F(LogImportTest, ATryThatFailedLeavesNothing) {
  fs::remove(fs::path(source()) / segment(5));
  refusal();
  EXPECT_FALSE(fs::exists(target() + ".importing"));
}

TEST_F(LogImportTest, ASegmentBehindALinkIsTaken) {
  const std::string path = source() + "/" + segment(0), elsewhere = folder_ / "elsewhere";
  fs::rename(path, elsewhere);
  fs::create_symlink(elsewhere, path);
  ASSERT_TRUE(import());
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(target() + "/" + kOrders.to_string() + "-0/00000000000000000000.log")));
}

TEST_F(LogImportTest, TheTargetIsNotInTheSource) {
  const auto report =
      import_kafka_log(files_, pool_, clock_, {.source = source(), .data_dir = source() + "/weir"}, [](const std::string&) {});
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr("lies in the folder of Kafka"));
}

TEST_F(LogImportTest, ALinkToTheTargetStaysOne) {
  fs::create_directories(std::string(folder_ / "disk/weir"));
  fs::create_symlink(std::string(folder_ / "disk/weir"), target());
  ASSERT_TRUE(import());
  EXPECT_TRUE(fs::is_symlink(target()));
  EXPECT_TRUE(fs::exists(std::string(folder_ / "disk/weir/meta.db")));
}

// Kafka takes any producer id from a client, also the highest one.
TEST_F(LogImportTest, ProducerIdsThatNoBrokerGaveAreTaken) {
  constexpr int64_t kHighest = std::numeric_limits<int64_t>::max();
  put(segment(8), batch(8, 3, {"i"}, kHighest, 0));
  auto report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->next_producer_id, 5000) << "the metadata log's";
  const auto loaded = load();
  ASSERT_EQ(loaded[0].producers.size(), 2u);
  EXPECT_EQ(loaded[0].producers[1].producer_id, kHighest);
  fs::remove_all(target());
  fs::remove_all(source() + "/__cluster_metadata-0");
  report = import();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->next_producer_id, 4712) << "above those in the logs that a broker may have given";
}

TEST_F(LogImportTest, TheReportIsJsonToo) {
  const auto report = import(with(&LogImportOptions::dry_run));
  ASSERT_TRUE(report);
  EXPECT_THAT(report->json(), HasSubstr("\"topics\":1,\"partitions\":2,"));
  LogImportReport hostile;
  hostile.not_taken = {"a\nall is well\x1b[2J"};
  EXPECT_THAT(hostile.text(), HasSubstr("not taken: a?all is well?[2J\n"));
}

// Java's locks are those of fcntl, which only other processes see.
TEST_F(LogImportTest, KafkaIsLockedOut) {
  put(".lock", "");
  const std::string path = source() + "/.lock";
  const auto taken_by_another_process = [&] {
    const pid_t child = ::fork();
    if (child == 0) {
      const int file = ::open(path.c_str(), O_RDWR);
      struct flock lock{};
      lock.l_type = F_WRLCK;
      lock.l_whence = SEEK_SET;
      ::_exit(::fcntl(file, F_SETLK, &lock) == 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status == 0;
  };
  EXPECT_TRUE(taken_by_another_process());
  auto folder = read_kafka_folder(files_, source());
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_FALSE(taken_by_another_process());
  folder->lock.reset();
  EXPECT_TRUE(taken_by_another_process());
}

TEST(KafkaFolder, ReadsNamesAndCheckpoints) {
  EXPECT_EQ(parse_kafka_partition_name("a-b-12"), (std::pair<std::string, int32_t>("a-b", 12)));
  for (const char* other : {"a", "-1", "a-", "a-x", "a--1x", "a-0.4f2-delete", "a-01", "a-+1", "a b-0", "..-0", "a-2147483648"}) {
    EXPECT_FALSE(parse_kafka_partition_name(other)) << other;
  }
  EXPECT_EQ(parse_kafka_checkpoint("0\n1\na 1 2\n", 3)->size(), 1u);
  EXPECT_FALSE(parse_kafka_checkpoint("1\n0\n", 3)) << "a later version";
  EXPECT_FALSE(parse_kafka_checkpoint("0\n2\na 1 2\n", 3)) << "an entry is missing";
  EXPECT_FALSE(parse_kafka_checkpoint("0\n1\na 1\n", 3));
  EXPECT_TRUE(parse_kafka_checkpoint("", 3)->empty()) << "a new one";
  EXPECT_FALSE(parse_kafka_checkpoint("x", 3));
}

}  // namespace
}  // namespace weir::apps
