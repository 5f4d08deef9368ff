#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/log.h"
#include "runtime/flush_thread.h"
#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

struct Case {
  FlushEngineKind engine;
  bool flush_to_device;
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  return std::string(info.param.engine == FlushEngineKind::kIoUring ? "IoUring" : "Thread") +
         (info.param.flush_to_device ? "Device" : "PageCache");
}

class DurableWriterTest : public RuntimeTest, public testing::WithParamInterface<Case> {
 protected:
  static constexpr size_t kBlock = 4096;

  DurableWriterTest() : RuntimeTest({.loops = 2, .pool_threads = 1, .flush_engine = GetParam().engine}) {}
  ~DurableWriterTest() override {
    runtime_.stop();
    writers_.clear();
  }
  std::string prepare(const std::string& name, size_t blocks) {
    auto file = files().open(folder_.path(name), {.write = true, .create = true});
    const std::vector<uint8_t> zeros(blocks * kBlock);
    EXPECT_TRUE((*file)->write_at(0, Bytes(zeros)));
    EXPECT_TRUE((*file)->sync());
    return folder_.path(name);
  }
  DurableWriter& writer(const std::string& path, size_t loop_index = 0) {
    return *on_loop(loop_index, [&] {
      auto made = files().durable_writer(path, loop(loop_index), GetParam().flush_to_device);
      EXPECT_TRUE(made) << made.error().message;
      writers_.push_back(std::move(*made));
      return writers_.back().get();
    });
  }
  Buffer block(uint8_t fill, size_t count = 1) {
    Buffer buffer = Buffer::allocate(count * kBlock);
    std::fill_n(buffer.data(), count * kBlock, fill);
    return buffer;
  }
  std::vector<uint8_t> contents(const std::string& path) {
    auto file = files().open(path, {});
    std::vector<uint8_t> bytes(*(*file)->size());
    EXPECT_EQ(*(*file)->read_at(0, bytes), bytes.size());
    return bytes;
  }
  Result<void> write(DurableWriter& target, uint64_t offset, std::vector<iovec> pieces) {
    std::promise<Result<void>> outcome;
    bool inline_call = true;
    loop(0).post([&] {
      target.write(offset, pieces, [&](Result<void> result) {
        EXPECT_FALSE(inline_call);
        EXPECT_TRUE(loop(0).in_loop());
        outcome.set_value(std::move(result));
      });
      inline_call = false;
      pieces = std::vector<iovec>();  // the writer has its own list from now on
    });
    return outcome.get_future().get();
  }

  TemporaryFolder folder_;
  std::vector<std::unique_ptr<DurableWriter>> writers_;
};

TEST_P(DurableWriterTest, WritesWhereItIsTold) {
  const std::string path = prepare("wal", 16);
  DurableWriter& target = writer(path);
  const Buffer one = block(1), two = block(2, 3);
  ASSERT_TRUE(write(target, 2 * kBlock, {{one.data(), kBlock}, {two.data(), 3 * kBlock}}));
  ASSERT_TRUE(write(target, 15 * kBlock, {{one.data(), kBlock}}));
  const auto bytes = contents(path);
  ASSERT_EQ(bytes.size(), 16 * kBlock);
  for (size_t i = 0; i < 16; ++i) {
    const uint8_t expected = i == 2 || i == 15 ? 1 : i >= 3 && i < 6 ? 2 : 0;
    EXPECT_EQ(bytes[i * kBlock], expected) << i;
    EXPECT_EQ(bytes[i * kBlock + kBlock - 1], expected) << i;
  }
}

TEST_P(DurableWriterTest, MorePiecesThanOneCallTakes) {
  constexpr size_t kPieces = 2500;
  const std::string path = prepare("wal", kPieces);
  std::vector<Buffer> buffers;
  std::vector<iovec> pieces;
  for (size_t i = 0; i < kPieces; ++i) {
    buffers.push_back(block(static_cast<uint8_t>(i * 7)));
    pieces.push_back({buffers.back().data(), kBlock});
  }
  ASSERT_TRUE(write(writer(path), 0, pieces));
  const auto bytes = contents(path);
  for (size_t i = 0; i < kPieces; ++i) ASSERT_EQ(bytes[i * kBlock + 9], static_cast<uint8_t>(i * 7)) << i;
}

TEST_P(DurableWriterTest, AChainOfWritesFromCompletions) {
  constexpr size_t kBlocks = 200;
  const std::string path = prepare("wal", kBlocks);
  DurableWriter& target = writer(path);
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < kBlocks; ++i) buffers.push_back(block(static_cast<uint8_t>(i + 1)));
  std::promise<void> finished;
  size_t next = 0;
  Function<void()> step = [&] {
    if (next == kBlocks) return finished.set_value();
    const iovec piece{buffers[next].data(), kBlock};
    target.write(next++ * kBlock, std::span(&piece, 1), [&](Result<void> result) {
      EXPECT_TRUE(result);
      step();
    });
  };
  loop(0).post([&] { step(); });
  ASSERT_EQ(finished.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  const auto bytes = contents(path);
  for (size_t i = 0; i < kBlocks; ++i) ASSERT_EQ(bytes[i * kBlock], static_cast<uint8_t>(i + 1)) << i;
}

