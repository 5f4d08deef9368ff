#include "base/log_levels.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>

namespace weir {
namespace {

// Ascending; the second column is the lowest level that passes.
struct Name {
  std::string_view text;
  int lowest;
};
constexpr Name kNames[] = {{"TRACE", 0}, {"DEBUG", 0}, {"INFO", 1}, {"WARN", 2}, {"ERROR", 3}, {"FATAL", 4}};
constexpr int kFollowsRoot = -1;

constexpr std::string_view kModules[] = {"broker",  "groups",  "http",   "log",     "metadata",
                                         "network", "runtime", "server", "storage", "wal"};

struct Levels {
  std::atomic<int> root{2};  // index into kNames
  std::array<std::atomic<int>, std::size(kModules)> modules;
  Levels() {
    for (auto& level : modules) level.store(kFollowsRoot, std::memory_order_relaxed);
  }
};
Levels& levels() {
  static Levels instance;
  return instance;
}

std::atomic<int>* level_of(std::string_view module) {
  const auto it = std::find(std::begin(kModules), std::end(kModules), module);
  return it == std::end(kModules) ? nullptr : &levels().modules[static_cast<size_t>(it - std::begin(kModules))];
}

int in_force(std::string_view module) {
  const std::atomic<int>* own = level_of(module);
  const int level = own ? own->load(std::memory_order_relaxed) : kFollowsRoot;
  return level == kFollowsRoot ? levels().root.load(std::memory_order_relaxed) : level;
}

// What no module wants is not even formatted.
std::atomic<int> g_lowest{1};
void note_lowest() {
  int lowest = kNames[levels().root.load(std::memory_order_relaxed)].lowest;
  for (const std::string_view module : kModules) lowest = std::min(lowest, kNames[in_force(module)].lowest);
  g_lowest.store(lowest, std::memory_order_relaxed);
}

}  // namespace

std::span<const std::string_view> log_modules() { return kModules; }
bool is_log_module(std::string_view name) { return level_of(name) != nullptr; }
std::string_view log_threshold(std::string_view module) { return kNames[in_force(module)].text; }

void set_log_threshold(std::string_view module, std::string_view level) {
  const auto name = std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& n) { return n.text == level; });
  std::atomic<int>* of = module.empty() ? &levels().root : level_of(module);
  if (name == std::end(kNames) || of == nullptr) return;
  of->store(static_cast<int>(name - std::begin(kNames)), std::memory_order_relaxed);
  note_lowest();
}

void clear_log_threshold(std::string_view module) {
  if (std::atomic<int>* of = level_of(module)) of->store(kFollowsRoot, std::memory_order_relaxed);
  note_lowest();
}

bool log_allowed(LogLevel level, std::string_view module) { return static_cast<int>(level) >= kNames[in_force(module)].lowest; }

void set_log_level(LogLevel lowest) { set_log_threshold({}, kNames[static_cast<size_t>(lowest) + 1].text); }
bool log_enabled(LogLevel level) { return static_cast<int>(level) >= g_lowest.load(std::memory_order_relaxed); }

}  // namespace weir
