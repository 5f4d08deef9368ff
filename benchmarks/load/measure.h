// The cost of a piece of work: processor time of the broker, of the machine and of this client, and wall-clock time.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace load {

struct Usage {
  double wall_s = 0;
  double broker_cpu_s = 0;  // utime + stime of the process, without kernel threads that work for it
  double client_cpu_s = 0;
  double machine_busy_s = 0;  // of all cores; less the client's time it bounds the broker's cost, kernel threads included
  uint64_t disk_read_bytes = 0;
  uint64_t disk_write_bytes = 0;
};

// Reads the counters now. With `broker_pid` 0 the broker's counter stays zero.
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
