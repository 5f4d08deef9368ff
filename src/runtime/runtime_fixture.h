// What the runtime's own tests share: a running RealRuntime and a folder that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iterator>
#include <string>
#include <type_traits>
#include <utility>

#include "runtime/real_runtime.h"

namespace weir::runtime {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-runtime-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string path(const std::string& name = "") const { return name.empty() ? path_ : path_ + "/" + name; }

 private:
  std::string path_;
};

// Makes a system call fail for the calling thread and those it creates, as container runtimes and old kernels
// do. For ever: use a thread of its own.
inline void forbid_system_call(long number, int os_errno) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(os_errno)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

class RuntimeTest : public testing::Test {
 protected:
  explicit RuntimeTest(RealRuntimeOptions options = {.loops = 2, .pool_threads = 2}) : runtime_(options) { runtime_.run(); }
  ~RuntimeTest() override { runtime_.stop(); }

  // Runs `work` on a loop and returns what it returns.
  template <typename Work>
  auto on_loop(size_t index, Work work) {
    using Value = std::invoke_result_t<Work>;
    std::promise<Value> promise;
    std::future<Value> future = promise.get_future();
    runtime_.loop(index).post([&] {
      if constexpr (std::is_void_v<Value>) {
        work();
        promise.set_value();
      } else {
        promise.set_value(work());
      }
    });
    return future.get();
  }
  EpollLoop& loop(size_t index = 0) { return runtime_.loop(index); }
  FileSystem& files() { return *runtime_.runtime().files; }
  Pool& pool() { return *runtime_.runtime().pool; }
  const Clock& clock() { return *runtime_.runtime().clock; }

  RealRuntime runtime_;
};

}  // namespace weir::runtime
