#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <climits>
#include <memory>
#include <sstream>

#include "base/nearest_name.h"
#include "cli/manual_page.h"

namespace weir::cli {

namespace {

constexpr const char* kExamples = R"(
Examples:
  weir serve --ephemeral            a broker on 127.0.0.1:9092; nothing is kept
  weir serve --data-dir /var/lib/weir                             a durable one
  weir log verify /var/lib/weir                     checks every file of the log
  weir log import /var/lib/kafka/data --data-dir /var/lib/weir
                                               takes over a stopped Apache Kafka

`weir COMMAND --help` tells more.
)";

constexpr const char* kServeExamples = R"(
Examples:
  weir serve --ephemeral            a broker on 127.0.0.1:9092; nothing is kept
  weir serve --data-dir /var/lib/weir                             a durable one
  weir serve --data-dir d --topic orders:6 \
      --topic users:3,cleanup.policy=compact
  weir serve --data-dir d --listeners PLAINTEXT://0.0.0.0:9092 \
      --advertised-listeners PLAINTEXT://broker.example:9092
  weir serve --data-dir d --set num.partitions=6 \
      --set log.retention.ms=86400000

Then, with any Kafka client:
  kcat -b 127.0.0.1:9092 -L
  echo hello | kcat -b 127.0.0.1:9092 -t greetings -P
  kcat -b 127.0.0.1:9092 -t greetings -C -e
)";

constexpr const char* kSalvageNotes = R"(
Finds what is damaged: batches, segment files that are gone or cut short, rows
of partitions in manifest.db, files of the write-ahead log. With --apply
everything that is intact is served again at the next start. What is not is
named by its offsets, and the damaged files move to a new folder
salvaged-<time> in the data folder; nothing is thrown away. Run by root, it
makes files that belong to the owner of the folder.

--without DIR is for a further log directory of log.dirs whose disk will not
come back, and which a start therefore misses: what lay in it is lost, and
named; everything else is served again.

Exit code: 0 if nothing is damaged, or all of it was brought back as far as it
goes; 1 if something is damaged and nothing was changed, if a start refuses the
folder all the same (then it says why), or if it failed.

Examples:
  systemctl stop weir
  weir log salvage /var/lib/weir           says what is damaged; changes nothing
  weir log salvage /var/lib/weir --apply                 brings back what it can
  weir log salvage /var/lib/weir --without /mnt/lost/weir --apply
  systemctl start weir
)";

constexpr const char* kLogExamples = R"(
Examples:
  weir log verify /var/lib/weir                     checks every file of the log
  weir log salvage /var/lib/weir             what of the damage could come back
  weir log dump --records \
      /var/lib/weir/<partition folder>/00000000000000000000.log
  weir log import /var/lib/kafka/data --data-dir /var/lib/weir
                                               takes over a stopped Apache Kafka
)";

// Help that fits a terminal of 80 columns.
class NarrowHelp : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override { return wrapped(Formatter::make_option_desc(option)); }
  std::string make_subcommand(const CLI::App* command) const override {
    std::ostringstream out;
    CLI::detail::format_help(out, command->get_display_name(true), wrapped(command->get_description()), get_column_width());
    return out.str();
  }

 private:
  std::string wrapped(const std::string& text) const {
    const size_t width = 80 - get_column_width();
    std::string out;
    size_t column = 0;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      if (column > 0 && column + 1 + word.size() > width) {
        out += '\n';
        column = 0;
      } else if (column > 0) {
        out += ' ';
        ++column;
      }
      out += word;
      column += word.size();
    }
    return out;
  }
};

CLI::Validator number_between(int64_t min, int64_t max) {
  const auto fault = [min, max](const std::string& text) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= min && value <= max) return std::string();
    const std::string bounds = max == INT_MAX ? "" : " from " + std::to_string(min) + " to " + std::to_string(max);
    return "'" + text + "' is not a number" + bounds;
  };
  return {fault, "", ""};
}

void describe_serve(CLI::App& app, ServeCommand& serve) {
  app.add_option("--data-dir", serve.data_dir, "Folder of the broker's data; created if it does not exist")->option_text("DIR");
  app.add_flag("--ephemeral", serve.ephemeral, "Keep the data in a temporary folder that is removed at the end");
  app.add_option("--listeners", serve.listeners, "Where to listen, comma-separated; port 0 takes a free one")
      ->option_text("NAME://HOST:PORT[,...]");
  app.add_option("--advertised-listeners", serve.advertised_listeners, "What clients are told to connect to, if it differs")
      ->option_text("NAME://HOST:PORT[,...]");
  app.add_option("--http", serve.http,
                 "Where /health, /ready and /metrics are served (default 127.0.0.1:9644, or a free port if that is taken)")
      ->option_text("HOST:PORT|off");
  app.add_option("--config", serve.config_file, "Properties file with Kafka's broker keys")->option_text("FILE");
  app.add_option("--set", serve.settings, "One broker key; wins over the file. May be repeated")
      ->option_text("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--topic", serve.topics, "Create this topic if it does not exist. May be repeated")
      ->option_text("NAME[:PARTITIONS][,KEY=VALUE...]")
      ->allow_extra_args(false);
  app.add_option("--shards", serve.shards, "Threads that serve partitions; 0: one per core, the default")
      ->check(number_between(0, 256))
      ->option_text("N");
  app.add_option("--ready-fd", serve.ready_fd,
                 "Write one line of JSON to this descriptor when the broker is ready: addresses, data folder, pid")
      ->check(number_between(0, INT_MAX))
      ->option_text("N");
  app.add_flag("--verbose", serve.verbose, "Log debug lines too");
}

