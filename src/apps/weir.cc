// The `weir` program.
#include <cstdio>
#include <exception>

#include "apps/log_command.h"
#include "apps/serve.h"
#include "cli/command_line.h"

namespace {

int run(int argc, char** argv) {
  using namespace weir;
  const cli::Command command = cli::parse_command_line(argc, argv);
  if (const auto* print = std::get_if<cli::PrintAndExit>(&command)) {
    std::fputs(print->text.c_str(), print->exit_code == 0 ? stdout : stderr);
    return print->exit_code;
  }
  if (std::holds_alternative<cli::VersionCommand>(command)) {
    std::printf("weir %s\n", WEIR_VERSION);
    return 0;
  }
  if (const auto* log = std::get_if<cli::LogCommand>(&command)) return apps::run_log_command(*log);
  if (const auto* serve = std::get_if<cli::ServeCommand>(&command)) return apps::serve(*serve);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "weir: ended by a failure that should have been handled where it happened: %s. Please report it.\n",
                 failure.what());
    return 1;
  }
}
