// Records of consumer groups against those of Kafka's coordinator (testdata/consumer_records.txt; ConsumerGroupRecords.java has
// the same contents).
#include "coordination/group/consumer/consumer_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>

#include "coordination/group/group_records.h"

namespace weir::coordination {
namespace {

using ::testing::HasSubstr;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

std::map<std::string, CoordinatorRecord> kafka_records() {
  std::map<std::string, CoordinatorRecord> records;
  std::ifstream file(WEIR_GROUP_TESTDATA "/consumer_records.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::string name, key, value;
    std::istringstream(line) >> name >> key >> value;
    CoordinatorRecord record{from_hex(key), std::nullopt};
    if (value != "-") record.value = from_hex(value);
    records.emplace(name, std::move(record));
  }
  return records;
}

Result<GroupRecord> parse(const CoordinatorRecord& record) {
  std::optional<Bytes> value;
  if (record.value) value = as_bytes(*record.value);
  return parse_group_record(as_bytes(record.key), value);
}

Uuid topic(uint8_t high, uint8_t low) {
  Uuid id;
  id.bytes[0] = high;
  id.bytes[7] = 1;
  id.bytes[8] = low;
  id.bytes[15] = 2;
  return id;
}
const Uuid kA = topic(0x0a, 0x0a), kB = topic(0x0b, 0x8b);

ConsumerMemberMetadata bare_member() {
  ConsumerMemberMetadata member;
  member.client_id = "c";
  member.client_host = "/10.0.0.1";
  member.subscribed_regex = "";
  return member;
}
ConsumerMemberMetadata full_member() {
  ConsumerMemberMetadata member = bare_member();
  member.instance_id = "i";
  member.rack_id = "r";
  member.subscribed_topics = {"t", "u"};
  member.subscribed_regex = "t.*";
  member.rebalance_timeout_ms = 60'000;
  member.server_assignor = "range";
  member.classic = {45'000, {{"range", "\x01\x02"}, {"cooperative-sticky", ""}}};
  return member;
}
ConsumerMemberMetadata old_member() {
  ConsumerMemberMetadata member = bare_member();
  member.subscribed_topics = {"t", "u"};
  return member;
}

constexpr auto kStable = MemberState::kStable;
constexpr int64_t kTime = 1'735'689'600'000;

// Which are written with the same bytes.
const std::map<std::string, GroupRecord> kWritten = {
    {"group", ConsumerGroupEntry{"g", {{7, 0x0102030405060708}}}},
    {"group-bare", ConsumerGroupEntry{"g", {{1, 0}}}},
    {"group-gone", ConsumerGroupEntry{"g", {}}},
    {"partition-metadata-gone", ConsumerPartitionMetadataEntry{"g", true}},
    {"member", ConsumerMemberEntry{"g", "m", full_member()}},
    {"member-bare", ConsumerMemberEntry{"g", "m", bare_member()}},
    {"member-gone", ConsumerMemberEntry{"g", "m", {}}},
    {"target", TargetAssignmentEntry{"g", {{7, kTime}}}},
    {"target-of-4.2", TargetAssignmentEntry{"g", {{7, 0}}}},
    {"target-gone", TargetAssignmentEntry{"g", {}}},
    {"target-member", TargetAssignmentMemberEntry{"g", "m", Assignment{{kA, {0, 1, 300}}, {kB, {2}}}}},
    {"target-member-bare", TargetAssignmentMemberEntry{"g", "m", Assignment()}},
    {"target-member-gone", TargetAssignmentMemberEntry{"g", "m", {}}},
    {"current",
     CurrentAssignmentEntry{
         "g",
         "m",
         {{7, 6, MemberState::kUnrevokedPartitions, {{kA, {0, 1}, {5, 7}}, {kB, {2}, {7}}}, {{kA, {3}, {5}}}}},
     }},
    {"current-left", CurrentAssignmentEntry{"g", "m", {{-2, 7, kStable, {}, {}}}}},
    {"current-gone", CurrentAssignmentEntry{"g", "m", {}}},
    {"regex", ResolvedRegexEntry{"g", "t|u", {{{"t", "u"}, 12, kTime}}}},
    {"regex-bare", ResolvedRegexEntry{"g", "", {{{}, -1, -1}}}},
    {"regex-gone", ResolvedRegexEntry{"g", "t|u", {}}},
};

// Which are read only: of older brokers, or not in the order of ours.
const std::map<std::string, GroupRecord> kRead = {
    {"partition-metadata", ConsumerPartitionMetadataEntry{"g", false}},
    {"member-of-3.7", ConsumerMemberEntry{"g", "m", old_member()}},
    {"target-member-unsorted", TargetAssignmentMemberEntry{"g", "m", Assignment{{kA, {0, 1, 300}}, {kB, {2}}}}},
    {"current-of-4.2",
     CurrentAssignmentEntry{"g", "m", {{7, 6, MemberState::kUnreleasedPartitions, {{kA, {0, 1}, {7, 7}}, {kB, {2}, {7}}}, {}}}}},
    {"current-left-of-4.2", CurrentAssignmentEntry{"g", "m", {{-2, 6, kStable, {{kA, {0}, {0}}}, {}}}}},
    {"current-unsorted",
     CurrentAssignmentEntry{"g", "m", {{7, 6, MemberState::kUnknown, {{kA, {0, 1}, {5, 6}}, {kB, {2}, {1}}}, {}}}}},
};

void expect_equal(const GroupRecord& found, const GroupRecord& expected, const std::string& name) {
  ASSERT_EQ(found.index(), expected.index()) << name;
  std::visit(
      [&]<typename Entry>(const Entry& entry) {
        if constexpr (std::equality_comparable<Entry>) EXPECT_TRUE(entry == std::get<Entry>(expected)) << name;
        else FAIL() << name;
      },
      found);
}

TEST(ConsumerRecords, AreReadAndWrittenAsKafkaWritesThem) {
  const auto records = kafka_records();
  ASSERT_EQ(records.size(), kWritten.size() + kRead.size() + 4);
  for (const auto& [name, expected] : kWritten) {
    const CoordinatorRecord& record = records.at(name);
    const auto found = parse(record);
    ASSERT_TRUE(found) << name << ": " << found.error().message;
    expect_equal(*found, expected, name);
    EXPECT_EQ(encode(expected), record) << name;
  }
}

TEST(ConsumerRecords, OfOlderBrokersAreCompletedAndListsSorted) {
  const auto records = kafka_records();
  for (const auto& [name, expected] : kRead) {
    const auto found = parse(records.at(name));
    ASSERT_TRUE(found) << name << ": " << found.error().message;
    expect_equal(*found, expected, name);
    const auto again = parse(encode(*found));
    // Of the type that is never written only the tombstone is left.
    if (name != "partition-metadata") expect_equal(again.value(), expected, name);
  }
}

TEST(ConsumerRecords, ThatContradictThemselvesAreRefused) {
  const auto records = kafka_records();
  for (const char* name : {"target-member-twice", "target-member-negative", "current-twice", "current-negative"}) {
    const auto found = parse(records.at(name));
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.error().code, weir::ErrorCode::kCorrupt) << name;
    EXPECT_THAT(found.error().message, HasSubstr("two lists of a topic's partitions")) << name;
  }
}

void expect_corrupt(const CoordinatorRecord& record, const std::string& what, const std::string& where) {
  const auto found = parse(record);
  ASSERT_FALSE(found) << where;
  EXPECT_EQ(found.error().code, weir::ErrorCode::kCorrupt) << where;
  EXPECT_THAT(found.error().message, HasSubstr(what)) << where;
}

TEST(ConsumerRecords, CutAnywhereAreCorrupt) {
  for (const auto& [name, record] : kafka_records()) {
    for (size_t size = 0; size < record.key.size(); ++size) {
      expect_corrupt({record.key.substr(0, size), record.value}, "key", name + " " + std::to_string(size));
    }
    if (!record.value || name == "partition-metadata") continue;
    for (size_t size = 0; size < record.value->size(); ++size) {
      expect_corrupt({record.key, record.value->substr(0, size)}, "value", name + " " + std::to_string(size));
    }
  }
}

TEST(ConsumerRecords, OfAnUnknownVersionAreCorrupt) {
  for (const auto& [name, record] : kafka_records()) {
    if (!record.value || name == "partition-metadata") continue;
    CoordinatorRecord newer = record;
    newer.value->at(1) = 1;
    expect_corrupt(newer, "unknown version", name);
  }
}

// A count that the bytes cannot hold is refused before memory is taken for it.
TEST(ConsumerRecords, CountsOfElementsAreBounded) {
  const auto records = kafka_records();
  for (const auto& [name, position] : std::map<std::string, size_t>{
           {"target-member", 2}, {"current", 11}, {"current-left", 12}, {"regex", 2}, {"member-bare", 16}}) {
    CoordinatorRecord record = records.at(name);
    record.value->replace(position, 1, "\xff\xff\xff\xff\x07");
    expect_corrupt(record, "value", name);
  }
}

}  // namespace
}  // namespace weir::coordination
