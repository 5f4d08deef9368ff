#include "runtime/machine.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

class MachineTest : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    const std::string full = folder_.path(path);
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    std::ofstream(full) << text;
  }
  TemporaryFolder folder_;
};

TEST_F(MachineTest, ThisMachineHasSomething) {
  EXPECT_GE(available_cores(), 1u);
  EXPECT_LE(available_cores(), std::max(1u, std::thread::hardware_concurrency()));
  EXPECT_GT(available_memory_bytes(), uint64_t{16} << 20);
}

TEST_F(MachineTest, TheTightestLimitOfAllParentsCounts) {
  put("a/b/cpu.max", "max 100000\n");
  put("a/cpu.max", "150000 100000\n");
  put("a/b/memory.max", "1073741824\n");
  put("a/memory.max", "max\n");
  const CgroupLimits limits = read_cgroup_limits(folder_.path(), "0::/a/b\n");
  EXPECT_DOUBLE_EQ(limits.cores, 1.5);
  EXPECT_EQ(limits.memory_bytes, 1073741824u);
}

TEST_F(MachineTest, ContainersSeeTheirGroupAsTheRoot) {
  put("cpu.max", "200000 100000\n");
  put("memory.max", "268435456\n");
  const CgroupLimits limits = read_cgroup_limits(folder_.path(), "0::/\n");
  EXPECT_DOUBLE_EQ(limits.cores, 2);
  EXPECT_EQ(limits.memory_bytes, 268435456u);
}

TEST_F(MachineTest, VersionOneHierarchies) {
  put("cpu/docker/x/cpu.cfs_quota_us", "50000\n");
  put("cpu/docker/x/cpu.cfs_period_us", "100000\n");
  put("cpu/cpu.cfs_quota_us", "-1\n");
  put("cpu/cpu.cfs_period_us", "100000\n");
  put("memory/docker/x/memory.limit_in_bytes", "536870912\n");
  const CgroupLimits limits = read_cgroup_limits(folder_.path(), "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n");
  EXPECT_DOUBLE_EQ(limits.cores, 0.5);
  EXPECT_EQ(limits.memory_bytes, 536870912u);
}

TEST_F(MachineTest, NoLimitsAndNonsense) {
  put("cpu.max", "nonsense\n");
  const CgroupLimits limits = read_cgroup_limits(folder_.path(), "0::/\nbroken\n5:\n::\n0::../..\n");
  EXPECT_EQ(limits.cores, 0);
  EXPECT_EQ(limits.memory_bytes, 0u);
}

TEST(Machine, TellsWhatTheProcessUses) {
  const ProcessUsage usage = process_usage();
  EXPECT_GT(usage.resident_bytes, 1u << 20);
  EXPECT_GT(usage.virtual_bytes, usage.resident_bytes);
  EXPECT_GE(usage.open_fds, 3u);
  EXPECT_GE(usage.max_fds, usage.open_fds);
  EXPECT_GE(usage.threads, 1u);
  EXPECT_GE(usage.cpu_seconds, 0.0);
  EXPECT_GT(usage.start_time_seconds, 1.5e9);
}

}  // namespace
}  // namespace weir::runtime
