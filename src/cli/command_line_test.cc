#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace weir::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Command parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "weir");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CommandLine, Serve) {
  const Command command = parse({"serve", "--data-dir", "d", "--listeners", "PLAINTEXT://127.0.0.1:0", "--set", "a=b", "--set",
                                 "c=d,e", "--topic", "orders:6,cleanup.policy=compact", "--ready-fd", "3", "--shards", "2"});
  const auto& serve = std::get<ServeCommand>(command);
  EXPECT_EQ(serve.data_dir, "d");
  EXPECT_EQ(serve.listeners, "PLAINTEXT://127.0.0.1:0");
  EXPECT_THAT(serve.settings, ElementsAre("a=b", "c=d,e"));
  EXPECT_THAT(serve.topics, ElementsAre("orders:6,cleanup.policy=compact"));
  EXPECT_EQ(serve.ready_fd, 3);
  EXPECT_EQ(serve.shards, 2u);
}

TEST(CommandLine, ServeTakesOnePlaceForData) {
  EXPECT_EQ(std::get<PrintAndExit>(parse({"serve", "--ephemeral", "--data-dir", "d"})).exit_code, 2);
  EXPECT_TRUE(std::get<ServeCommand>(parse({"serve", "--ephemeral"})).ephemeral);
}

TEST(CommandLine, HelpAndMistakes) {
  const auto help = std::get<PrintAndExit>(parse({"--help"}));
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.text, HasSubstr("weir serve --ephemeral"));
  const auto wrong = std::get<PrintAndExit>(parse({"serve", "--no-such"}));
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.text, HasSubstr("--no-such"));
}

TEST(CommandLine, AloneItShowsItsHelp) {
  const auto alone = std::get<PrintAndExit>(parse({}));
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_EQ(alone.text, std::get<PrintAndExit>(parse({"--help"})).text);
  const auto log = std::get<PrintAndExit>(parse({"log"}));
  EXPECT_EQ(log.exit_code, 2);
  EXPECT_EQ(log.text, std::get<PrintAndExit>(parse({"log", "--help"})).text);
}

TEST(CommandLine, AWrongOptionGetsItsNearestMatch) {
  const auto serve = std::get<PrintAndExit>(parse({"serve", "--datadir", "d"}));
  EXPECT_EQ(serve.exit_code, 2);
  EXPECT_EQ(serve.text, "weir serve: there is no option '--datadir'; did you mean --data-dir? (weir serve --help)\n");
  EXPECT_THAT(std::get<PrintAndExit>(parse({"serve", "--listener=x"})).text, HasSubstr("did you mean --listeners?"));
  EXPECT_THAT(std::get<PrintAndExit>(parse({"log", "dump", "--record", "f"})).text, HasSubstr("did you mean --records?"));
  EXPECT_THAT(std::get<PrintAndExit>(parse({"serve", "--zookeeper"})).text, Not(HasSubstr("did you mean")));
}

TEST(CommandLine, TheManualPageKnowsEveryCommandAndOption) {
  const auto page = std::get<PrintAndExit>(parse({"help", "--man"}));
  EXPECT_EQ(page.exit_code, 0);
  for (const char* known : {".TH WEIR 1", ".SS weir log import", "\\-\\-advertised\\-listeners", "\\-\\-accept\\-unclean"}) {
    EXPECT_THAT(page.text, HasSubstr(known));
  }
}

TEST(CommandLine, NamesTheWordThatIsNoCommand) {
  const auto wrong = std::get<PrintAndExit>(parse({"bogus", "--data-dir", "d"}));
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.text, AllOf(HasSubstr("no command 'bogus'"), HasSubstr("serve, log, version, help")));
  const auto below = std::get<PrintAndExit>(parse({"log", "show", "x.log"}));
  EXPECT_EQ(below.exit_code, 2);
  EXPECT_THAT(below.text, AllOf(HasSubstr("weir log: "), HasSubstr("'show'"), HasSubstr("verify, dump, import")));
}

TEST(CommandLine, EachHelpShowsItsOwnExamples) {
  for (const auto& asked : {std::vector<const char*>{"help", "serve"}, std::vector<const char*>{"serve", "--help"}}) {
    const auto serve = std::get<PrintAndExit>(parse(asked));
    EXPECT_EQ(serve.exit_code, 0);
    EXPECT_THAT(serve.text, AllOf(HasSubstr("--advertised-listeners"), HasSubstr("kcat"), Not(HasSubstr("log import"))));
  }
  const auto log = std::get<PrintAndExit>(parse({"log", "--help"}));
  EXPECT_THAT(log.text, AllOf(HasSubstr("log import"), Not(HasSubstr("weir serve"))));
  const auto verify = std::get<PrintAndExit>(parse({"help", "log", "verify"}));
  EXPECT_EQ(verify.exit_code, 0);
  EXPECT_THAT(verify.text, AllOf(HasSubstr("--json"), Not(HasSubstr("weir serve"))));
  const auto all = std::get<PrintAndExit>(parse({"help"}));
  EXPECT_EQ(all.exit_code, 0);
  EXPECT_EQ(all.text, std::get<PrintAndExit>(parse({"--help"})).text);
}