TEST_P(DurableWriterTest, WritersOfOneLoopAndOfSeveral) {
  std::vector<DurableWriter*> targets;
  std::vector<std::string> paths;
  for (size_t i = 0; i < 6; ++i) {
    paths.push_back(prepare("wal" + std::to_string(i), 8));
    targets.push_back(&writer(paths.back(), i % 2));
  }
  std::vector<Buffer> buffers;
  std::vector<std::promise<Result<void>>> outcomes(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) buffers.push_back(block(static_cast<uint8_t>(i + 1), 8));
  for (size_t i = 0; i < targets.size(); ++i) {
    loop(i % 2).post([&, i] {
      const iovec piece{buffers[i].data(), 8 * kBlock};
      targets[i]->write(0, std::span(&piece, 1), [&, i](Result<void> result) { outcomes[i].set_value(std::move(result)); });
    });
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    ASSERT_TRUE(outcomes[i].get_future().get());
    EXPECT_EQ(contents(paths[i]), std::vector<uint8_t>(8 * kBlock, static_cast<uint8_t>(i + 1)));
  }
}

TEST_P(DurableWriterTest, AFailureIsReported) {
  // Always full, and found on every Linux.
  auto made = on_loop(0, [&] { return files().durable_writer("/dev/full", loop(0), GetParam().flush_to_device); });
  if (!made) GTEST_SKIP() << made.error().message;
  writers_.push_back(std::move(*made));
  const Buffer one = block(1);
  const Result<void> result = write(*writers_.back(), 0, {{one.data(), kBlock}});
  ASSERT_FALSE(result);
  // The device also knows no RWF_DSYNC, which is an error as good as being full.
  if (!GetParam().flush_to_device) {
    EXPECT_EQ(result.error().code, ErrorCode::kNoSpace) << result.error().message;
  }
  EXPECT_NE(result.error().message.find("/dev/full"), std::string::npos);
}

TEST_P(DurableWriterTest, AMissingFileIsRefused) {
  const auto made = on_loop(0, [&] { return files().durable_writer(folder_.path("none"), loop(0), GetParam().flush_to_device); });
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kNotFound);
}

TEST_P(DurableWriterTest, DestroyedWithAWriteUnderWay) {
  const std::string path = prepare("wal", 1024);
  const auto token = std::make_shared<int>(1);
  DurableWriter& other = writer(prepare("other", 1));
  on_loop(0, [&] {
    auto made = files().durable_writer(path, loop(0), GetParam().flush_to_device);
    ASSERT_TRUE(made);
    Buffer big = block(9, 1024);
    const iovec piece{big.data(), 1024 * kBlock};
    (*made)->write(0, std::span(&piece, 1), [token, owner = std::move(big)](Result<void>) { FAIL(); });
  });
  const Buffer one = block(1);
  ASSERT_TRUE(write(other, 0, {{one.data(), kBlock}})) << "the engine goes on";
  runtime_.stop();
  EXPECT_EQ(token.use_count(), 1) << "what the callback owned was kept for ever";
}

TEST_P(DurableWriterTest, TheLoopEndsWithAWriteUnderWay) {
  const std::string path = prepare("wal", 1024);
  const auto token = std::make_shared<int>(1);
  DurableWriter& target = writer(path);
  on_loop(0, [&] {
    Buffer big = block(9, 1024);
    const iovec piece{big.data(), 1024 * kBlock};
    target.write(0, std::span(&piece, 1), [token, owner = std::move(big)](Result<void>) {});
  });
  runtime_.stop();
  writers_.clear();
  EXPECT_EQ(token.use_count(), 1);
}

TEST(FlushEngineChoice, AThreadWhereIoUringIsRefused) {
  std::string line;
  set_log_sink([&](LogLevel, std::string_view, std::string_view message) { line = message; });
  std::thread([] {
    forbid_system_call(SYS_io_uring_setup, EPERM);
    RealRuntime runtime({.loops = 1, .pool_threads = 1});
    const auto engine = make_flush_engine(FlushEngineKind::kIoUring, runtime.loop(0));
    ASSERT_TRUE(engine);
    EXPECT_NE(dynamic_cast<FlushThread*>(engine->get()), nullptr);
  }).join();
  set_log_sink({});
  EXPECT_NE(line.find("not permitted"), std::string::npos) << line;
}

void forbid_threads() {
  forbid_system_call(SYS_clone3, EAGAIN);
  forbid_system_call(SYS_clone, EAGAIN);
}

TEST(RealRuntime, SaysWhichLimitRefusesItsThreads) {
  std::thread([] {
    RealRuntime runtime({.loops = 1, .pool_threads = 1});
    forbid_threads();
    const Result<void> made = runtime.make_threads();
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().os_errno, EAGAIN);
    EXPECT_NE(made.error().message.find("ulimit -u"), std::string::npos) << made.error().message;
  }).join();
}

TEST(RealRuntime, NeedsNoThreadAfterTheStart) {
  const TemporaryFolder folder;
  std::thread([&] {
    RealRuntime runtime({.loops = 1, .pool_threads = 1});
    ASSERT_TRUE(runtime.make_threads());
    forbid_threads();
    ASSERT_TRUE(runtime.runtime().files->open(folder.path("f"), {.write = true, .create = true}));
    EXPECT_TRUE(runtime.runtime().files->durable_writer(folder.path("f"), runtime.loop(0), false));
    runtime.run();
    std::promise<void> ran;
    runtime.loop(0).post([&] { runtime.runtime().pool->submit([] {}, runtime.loop(0), [&] { ran.set_value(); }, 0); });
    ran.get_future().wait();
    runtime.stop();
  }).join();
}

INSTANTIATE_TEST_SUITE_P(Engines, DurableWriterTest,
                         testing::Values(Case{FlushEngineKind::kThread, true}, Case{FlushEngineKind::kThread, false},
                                         Case{FlushEngineKind::kIoUring, true}, Case{FlushEngineKind::kIoUring, false}),
                         name_of);

}  // namespace
}  // namespace weir::runtime
