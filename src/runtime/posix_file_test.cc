#include "runtime/posix_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

class PosixFileTest : public RuntimeTest {
 protected:
  std::unique_ptr<File> open(const std::string& name, OpenFlags flags) {
    auto file = files().open(folder_.path(name), flags);
    EXPECT_TRUE(file) << file.error().message;
    return file ? std::move(*file) : nullptr;
  }
  std::string read(File& file, uint64_t offset, size_t length) {
    std::vector<uint8_t> bytes(length);
    const auto got = file.read_at(offset, bytes);
    EXPECT_TRUE(got) << got.error().message;
    return std::string(as_string({bytes.data(), got ? *got : 0}));
  }
  TemporaryFolder folder_;
};

TEST_F(PosixFileTest, WritesAndReads) {
  const auto file = open("f", {.write = true, .create = true});
  ASSERT_TRUE(file->write_at(0, as_bytes("hello world")));
  const std::string a = "HE", b = "", c = "LLO";
  const iovec pieces[] = {{const_cast<char*>(a.data()), 2}, {const_cast<char*>(b.data()), 0}, {const_cast<char*>(c.data()), 3}};
  ASSERT_TRUE(file->write_at(0, std::span<const iovec>(pieces)));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(read(*file, 0, 100), "HELLO world");
  EXPECT_EQ(read(*file, 6, 3), "wor");
  EXPECT_EQ(read(*file, 100, 3), "");
  EXPECT_EQ(*file->size(), 11u);
  ASSERT_TRUE(file->truncate(5));
  EXPECT_EQ(read(*file, 0, 100), "HELLO");
}

TEST_F(PosixFileTest, MorePiecesThanOneCallTakes) {
  const auto file = open("f", {.write = true, .create = true});
  std::string text(5000, ' ');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  std::vector<iovec> pieces;
  for (char& letter : text) pieces.push_back({&letter, 1});
  ASSERT_TRUE(file->write_at(3, std::span<const iovec>(pieces)));
  EXPECT_EQ(read(*file, 3, 6000), text);
}

TEST_F(PosixFileTest, OpenFlags) {
  const auto missing = files().open(folder_.path("none"), {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find("none"), std::string::npos);
  open("f", {.write = true, .create = true, .exclusive = true})->write_at(0, as_bytes("x")).value();
  const auto twice = files().open(folder_.path("f"), {.write = true, .create = true, .exclusive = true});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kExists);
  EXPECT_FALSE(open("f", {})->write_at(0, as_bytes("y"))) << "opened for reading";
  EXPECT_EQ(*open("f", {.write = true})->size(), 1u);
  EXPECT_EQ(*open("f", {.write = true, .truncate = true})->size(), 0u);
}

// A tool that root runs must not leave files that the service, which is somebody else, cannot open.
TEST_F(PosixFileTest, WhatRootMakesBelongsToTheOwnerOfTheFolder) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  const auto owner = [&](const std::string& name) {
    struct stat entry{};
    EXPECT_EQ(::stat(folder_.path(name).c_str(), &entry), 0) << name;
    return std::pair(entry.st_uid, entry.st_gid);
  };
  open("of-root", {.write = true, .create = true});
  ASSERT_EQ(::chown(folder_.path().c_str(), 12345, 23456), 0);
  const auto expected = std::pair(uid_t{12345}, gid_t{23456});
  ASSERT_TRUE(files().create_directory(folder_.path("a")));
  ASSERT_TRUE(files().create_directories(folder_.path("b/c/d")));
  open("f", {.write = true, .create = true});
  open("b/c/exclusive", {.write = true, .create = true, .exclusive = true});
  open("b/direct", {.write = true, .create = true, .exclusive = true, .direct = true});
  ASSERT_TRUE(files().lock(folder_.path("a/.lock")));
  for (const char* name : {"a", "b", "b/c", "b/c/d", "f", "b/c/exclusive", "b/direct", "a/.lock"}) {
    EXPECT_EQ(owner(name), expected) << name;
  }
  open("of-root", {.write = true, .create = true});
  EXPECT_EQ(owner("of-root"), std::pair(uid_t{0}, ::getegid())) << "it was there";
}

TEST_F(PosixFileTest, TellsTheBlocksOfAFile) {
  const auto file = open("f", {.write = true, .create = true});
  ASSERT_TRUE(file->truncate(1 << 20));
  EXPECT_EQ(*file->allocated(), 0u) << "a hole";
  ASSERT_TRUE(file->write_at(0, std::vector<uint8_t>(1 << 16, 1)));
  EXPECT_GE(*file->allocated(), 1u << 16);
}

