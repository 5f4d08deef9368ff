#include "base/buffer.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir {

TEST(Buffer, HoldsWhatWasAskedForAndIsAligned) {
  for (size_t asked : {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, size_t{8192}, size_t{10'000}, size_t{65'537},
                       size_t{1'000'081}, size_t{1} << 20, (size_t{4} << 20) - 1, size_t{4} << 20, size_t{5} << 20}) {
    const Buffer buffer = Buffer::allocate(asked);
    EXPECT_GE(buffer.capacity(), asked);
    EXPECT_LE(buffer.capacity(), asked + std::max<size_t>(asked / 3, 4096) + 4096);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment, 0u);
    buffer.data()[buffer.capacity() - 1] = 1;
  }
}

TEST(Buffer, MemoryComesBackToTheClassItCameFrom) {
  Buffer::trim();
  for (size_t asked = 4096; asked <= (5u << 20); asked += 12'288) {
    uint8_t* memory = nullptr;
    size_t capacity = 0;
    {
      const Buffer first = Buffer::allocate(asked);
      memory = first.data();
      capacity = first.capacity();
    }
    const Buffer second = Buffer::allocate(asked);
    EXPECT_EQ(second.capacity(), capacity);
    if (asked <= (4u << 20)) {
      EXPECT_EQ(second.data(), memory) << asked;
    }
  }
  Buffer::trim();
}

TEST(Buffer, CountsLiveBytesAndSharesByReference) {
  const uint64_t before = Buffer::live_bytes();
  Buffer a = Buffer::allocate(8192);
  EXPECT_EQ(Buffer::live_bytes(), before + 8192);
  EXPECT_TRUE(a.unique());
  {
    const Buffer b = a;
    EXPECT_TRUE(b.same(a));
    EXPECT_FALSE(a.unique());
  }
  EXPECT_TRUE(a.unique());
  a = Buffer();
  EXPECT_EQ(Buffer::live_bytes(), before);
}

}  // namespace weir
