// What a piece of work cost: the broker's processor time, the machine's, ours, and the wall clock's.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace load {

struct Usage {
  double wall_s = 0;
  double broker_cpu_s = 0;  // utime + stime of the process, kernel threads working for it not included
  double client_cpu_s = 0;
  double machine_busy_s = 0;  // all cores; less the client's it bounds what the broker cost, kernel threads included
  uint64_t disk_read_bytes = 0;
  uint64_t disk_write_bytes = 0;
};

// Reads the counters now. `broker_pid` 0 leaves the broker's at zero.
Usage usage_now(int broker_pid);
Usage operator-(const Usage& after, const Usage& before);

// Writes one JSON object on a line, key by key.
class JsonLine {
 public:
  JsonLine() { std::printf("{"); }
  ~JsonLine() {
    std::printf("}\n");
    std::fflush(stdout);
  }
  JsonLine(const JsonLine&) = delete;
  JsonLine& operator=(const JsonLine&) = delete;
  void put(const char* key, double value) { std::printf("%s\"%s\":%.9g", comma(), key, value); }
  void put(const char* key, uint64_t value) { std::printf("%s\"%s\":%lu", comma(), key, static_cast<unsigned long>(value)); }
  void put(const Usage& usage);
  // p50, p99, p99.9 and maximum of samples in nanoseconds, as milliseconds.
  void put_quantiles(std::vector<int64_t> samples_ns);

 private:
  const char* comma() { return first_ ? (first_ = false, "") : ","; }
  bool first_ = true;
};

}  // namespace load