TEST_F(PosixFileTest, DirectFile) {
  const auto file = open("f", {.write = true, .create = true, .direct = true});
  Buffer out = Buffer::allocate(3 * 4096);
  std::fill_n(out.data(), out.capacity(), uint8_t{7});
  ASSERT_TRUE(file->write_at(0, Bytes(out.data(), 3 * 4096)));
  Buffer in = Buffer::allocate(8 * 4096);
  EXPECT_EQ(*file->read_at(4096, {in.data(), 8 * 4096}), 2u * 4096);
  EXPECT_TRUE(std::equal(in.data(), in.data() + 8192, out.data()));
  // An unaligned end, as a file written by other means may have.
  ASSERT_TRUE(file->truncate(5000));
  EXPECT_EQ(*file->read_at(0, {in.data(), 8 * 4096}), 5000u);
  EXPECT_EQ(*file->read_at(4096, {in.data(), 4096}), 904u);
}

TEST_F(PosixFileTest, DirectFallsBackForUnalignedUse) {
  const auto file = open("f", {.write = true, .create = true, .direct = true});
  ASSERT_TRUE(file->write_at(0, as_bytes("not aligned at all")));
  EXPECT_EQ(read(*file, 4, 7), "aligned");
}

TEST_F(PosixFileTest, AllocateKeepsLengthAndContents) {
  const auto file = open("f", {.write = true, .create = true});
  ASSERT_TRUE(file->write_at(0, as_bytes("abc")));
  ASSERT_TRUE(file->allocate(1 << 20));
  EXPECT_EQ(read(*file, 0, 10), "abc");
  EXPECT_EQ(*file->size(), 3u);
  struct stat details{};
  ASSERT_EQ(::fstat(file->descriptor(), &details), 0);
  EXPECT_GE(details.st_blocks * 512, 1 << 20);
  const auto too_much = file->allocate(uint64_t{1} << 43);
  ASSERT_FALSE(too_much);
  EXPECT_TRUE(too_much.error().code == ErrorCode::kNoSpace || too_much.error().os_errno == EFBIG);
}

// Returns false if the file system keeps its pages whatever it is advised (memory).
bool check_residency(File& file) {
  constexpr size_t kSize = 4 << 20;
  const std::vector<uint8_t> bytes(kSize + 123, 5);
  EXPECT_TRUE(file.write_at(0, Bytes(bytes)));
  EXPECT_TRUE(file.resident(0, bytes.size()));
  EXPECT_TRUE(file.resident(4097, 1));
  EXPECT_TRUE(file.resident(9, 0));
  EXPECT_TRUE(file.sync());
  EXPECT_EQ(::posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED), 0);
  if (file.resident(0, 4096)) return false;
  EXPECT_FALSE(file.resident(0, kSize));
  EXPECT_TRUE(file.make_resident(kSize / 2 + 100, kSize / 4));
  EXPECT_TRUE(file.resident(kSize / 2 + 100, kSize / 4));
  EXPECT_FALSE(file.resident(0, kSize));
  EXPECT_TRUE(file.make_resident(0, 10 * kSize)) << "the end of the file bounds it";
  EXPECT_TRUE(file.resident(0, bytes.size()));
  return true;
}

TEST_F(PosixFileTest, ResidencyFollowsThePageCache) {
  if (!check_residency(*open("f", {.write = true, .create = true}))) GTEST_SKIP();
}

TEST_F(PosixFileTest, ResidencyOnOldKernels) {
  const auto file = open("f", {.write = true, .create = true});
  constexpr long kCachestat = 451;
  std::thread([&] {
    forbid_system_call(kCachestat, ENOSYS);
    check_residency(*file);
  }).join();
}

TEST_F(PosixFileTest, MakingResidentWithoutMappings) {
  const auto file = open("f", {.write = true, .create = true});
  std::thread([&] {
    forbid_system_call(SYS_madvise, EINVAL);  // as kernels answer that do not know MADV_POPULATE_READ
    check_residency(*file);
  }).join();
}