TEST(CommandLine, EveryHelpFitsATerminal) {
  for (const std::vector<const char*>& of : {std::vector<const char*>{},
                                             {"serve"},
                                             {"log"},
                                             {"log", "verify"},
                                             {"log", "dump"},
                                             {"log", "import"},
                                             {"log", "salvage"},
                                             {"version"}}) {
    std::vector<const char*> words = of;
    words.push_back("--help");
    std::istringstream lines(std::get<PrintAndExit>(parse(words)).text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST(CommandLine, LogAndVersion) {
  EXPECT_TRUE(std::holds_alternative<VersionCommand>(parse({"--version"})));
  const Command command = parse({"log", "dump", "x.log", "--records"});
  const auto& log = std::get<LogCommand>(command);
  EXPECT_EQ(log.action, LogCommand::Action::kDump);
  EXPECT_TRUE(log.print_records);
  EXPECT_TRUE(std::holds_alternative<VersionCommand>(parse({"version"})));
}

TEST(CommandLine, EveryWrongArgumentIsToldWithItsCommand) {
  const std::pair<std::vector<const char*>, const char*> cases[] = {
      {{"log", "verify"},
       "weir log verify: 'files' is missing: A data folder (verify holds its files against its manifests), or segment files "
       "(*.log), WAL files (*.wal) and folders of them"},
      {{"log", "salvage", "a", "b"}, "weir log salvage: takes one 'folder' only, and 2 are given"},
      {{"log", "import", "x"}, "weir log import: say where the new data folder goes: --data-dir DIR, or --dry-run to check only"},
      {{"serve", "x"}, "weir serve: 'x' is not expected"},
      {{"serve", "-x"}, "weir serve: '-x' is not expected"},
      {{"version", "3"}, "weir version: '3' is not expected"},
      {{"serve", "--data-dir"}, "weir serve: --data-dir needs a value: DIR"},
      {{"serve", "--data-dir", "a", "--data-dir", "b"}, "weir serve: --data-dir is given twice"},
      {{"serve", "--ephemeral", "--data-dir", "a"}, "weir serve: give either --data-dir or --ephemeral, not both"},
      {{"serve", "--shards", "257"}, "weir serve: --shards: '257' is not a number from 0 to 256"},
      {{"serve", "--shards", "x"}, "weir serve: --shards: 'x' is not a number from 0 to 256"},
      {{"serve", "--ready-fd", "-3"}, "weir serve: --ready-fd: '-3' is not a number"},
  };
  for (const auto& [words, text] : cases) {
    const auto wrong = std::get<PrintAndExit>(parse(words));
    EXPECT_EQ(wrong.exit_code, 2) << text;
    const std::string command = std::string(text).substr(0, std::string(text).find(':'));
    EXPECT_EQ(wrong.text, text + (" (" + command + " --help)\n"));
  }
}

TEST(CommandLine, ZeroShardsAreOneForEachCore) {
  EXPECT_EQ(std::get<ServeCommand>(parse({"serve", "--shards", "0"})).shards, 0u);
  EXPECT_EQ(std::get<ServeCommand>(parse({"serve"})).shards, std::nullopt);
}

TEST(CommandLine, SalvageChangesNothingUnlessItIsToldTo) {
  const Command looks = parse({"log", "salvage", "d"});
  EXPECT_EQ(std::get<LogCommand>(looks).action, LogCommand::Action::kSalvage);
  EXPECT_THAT(std::get<LogCommand>(looks).files, ElementsAre("d"));
  EXPECT_FALSE(std::get<LogCommand>(looks).apply);
  const Command does = parse({"log", "salvage", "d", "--apply", "--json"});
  EXPECT_TRUE(std::get<LogCommand>(does).apply && std::get<LogCommand>(does).json);
  const Command gives_up = parse({"log", "salvage", "--without", "a", "d", "--without", "b"});
  EXPECT_THAT(std::get<LogCommand>(gives_up).files, ElementsAre("d"));
  EXPECT_THAT(std::get<LogCommand>(gives_up).without, ElementsAre("a", "b"));
  EXPECT_EQ(std::get<PrintAndExit>(parse({"log", "salvage"})).exit_code, 2);
  const auto help = std::get<PrintAndExit>(parse({"log", "salvage", "--help"}));
  EXPECT_THAT(help.text,
              AllOf(HasSubstr("--apply"), HasSubstr("weir log salvage /var/lib/weir --apply"), HasSubstr("Exit code")));
}

}  // namespace
}  // namespace weir::cli