void describe_import(CLI::App& app, LogCommand& log) {
  app.add_option("folder", log.files, "Kafka's log directory (log.dirs): one node, KRaft, ended cleanly")
      ->required()
      ->expected(1);
  app.add_option("--data-dir", log.data_dir, "The new data folder; must not exist, or be empty")->option_text("DIR");
  app.add_flag("--dry-run", log.dry_run, "Check everything and say what would be taken; write nothing");
  app.add_flag("--copy", log.copy, "Copy every segment instead of sharing closed ones by hard links");
  app.add_flag("--accept-unclean", log.accept_unclean, "Take a log that did not end cleanly, cut after its last intact batch");
  app.add_flag("--json", log.json, "The report as one JSON object");
}

void describe_salvage(CLI::App& app, LogCommand& log) {
  app.add_option("folder", log.files, "The data folder of a broker that does not run")->required()->expected(1);
  app.add_flag("--apply", log.apply, "Do it; without, nothing is changed");
  app.add_option("--without", log.without,
                 "Give this further log directory up, whose disk is lost: its segments count as lost. May be repeated")
      ->option_text("DIR")
      ->allow_extra_args(false);
  app.add_flag("--json", log.json, "The report as one JSON object");
  app.footer(kSalvageNotes);
}

// What the program takes. Parsing writes into the members, so it stays where it is.
struct Definition {
  CLI::App app{"Weir: publish, store and process streams of events. Speaks the Kafka protocol.", "weir"};
  bool version = false;
  ServeCommand serve;
  LogCommand log;
  CLI::App *serve_app, *log_app, *verify_app, *dump_app, *import_app, *salvage_app, *version_app;

  Definition() {
    app.require_subcommand(1);
    app.formatter(std::make_shared<NarrowHelp>());
    app.add_flag("--version", version, "Print the version");
    serve_app = app.add_subcommand("serve", "Run a broker");
    describe_serve(*serve_app, serve);
    log_app = app.add_subcommand("log", "Check, print or repair log files, or take over those of Apache Kafka");
    log_app->require_subcommand(1);
    verify_app = log_app->add_subcommand("verify", "Check every batch; exit code 1 if one is damaged");
    dump_app = log_app->add_subcommand("dump", "Print the batches");
    for (CLI::App* const action : {verify_app, dump_app}) {
      action
          ->add_option("files", log.files,
                       "A data folder (verify holds its files against its manifests), or segment files (*.log), WAL files "
                       "(*.wal) and folders of them")
          ->required();
      action->add_flag("--json", log.json, "An object a line");
    }
    dump_app->add_flag("--records", log.print_records, "Print the records of segment files as well");
    import_app = log_app->add_subcommand("import", "Make a data folder of the log directory of a stopped Apache Kafka");
    describe_import(*import_app, log);
    salvage_app = log_app->add_subcommand("salvage", "Bring damaged partitions back: what is intact is served again");
    version_app = app.add_subcommand("version", "Print the version");
    app.add_subcommand("help", "Print this, or what is said of a command");
    app.footer(kExamples);  // those above would have inherited it
    serve_app->footer(kServeExamples);
    log_app->footer(kLogExamples);
    describe_salvage(*salvage_app, log);
  }
  Definition(const Definition&) = delete;
};

PrintAndExit wrong(const std::string& path, const std::string& what) {
  return PrintAndExit{path + ": " + what + " (" + path + " --help)\n", 2};
}

