#include "cli/manual_page.h"

#include <CLI/CLI.hpp>

namespace weir::cli {
namespace {

constexpr const char* kDescription = R"(.SH DESCRIPTION
.B weir serve
runs a broker: it stores streams of records durably and serves them to clients of Apache Kafka. A record is on
the disk before it is acknowledged. SIGTERM, SIGINT, SIGQUIT or SIGHUP end it in order; a second one at once. What was acknowledged is
there after either, and after SIGKILL or a power cut.
.PP
.B weir log verify
reads every file of a data folder and tells what is damaged; with
.B \-\-json
an object for each file with batches, records, offsets, bytes and state, one for each problem (type
.IR problem ),
and a last one with the verdict (operations.md lists the members);
.B weir log dump
shows what a file holds. Neither changes anything.
.B weir log salvage
brings back what is intact of a damaged folder, or gives up a log directory whose disk is lost.
)";

constexpr const char* kEnd = R"(.SH FILES
.TP
.I /etc/weir/weir.properties
What the service weir.service runs with. A key that is not known, or that Weir does not have yet, stops the start with a message.
.TP
.I /var/lib/weir
Its data, of user weir. It stays when the package is removed.
.TP
.I /usr/share/doc/weir
What it is, what it does otherwise than Apache Kafka, every setting, metrics, a dashboard and rules for alerts.
.SH EXIT STATUS
0 after an orderly end; 1, and a message that says what to do, if something could not be done or damage was found;
2 if the arguments or the configuration are wrong.
)";

// Text as troff prints it: hyphens stay minus signs, nothing at the begin of a line is taken for a request.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += std::string("\\&") + c;
    else out += c;
  }
  return out;
}

void append_commands(const CLI::App& app, const std::string& path, std::string& out) {
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty()) {
    out += ".SS " + escaped(path) + "\n" + escaped(app.get_description()) + ".\n";
    for (const CLI::Option* option : app.get_options()) {
      out += ".TP\n.B " + escaped(option->get_name(!option->nonpositional() && option->get_lnames().empty()));
      if (!option->get_option_text().empty()) out += " " + escaped(option->get_option_text());
      out += "\n" + escaped(option->get_description()) + "\n";
    }
  }
  for (const CLI::App* command : commands) append_commands(*command, path + " " + command->get_name(), out);
}

// The examples of a help begin with a title of their own.
std::string examples(const CLI::App& app) {
  const std::string footer = app.get_footer();
  const size_t begin = footer.find("Examples:\n");
  return begin == std::string::npos ? "" : escaped(footer.substr(begin + 10));
}

}  // namespace

std::string manual_page(const CLI::App& app) {
  std::string out =
      ".TH WEIR 1 \"\" \"Weir " WEIR_VERSION
      "\" \"User Commands\"\n.SH NAME\n"
      "weir \\- event streaming broker that speaks the Kafka protocol\n.SH SYNOPSIS\n.B weir\nCOMMAND [OPTION]...\n";
  out += kDescription;
  out += ".SH COMMANDS\n";
  append_commands(app, "weir", out);
  out += kEnd;
  out += ".SH EXAMPLES\n.nf\n" + examples(*app.get_subcommand("serve")) + examples(*app.get_subcommand("log")) + ".fi\n";
  return out;
}

}  // namespace weir::cli