TEST_F(PosixFileTest, Directories) {
  FileSystem& fs = files();
  const std::string deep = folder_.path("a/b/c");
  ASSERT_TRUE(fs.create_directories(deep));
  ASSERT_TRUE(fs.create_directories(deep)) << "fine if it exists";
  open("a/z", {.write = true, .create = true})->write_at(0, as_bytes("12345")).value();
  open("a/y", {.write = true, .create = true});
  const auto entries = fs.list(folder_.path("a"));
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "b");
  EXPECT_TRUE((*entries)[0].is_directory);
  EXPECT_EQ((*entries)[1].name, "y");
  EXPECT_EQ((*entries)[2].name, "z");
  EXPECT_FALSE((*entries)[2].is_directory);
  EXPECT_EQ((*entries)[2].size, 5u);

  ASSERT_TRUE(fs.rename(folder_.path("a/z"), folder_.path("a/x")));
  EXPECT_FALSE(*fs.exists(folder_.path("a/z")));
  EXPECT_FALSE(*fs.exists(folder_.path("a/x/below a file")));
  EXPECT_TRUE(*fs.exists(folder_.path("a/x")));
  ASSERT_TRUE(fs.sync_directory(folder_.path("a")));
  ASSERT_TRUE(fs.sync_file_system(folder_.path("a")));
  ASSERT_TRUE(fs.sync_file_system(folder_.path()));
  ASSERT_TRUE(fs.remove(folder_.path("a/x")));
  ASSERT_TRUE(fs.remove(folder_.path("a/b/c")));
  EXPECT_FALSE(fs.remove(folder_.path("a"))) << "not empty";
  EXPECT_EQ(fs.remove(folder_.path("a/x")).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(fs.remove_all(folder_.path("a")));
  ASSERT_TRUE(fs.remove_all(folder_.path("a")));
  EXPECT_FALSE(fs.list(folder_.path("a")));
  EXPECT_FALSE(fs.sync_directory(folder_.path("a")));
  EXPECT_FALSE(fs.sync_file_system(folder_.path("a")));
  EXPECT_GT(*fs.free_bytes(folder_.path()), 0u);
  EXPECT_FALSE(fs.free_bytes(folder_.path("a")));
  EXPECT_GE(*fs.total_bytes(folder_.path()), *fs.free_bytes(folder_.path()));
  EXPECT_FALSE(fs.total_bytes(folder_.path("a")));
  EXPECT_FALSE(fs.create_directories("/proc/no/such"));
}

// Each of these would wait for somebody, for ever.
TEST_F(PosixFileTest, OnlyRegularFilesAreOpened) {
  const std::string path = folder_.path("special");
  const auto expect_refused = [&](const char* kind) {
    for (const OpenFlags flags :
         {OpenFlags{}, OpenFlags{.write = true}, OpenFlags{.write = true, .create = true, .direct = true}}) {
      const auto file = files().open(path, flags);
      ASSERT_FALSE(file) << kind;
      EXPECT_THAT(file.error().message, ::testing::HasSubstr(std::string("it is a ") + kind + ", not a regular file"));
    }
    EXPECT_FALSE(files().durable_writer(path, loop(), true));
    EXPECT_FALSE(files().lock(path));
    ASSERT_TRUE(files().remove(path));
  };
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  expect_refused("FIFO");
  ASSERT_EQ(::symlink("/dev/zero", path.c_str()), 0);
  expect_refused("device");
  ASSERT_EQ(::mknod(path.c_str(), S_IFSOCK | 0600, 0), 0);
  expect_refused("socket");
  ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
  expect_refused("directory");
}

// A read of the ring would fail with EAGAIN instead of waiting for the disk.
TEST_F(PosixFileTest, OpenFilesMayWait) {
  for (const bool direct : {false, true}) {
    const auto file = open("f", {.write = true, .create = true, .direct = direct});
    EXPECT_EQ(::fcntl(file->descriptor(), F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDWR);
  }
}

// The folder of a lock may be renamed by who holds it: whoever opened the file before that locks nothing by it.
TEST_F(PosixFileTest, ALockIsOnTheFileOfThatName) {
  const std::string here = folder_.path("here"), moved = folder_.path("moved");
  ASSERT_TRUE(files().create_directory(here));
  auto first = files().lock(here + "/.lock");
  ASSERT_TRUE(first);
  ASSERT_TRUE(files().rename(here, moved));
  ASSERT_TRUE(files().create_directory(here));
  const auto second = files().lock(here + "/.lock");
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_FALSE(files().lock(moved + "/.lock"));
  EXPECT_FALSE(files().lock(here + "/.lock"));
}

TEST_F(PosixFileTest, LockIsExclusiveAndGoesWithItsOwner) {
  auto first = files().lock(folder_.path(".lock"));
  ASSERT_TRUE(first);
  const auto second = files().lock(folder_.path(".lock"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  first->reset();
  EXPECT_TRUE(files().lock(folder_.path(".lock")));
}

// People remove a lock that they take for a stale one.
TEST_F(PosixFileTest, ALockOutlivesItsFile) {
  auto first = files().lock(folder_.path(".lock"));
  ASSERT_TRUE(first);
  ASSERT_TRUE(files().remove(folder_.path(".lock")));
  const auto second = files().lock(folder_.path(".lock"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
}

TEST_F(PosixFileTest, OneDirectoryIsMadeInOneThatExists) {
  EXPECT_EQ(files().create_directory(folder_.path("none/a")).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(files().create_directory(folder_.path("a")));
  EXPECT_TRUE(files().create_directory(folder_.path("a"))) << "it is there";
  ASSERT_TRUE(files().open(folder_.path("file"), {.write = true, .create = true}));
  EXPECT_EQ(files().create_directory(folder_.path("file")).error().code, ErrorCode::kExists);
}

}  // namespace
}  // namespace weir::runtime
