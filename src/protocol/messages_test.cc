// Every message in every version: bytes of another implementation, random round trips, truncated input.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "protocol/catalog/message_catalog.h"

namespace weir::protocol {
namespace {

std::vector<uint8_t> from_hex(const std::string& hex) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

const MessageType* find(std::string_view name) {
  for (const MessageType& type : message_catalog()) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

struct Golden {
  const MessageType* type;
  int16_t version;
  std::string variant;
  std::vector<uint8_t> bytes;
  std::string label() const { return std::string(type->name) + " v" + std::to_string(version) + " " + variant; }
};

std::vector<Golden> read_golden() {
  std::ifstream file(WEIR_PROTOCOL_TESTDATA "/golden.txt");
  std::vector<Golden> all;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    std::string name, variant, hex;
    int version = 0;
    words >> name >> version >> variant >> hex;
    const MessageType* type = find(name);
    EXPECT_NE(type, nullptr) << name;
    if (type != nullptr) all.push_back({type, static_cast<int16_t>(version), variant, from_hex(hex)});
  }
  return all;
}

// Every message and version must be in the file, and what we write must be what they wrote.
TEST(Messages, ReencodesForeignBytesIdentically) {
  std::map<std::pair<std::string_view, int16_t>, int> seen;
  for (const Golden& golden : read_golden()) {
    Arena arena;
    Reader reader(golden.bytes, arena);
    Writer writer;
    const bool decoded = golden.type->recode(reader, writer, golden.version);
    EXPECT_TRUE(decoded) << golden.label() << ": " << reader.error();
    if (!decoded) continue;
    EXPECT_TRUE(reader.remaining().empty()) << golden.label();
    EXPECT_TRUE(writer.ok()) << golden.label() << ": " << writer.error();
    EXPECT_EQ(as_string(writer.bytes()), as_string(golden.bytes)) << golden.label();
    ++seen[{golden.type->name, golden.version}];
  }
  for (const MessageType& type : message_catalog()) {
    for (int16_t version = type.min_version; version <= type.max_version; ++version) {
      EXPECT_GE((seen[{type.name, version}]), 3) << type.name << " v" << version;
    }
  }
}

// No prefix of a valid message may crash the decoder; one that is accepted must be able to be written again.
TEST(Messages, TruncationFailsCleanly) {
  for (const Golden& golden : read_golden()) {
    for (size_t size = 0; size < golden.bytes.size(); ++size) {
      const std::vector<uint8_t> prefix(golden.bytes.begin(), golden.bytes.begin() + static_cast<ptrdiff_t>(size));
      Arena arena(1 << 20);
      Reader reader(prefix, arena);
      Writer writer;
      ASSERT_FALSE(golden.type->recode(reader, writer, golden.version)) << golden.label() << " at " << size;
      ASSERT_NE(reader.error(), nullptr);
    }
  }
}

TEST(Messages, FlippedBytesNeverCrash) {
  for (const Golden& golden : read_golden()) {
    std::vector<uint8_t> bytes = golden.bytes;
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (const uint8_t value : {0x00, 0x7f, 0xff, bytes[i] ^ 0x01, bytes[i] ^ 0x80}) {
        const uint8_t before = std::exchange(bytes[i], value);
        Arena arena(1 << 20);
        Reader reader(bytes, arena);
        Writer writer;
        golden.type->recode(reader, writer, golden.version);
        ASSERT_LE(arena.used_bytes(), size_t{1} << 20);
        bytes[i] = before;
      }
    }
  }
}

class RandomMessages : public testing::TestWithParam<MessageType> {};

TEST_P(RandomMessages, RoundTrip) {
  const MessageType& type = GetParam();
  for (int16_t version = type.min_version; version <= type.max_version; ++version) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      Arena arena;
      Filler filler(seed * 1000 + static_cast<uint64_t>(version), arena);
      Writer writer;
      const RoundTrip result = type.round_trip(filler, writer, version);
      ASSERT_EQ(result.error, nullptr) << result.error << " v" << version << " seed " << seed;
      ASSERT_TRUE(result.used_up) << "v" << version << " seed " << seed;
      ASSERT_TRUE(result.same) << "v" << version << " seed " << seed;
      ASSERT_TRUE(result.stable) << "v" << version << " seed " << seed;
    }
  }
}

TEST_P(RandomMessages, RefusesOtherVersions) {
  const MessageType& type = GetParam();
  for (const int version : {type.min_version - 1, type.max_version + 1}) {
    const std::vector<uint8_t> zeroes(4096);
    Arena arena;
    Reader reader(zeroes, arena);
    Writer writer;
    EXPECT_FALSE(type.recode(reader, writer, static_cast<int16_t>(version)));
  }
}

INSTANTIATE_TEST_SUITE_P(All, RandomMessages, testing::ValuesIn(message_catalog().begin(), message_catalog().end()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace weir::protocol
