// What the machine, or the container around the process, lets it use.
#pragma once

#include <cstdint>
#include <string>

namespace weir::runtime {

// Cores of the affinity mask, bounded by the cgroup's CPU quota (rounded up); at least 1.
unsigned available_cores();
// The cgroup's memory limit or the machine's memory, whichever is smaller.
uint64_t available_memory_bytes();

// Raises the process's limit of open files as far as it may. Returns the new limit.
uint64_t raise_open_files_limit();

// Limits found in the files of a cgroup hierarchy, 0 if there is none. `root` is where it is mounted,
// `membership` the text of /proc/self/cgroup. The tightest limit of the process's group and all groups above
// counts. Public for tests.
struct CgroupLimits {
  double cores = 0;
  uint64_t memory_bytes = 0;
};
CgroupLimits read_cgroup_limits(const std::string& root, const std::string& membership);

// The resources that this process has used so far, from /proc. A number that /proc does not tell is 0.
struct ProcessUsage {
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  uint64_t threads = 0;
  uint64_t disk_read_bytes = 0;
  uint64_t disk_written_bytes = 0;
  double start_time_seconds = 0;  // Unix time
};
// May take milliseconds with many descriptors: not for a loop.
ProcessUsage process_usage();

}  // namespace weir::runtime
