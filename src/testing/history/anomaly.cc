#include "testing/history/anomaly.h"

#include <fmt/core.h>

#include <algorithm>

namespace weir::testing {

std::string_view name_of(AnomalyKind kind) {
  constexpr std::array<std::string_view, kAnomalyKinds> kNames = {
      "phantom",          "aborted read (G1a)",
      "dirty read",       "intermediate read (G1b)",
      "lost write",       "duplicate",
      "offset reused",    "non-monotonic poll",
      "poll skip",        "non-monotonic send",
      "write cycle (G0)", "read cycle (G1c)",
      "fenced write",     "committed offset went back",
      "phantom offset",   "processed twice",
      "output missing",   "output without its offset",
      "two owners",       "generation went back",
  };
  return kNames[static_cast<size_t>(kind)];
}

void Report::add(AnomalyKind kind, std::string text, std::vector<OperationId> operations) {
  if (wants(kind)) anomalies_.push_back({kind, std::move(text), std::move(operations)});
  ++counts_[static_cast<size_t>(kind)];
}

std::string Report::describe(const Anomaly& anomaly) const {
  std::string text = fmt::format("{}: {}", name_of(anomaly.kind), anomaly.text);
  std::vector<OperationId> operations = anomaly.operations;
  std::sort(operations.begin(), operations.end());
  operations.erase(std::unique(operations.begin(), operations.end()), operations.end());
  for (const OperationId id : operations) {
    if (id != kNoOperation) text += "\n    " + testing::describe(history_, id);
  }
  return text;
}

std::string Report::text() const {
  std::string text;
  for (const Anomaly& anomaly : anomalies_) text += describe(anomaly) + "\n";
  for (size_t kind = 0; kind < kAnomalyKinds; ++kind) {
    if (counts_[kind] > kKept)
      text += fmt::format("{}: {} more\n", name_of(static_cast<AnomalyKind>(kind)), counts_[kind] - kKept);
  }
  return text;
}

}  // namespace weir::testing
