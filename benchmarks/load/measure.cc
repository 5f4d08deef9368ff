#include "load/measure.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "load/wire.h"

namespace load {
namespace {

std::string file_text(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

double process_cpu_s(int pid) {
  std::string text = file_text("/proc/" + std::to_string(pid) + "/stat");
  auto name_end = text.rfind(')');
  if (name_end == std::string::npos) die("no process " + std::to_string(pid));
  std::istringstream fields(text.substr(name_end + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double machine_busy_s() {
  std::istringstream fields(file_text("/proc/stat"));
  std::string name;
  double user, nice, system, idle, iowait, irq, softirq;
  fields >> name >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
  return (user + nice + system + irq + softirq) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double own_cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

Usage usage_now(int broker_pid) {
  Usage usage;
  usage.wall_s = static_cast<double>(monotonic_ns()) / 1e9;
  usage.client_cpu_s = own_cpu_s();
  usage.machine_busy_s = machine_busy_s();
  if (broker_pid == 0) return usage;
  usage.broker_cpu_s = process_cpu_s(broker_pid);
  std::istringstream io(file_text("/proc/" + std::to_string(broker_pid) + "/io"));
  std::string key;
  uint64_t value;
  while (io >> key >> value) {
    if (key == "read_bytes:") usage.disk_read_bytes = value;
    if (key == "write_bytes:") usage.disk_write_bytes = value;
  }
  return usage;
}

Usage operator-(const Usage& after, const Usage& before) {
  return {after.wall_s - before.wall_s,
          after.broker_cpu_s - before.broker_cpu_s,
          after.client_cpu_s - before.client_cpu_s,
          after.machine_busy_s - before.machine_busy_s,
          after.disk_read_bytes - before.disk_read_bytes,
          after.disk_write_bytes - before.disk_write_bytes};
}

void JsonLine::put(const Usage& usage) {
  put("wall_s", usage.wall_s);
  put("broker_cpu_s", usage.broker_cpu_s);
  put("client_cpu_s", usage.client_cpu_s);
  put("machine_busy_s", usage.machine_busy_s);
  put("disk_read_bytes", usage.disk_read_bytes);
  put("disk_write_bytes", usage.disk_write_bytes);
}

void JsonLine::put_quantiles(std::vector<int64_t> samples_ns) {
  if (samples_ns.empty()) return;
  std::sort(samples_ns.begin(), samples_ns.end());
  auto quantile_ms = [&](double q) {
    auto at = static_cast<size_t>(q * static_cast<double>(samples_ns.size() - 1) + 0.5);
    return static_cast<double>(samples_ns[at]) / 1e6;
  };
  put("p50_ms", quantile_ms(0.5));
  put("p99_ms", quantile_ms(0.99));
  put("p999_ms", quantile_ms(0.999));
  put("max_ms", quantile_ms(1));
}

}  // namespace load
