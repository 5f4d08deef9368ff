#include "runtime/machine.h"

#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

namespace weir::runtime {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <typename T>
void tighten(T& limit, T found) {
  if (found > 0 && (limit == 0 || found < limit)) limit = found;
}

// cpu.max holds "<quota or max> <period>"; memory.max a number or "max".
void read_unified(const std::string& group, CgroupLimits& limits) {
  double quota = 0;
  double period = 0;
  std::istringstream cpu(read_text(group + "/cpu.max"));
  if (cpu >> quota >> period && period > 0) tighten(limits.cores, quota / period);
  uint64_t bytes = 0;
  std::istringstream memory(read_text(group + "/memory.max"));
  if (memory >> bytes) tighten(limits.memory_bytes, bytes);
}

void read_legacy(const std::string& root, const std::string& controller, const std::string& group, CgroupLimits& limits) {
  const std::string folder = root + "/" + controller + group;
  if (controller == "cpu") {
    double quota = 0;
    double period = 0;
    std::istringstream quota_text(read_text(folder + "/cpu.cfs_quota_us"));
    std::istringstream period_text(read_text(folder + "/cpu.cfs_period_us"));
    if (quota_text >> quota && period_text >> period && quota > 0 && period > 0) tighten(limits.cores, quota / period);
  } else {
    uint64_t bytes = 0;
    std::istringstream memory(read_text(folder + "/memory.limit_in_bytes"));
    if (memory >> bytes) tighten(limits.memory_bytes, bytes);
  }
}

// Calls `visit` with "/a/b", "/a", "" for the group "/a/b".
template <typename Visit>
void for_group_and_parents(std::string group, Visit visit) {
  while (!group.empty() && group != "/") {
    visit(group);
    group.resize(group.find_last_of('/'));
  }
  visit(std::string());
}

}  // namespace

// Lines are "<number>:<controllers>:<group>"; the unified hierarchy (v2) is number 0 with no controllers.
CgroupLimits read_cgroup_limits(const std::string& root, const std::string& membership) {
  CgroupLimits limits;
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || line.compare(second + 1, 1, "/") != 0) continue;
    std::istringstream controllers(line.substr(first + 1, second - first - 1));
    const std::string group = line.substr(second + 1);
    if (second == first + 1) {
      for_group_and_parents(group, [&](const std::string& g) { read_unified(root + g, limits); });
    }
    for (std::string controller; std::getline(controllers, controller, ',');) {
      if (controller != "cpu" && controller != "memory") continue;
      for_group_and_parents(group, [&](const std::string& g) { read_legacy(root, controller, g, limits); });
    }
  }
  return limits;
}

unsigned available_cores() {
  cpu_set_t mask;
  double cores = 1;
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) cores = CPU_COUNT(&mask);
  const double quota = read_cgroup_limits("/sys/fs/cgroup", read_text("/proc/self/cgroup")).cores;
  if (quota > 0) cores = std::min(cores, std::ceil(quota));
  return std::max(1u, static_cast<unsigned>(cores));
}

uint64_t available_memory_bytes() {
  uint64_t bytes = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t limit = read_cgroup_limits("/sys/fs/cgroup", read_text("/proc/self/cgroup")).memory_bytes;
  if (limit > 0) bytes = std::min(bytes, limit);
  return bytes;
}

uint64_t raise_open_files_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  const rlimit raised{files.rlim_max, files.rlim_max};
  if (files.rlim_cur < files.rlim_max && ::setrlimit(RLIMIT_NOFILE, &raised) == 0) files = raised;
  return files.rlim_cur;
}

namespace {

uint64_t count_open_fds() {
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  uint64_t entries = 0;
  while (::readdir(folder) != nullptr) ++entries;
  ::closedir(folder);
  return entries > 3 ? entries - 3 : 0;  // without ".", ".." and the folder's own
}

// The number after `key` in text of lines "key: number".
uint64_t number_after(const std::string& text, const std::string& key) {
  const size_t at = text.find(key);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + key.size(), nullptr, 10);
}

double boot_time_seconds() { return static_cast<double>(number_after(read_text("/proc/stat"), "btime ")); }

}  // namespace

ProcessUsage process_usage() {
  ProcessUsage usage;
  rusage times{};
  if (::getrusage(RUSAGE_SELF, &times) == 0) {
    const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
    usage.cpu_seconds = seconds(times.ru_utime) + seconds(times.ru_stime);
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) usage.max_fds = files.rlim_cur;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::istringstream memory(read_text("/proc/self/statm"));
  if (memory >> usage.virtual_bytes >> usage.resident_bytes) {
    usage.virtual_bytes *= page;
    usage.resident_bytes *= page;
  }
  usage.open_fds = count_open_fds();
  usage.threads = number_after(read_text("/proc/self/status"), "Threads:");
  const std::string io = read_text("/proc/self/io");
  usage.disk_read_bytes = number_after(io, "\nread_bytes: ");
  usage.disk_written_bytes = number_after(io, "\nwrite_bytes: ");
  // Field 22, counted from 3 behind the program's name in parentheses.
  const std::string stat = read_text("/proc/self/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end != std::string::npos) {
    std::istringstream fields(stat.substr(name_end + 1));
    std::string field;
    for (int i = 3; i <= 22; ++i) fields >> field;
    usage.start_time_seconds =
        boot_time_seconds() + std::strtod(field.c_str(), nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  return usage;
}

}  // namespace weir::runtime
