// Options of the form `--name value`, with the workloads that take them.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace load {

class Options {
 public:
  Options(int argc, char** argv, int first);
  std::string text(const std::string& name, const std::string& otherwise);
  int64_t number(const std::string& name, int64_t otherwise);
  std::string broker() { return text("broker", "127.0.0.1:9092"); }
  std::string topic() { return text("topic", "load"); }
  int broker_pid() { return static_cast<int>(number("pid", 0)); }
  // Dies if the user gave an option that no workload asked for.
  void refuse_unknown() const;

 private:
  std::map<std::string, std::string> given_;
  std::set<std::string> asked_ = {"broker", "pid"};  // every workload takes these
};

// Each runs one workload and prints one JSON line.
void run_produce(Options& options);
void run_fetch(Options& options);
void run_fanout(Options& options);
void run_latency(Options& options);
void run_disk_probe(Options& options);
void run_connections(Options& options);
void run_offsets(Options& options);
void run_acked(Options& options);
void run_check(Options& options);
void run_compact(Options& options);
void run_transactions(Options& options);

}  // namespace load
