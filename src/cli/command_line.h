// The command line of the `weir` program: what was asked for, as values. Knows the syntax only; the code that
// carries the command out knows what a value means (a listener, a configuration key).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace weir::cli {

struct ServeCommand {
  std::string data_dir;  // empty: as the configuration says (log.dirs)
  bool ephemeral = false;
  std::optional<std::string> listeners;             // overrides the configuration
  std::optional<std::string> advertised_listeners;  // likewise
  std::optional<std::string> http;                  // host:port, or "off"
  std::string config_file;
  std::vector<std::string> settings;  // key=value
  std::vector<std::string> topics;    // name:partitions[,key=value...]
  int ready_fd = -1;
  std::optional<unsigned> shards;  // overrides the configuration; 0: one per core
  bool verbose = false;
};

struct LogCommand {
  enum class Action { kVerify, kDump, kImport, kSalvage };
  Action action = Action::kVerify;
  std::vector<std::string> files;
  bool print_records = false;
  bool json = false;
  // kImport: of the log directory `files[0]`.
  std::string data_dir;
  bool dry_run = false;
  bool copy = false;
  bool accept_unclean = false;
  // kSalvage: of the data folder `files[0]`.
  bool apply = false;
  std::vector<std::string> without;  // log directories that are given up
};

struct VersionCommand {};

// Nothing to carry out: print `text` (help, or the fault of the arguments) and exit with `exit_code`.
struct PrintAndExit {
  std::string text;
  int exit_code = 0;
};

using Command = std::variant<ServeCommand, LogCommand, VersionCommand, PrintAndExit>;

Command parse_command_line(int argc, const char* const* argv);

}  // namespace weir::cli
