#include "storage/compaction/offset_map.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::storage {
namespace {

std::string key(int i) { return "key-" + std::to_string(i); }

TEST(KeyHash, FollowsTheReference) {
  // Vectors of the reference implementation: key 00..0f, input 00..n-1.
  const HashSecret secret{0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
  EXPECT_EQ(hash_key(secret, {}), (KeyHash{0xe6a825ba047f81a3ull, 0x930255c71472f66dull}));
  const uint8_t one[] = {0};
  EXPECT_EQ(hash_key(secret, one), (KeyHash{0x44af996bd8c187daull, 0x45fc229b11597634ull}));
}

TEST(KeyHash, DependsOnSecretLengthAndEveryByte) {
  const std::string text(40, 'x');
  const KeyHash hash = hash_key({1, 2}, as_bytes(text));
  EXPECT_NE(hash, hash_key({1, 3}, as_bytes(text)));
  EXPECT_NE(hash, hash_key({2, 2}, as_bytes(text)));
  for (size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = 'y';
    EXPECT_NE(hash, hash_key({1, 2}, as_bytes(other)));
    EXPECT_NE(hash, hash_key({1, 2}, as_bytes(text).first(i)));
  }
}

TEST(OffsetMap, KnowsTheNewestOffset) {
  OffsetMap map(1 << 20, 10, {1, 2});
  EXPECT_EQ(map.get(as_bytes("a")), -1);
  EXPECT_TRUE(map.put(as_bytes("a"), 5));
  EXPECT_TRUE(map.put(as_bytes("b"), 6));
  EXPECT_TRUE(map.put(as_bytes("a"), 9));
  EXPECT_EQ(map.get(as_bytes("a")), 9);
  EXPECT_EQ(map.get(as_bytes("b")), 6);
  EXPECT_EQ(map.get(as_bytes("")), -1);
  EXPECT_TRUE(map.put({}, 3));  // an empty key is a key
  EXPECT_EQ(map.get({}), 3);
  EXPECT_EQ(map.size(), 3u);
}

TEST(OffsetMap, GrowsUpToItsBoundAndRefusesNewKeysThere) {
  constexpr size_t kBytes = 10'000 * OffsetMap::kEntryBytes;
  OffsetMap map(kBytes, 1, {3, 4});
  int keys = 0;
  while (map.put(as_bytes(key(keys)), keys)) ++keys;
  EXPECT_GT(keys, 2500);
  EXPECT_LE(keys, 9000);
  EXPECT_LE(map.memory_bytes(), kBytes);
  for (int i = 0; i < keys; ++i) {
    EXPECT_EQ(map.get(as_bytes(key(i))), i);
    EXPECT_TRUE(map.put(as_bytes(key(i)), i + 100'000)) << "known keys always have room";
  }
  EXPECT_EQ(map.get(as_bytes(key(keys))), -1);
}

TEST(OffsetMap, BeginsWithTheRoomThatIsExpected) {
  OffsetMap map(10'000 * OffsetMap::kEntryBytes, 1'000'000, {3, 4});
  EXPECT_EQ(map.memory_bytes(), 10'000 * OffsetMap::kEntryBytes);
  for (int i = 0; i < 9000; ++i) ASSERT_TRUE(map.put(as_bytes(key(i)), i));
  EXPECT_FALSE(map.put(as_bytes("one more"), 1));
}

}  // namespace
}  // namespace weir::storage
