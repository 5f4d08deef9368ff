// A load generator for any broker of the Kafka protocol: `weir_load WORKLOAD [--option value]...`.
#include <cstdio>
#include <functional>

#include "load/options.h"
#include "load/wire.h"

namespace load {

Options::Options(int argc, char** argv, int first) {
  for (int i = first; i < argc; i += 2) {
    std::string name = argv[i];
    if (!name.starts_with("--") || i + 1 == argc) die("options are `--name value`, not " + name);
    given_[name.substr(2)] = argv[i + 1];
  }
}

std::string Options::text(const std::string& name, const std::string& otherwise) {
  asked_.insert(name);
  auto found = given_.find(name);
  return found == given_.end() ? otherwise : found->second;
}

int64_t Options::number(const std::string& name, int64_t otherwise) { return std::stoll(text(name, std::to_string(otherwise))); }

void Options::refuse_unknown() const {
  for (const auto& [name, value] : given_) {
    if (!asked_.contains(name)) die("no such option here: --" + name);
  }
}

}  // namespace load

int main(int argc, char** argv) {
  const std::map<std::string, std::function<void(load::Options&)>> workloads = {
      {"produce", load::run_produce},
      {"fetch", load::run_fetch},
      {"fanout", load::run_fanout},
      {"latency", load::run_latency},
      {"disk-probe", load::run_disk_probe},
      {"connections", load::run_connections},
      {"offsets", load::run_offsets},
      {"acked", load::run_acked},
      {"check", load::run_check},
      {"compact", load::run_compact},
      {"transactions", load::run_transactions},
  };
  auto found = workloads.find(argc > 1 ? argv[1] : "");
  if (found == workloads.end()) {
    std::fprintf(stderr, "usage: weir_load WORKLOAD [--option value]...; one of\n");
    for (const auto& [name, run] : workloads) std::fprintf(stderr, "  %s\n", name.c_str());
    return 2;
  }
  try {
    load::Options options(argc, argv, 2);
    found->second(options);
  } catch (const load::Failure& failure) {
    std::fprintf(stderr, "weir_load %s: %s\n", argv[1], failure.what());
    return 1;
  }
}