// An option that does not exist, with the one that was probably meant.
std::optional<PrintAndExit> unknown_option(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  std::string path = "weir";
  for (const std::string& word : words) {
    if (word == "--") return std::nullopt;
    if (!word.starts_with("--")) {
      const auto commands = at->get_subcommands([&](const CLI::App* c) { return c->get_name() == word; });
      if (commands.empty()) continue;
      at = commands.front();
      path += " " + word;
      continue;
    }
    const std::string name = word.substr(0, word.find('='));
    std::vector<std::string> options;
    for (const CLI::Option* option : at->get_options()) {
      for (const std::string& known : option->get_lnames()) options.push_back("--" + known);
    }
    if (std::find(options.begin(), options.end(), name) != options.end()) continue;
    const std::vector<std::string_view> known(options.begin(), options.end());
    const std::string_view near = nearest_name(name, known);
    return wrong(path, "there is no option '" + name + "'" + (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
  }
  return std::nullopt;
}

// The parser itself names another word, or only says that one is missing.
std::optional<PrintAndExit> unknown_command(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  for (const std::string& word : words) {
    const auto commands = at->get_subcommands([](const CLI::App*) { return true; });
    if (word.starts_with('-') || commands.empty()) return std::nullopt;
    const auto found = std::find_if(commands.begin(), commands.end(), [&](const CLI::App* c) { return c->get_name() == word; });
    const std::string prefix = at == &app ? "weir" : "weir " + at->get_name();
    if (found == commands.end()) {
      std::string names;
      for (const CLI::App* command : commands) names += (names.empty() ? "" : ", ") + command->get_name();
      return wrong(prefix, "there is no command '" + word + "'; there are " + names);
    }
    at = *found;
  }
  return std::nullopt;
}

// What the words are for: the command, and how it is called.
struct Asked {
  const CLI::App* app;
  std::string path = "weir";
};

Asked asked_for(const CLI::App& app, const std::vector<std::string>& words) {
  Asked asked{&app};
  for (const std::string& word : words) {
    const auto commands = asked.app->get_subcommands([&](const CLI::App* c) { return c->get_name() == word; });
    if (commands.empty()) break;
    asked.app = commands.front();
    asked.path += " " + word;
  }
  return asked;
}

// The parser's text begins with the option's name, and means the same for options and for words without one.
const CLI::Option* option_of(const CLI::App& app, std::string_view text) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (text.starts_with(name) && (text.size() == name.size() || text[name.size()] == ':' || text[name.size()] == ' '))
      return option;
  }
  return nullptr;
}

std::string fault_text(const CLI::App& app, const CLI::Error& error) {
  const std::string text = error.what();
  const auto kind = static_cast<CLI::ExitCodes>(error.get_exit_code());
  if (kind == CLI::ExitCodes::ExtrasError) return "'" + text.substr(text.rfind(": ") + 2) + "' is not expected";
  const CLI::Option* option = option_of(app, text);
  if (!option) return text;
  const std::string name = option->get_name();
  const bool positional = option->get_lnames().empty();
  if (kind == CLI::ExitCodes::RequiredError) return "'" + name + "' is missing: " + option->get_description();
  if (kind != CLI::ExitCodes::ArgumentMismatch) return text;
  if (positional) return "takes one '" + name + "' only, and " + text.substr(text.rfind(' ') + 1) + " are given";
  if (text.find("At Most") != std::string::npos) return name + " is given twice";
  return name + " needs a value: " + option->get_option_text();
}

PrintAndExit exit_with(const CLI::App& app, const std::vector<std::string>& words, const CLI::Error& error) {
  if (error.get_exit_code() == 0) {
    std::ostringstream out;
    app.exit(error, out, out);
    return PrintAndExit{out.str(), 0};
  }
  const Asked asked = asked_for(app, words);
  return wrong(asked.path, fault_text(*asked.app, error));
}

// What each word alone does not tell.
std::optional<PrintAndExit> contradiction(const ServeCommand& serve) {
  if (!serve.ephemeral || serve.data_dir.empty()) return std::nullopt;
  return wrong("weir serve", "give either --data-dir or --ephemeral, not both");
}
std::optional<PrintAndExit> contradiction(const LogCommand& log) {
  if (log.action != LogCommand::Action::kImport || !log.data_dir.empty() || log.dry_run) return std::nullopt;
  return wrong("weir log import", "say where the new data folder goes: --data-dir DIR, or --dry-run to check only");
}

}  // namespace

Command parse_command_line(int argc, const char* const* argv) {
  Definition definition;
  CLI::App& app = definition.app;
  ServeCommand& serve = definition.serve;
  LogCommand& log = definition.log;
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  if (words == std::vector<std::string>{"--version"}) return VersionCommand{};
  // Nothing asked for: the help, and the status of arguments that are not enough, as git and docker have it.
  const bool unasked = words.empty() || words == std::vector<std::string>{"log"};
  if (unasked) words.emplace_back("--help");
  if (words == std::vector<std::string>{"--man", "--help"}) return PrintAndExit{manual_page(app), 0};
  if (auto complaint = unknown_command(app, words)) return *complaint;
  if (auto complaint = unknown_option(app, words)) return *complaint;
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::Error& error) {
    PrintAndExit end = exit_with(app, words, error);
    if (unasked) end.exit_code = 2;
    return end;
  }
  if (definition.version_app->parsed()) return VersionCommand{};
  if (definition.log_app->parsed()) {
    using enum LogCommand::Action;
    log.action = kVerify;
    if (definition.dump_app->parsed()) log.action = kDump;
    if (definition.import_app->parsed()) log.action = kImport;
    if (definition.salvage_app->parsed()) log.action = kSalvage;
    if (auto complaint = contradiction(log)) return *complaint;
    return log;
  }
  if (auto complaint = contradiction(serve)) return *complaint;
  return serve;
}

}  // namespace weir::cli
