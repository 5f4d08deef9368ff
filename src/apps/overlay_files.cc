#include "apps/overlay_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/paths.h"
#include "runtime/copy_file.h"

namespace weir::apps {

namespace {

std::unexpected<Error> not_found(const std::string& path) { return fail(ErrorCode::kNotFound, path + " does not exist"); }

// Of a lock that nobody else can hold.
class NoFile final : public runtime::File {
 public:
  Result<size_t> read_at(uint64_t, MutableBytes) override { return size_t{0}; }
  Result<void> write_at(uint64_t, std::span<const iovec>) override { return {}; }
  Result<void> sync() override { return {}; }
  Result<void> truncate(uint64_t) override { return {}; }
  Result<void> allocate(uint64_t) override { return {}; }
  Result<uint64_t> size() override { return uint64_t{0}; }
  Result<uint64_t> allocated() override { return uint64_t{0}; }
  bool resident(uint64_t, size_t) override { return false; }
  Result<void> make_resident(uint64_t, size_t) override { return {}; }
};

}  // namespace

Result<std::unique_ptr<OverlayFiles>> OverlayFiles::create(runtime::FileSystem& below) {
  auto folder = TemporaryFolder::create();
  if (!folder) return std::unexpected(folder.error());
  return std::unique_ptr<OverlayFiles>(new OverlayFiles(below, std::move(*folder)));
}

// True if the overlay hides the file below: `path` was removed, or a folder above it was removed or is new.
bool OverlayFiles::hidden(const std::string& path) const {
  for (std::string at = path; at.size() > 1; at = parent_of(at)) {
    const auto change = changes_.find(at);
    if (change == changes_.end()) continue;
    if (change->second.kind == Change::Kind::kGone || at != path) return true;
  }
  return false;
}

Result<std::string> OverlayFiles::place_of(const std::string& path) {
  if (const auto change = changes_.find(path); change != changes_.end()) {
    if (change->second.kind == Change::Kind::kFile) return change->second.place;
    if (change->second.kind == Change::Kind::kGone) return not_found(path);
  }
  if (hidden(path)) return not_found(path);
  return path;
}

Result<std::string> OverlayFiles::own(const std::string& path) {
  auto place = place_of(path);
  if (!place || place->starts_with(folder_.path() + "/")) return place;
  const std::string copy = new_place();
  if (auto done = runtime::copy_file(below_, *place, copy); !done) return std::unexpected(done.error());
  changes_[path] = {Change::Kind::kFile, copy};
  return copy;
}

Result<bool> OverlayFiles::exists_now(const std::string& path) {
  if (const auto change = changes_.find(path); change != changes_.end()) return change->second.kind != Change::Kind::kGone;
  if (hidden(path)) return false;
  return below_.exists(path);
}

Result<std::unique_ptr<runtime::File>> OverlayFiles::open(const std::string& path, runtime::OpenFlags flags) {
  std::lock_guard lock(mutex_);
  if (!flags.write && !flags.create) {
    auto place = place_of(path);
    if (!place) return std::unexpected(place.error());
    return below_.open(*place, flags);
  }
  auto exists = exists_now(path);
  if (!exists) return std::unexpected(exists.error());
  if (!*exists && !flags.create) return not_found(path);
  if (!*exists || (flags.truncate && !flags.exclusive)) {
    changes_[path] = {Change::Kind::kFile, new_place()};
  } else if (flags.exclusive) {
    return fail(ErrorCode::kExists, path + " exists");
  }
  auto place = own(path);
  if (!place) return std::unexpected(place.error());
  return below_.open(*place, {.write = true, .create = true, .truncate = flags.truncate});
}

Result<void> OverlayFiles::create_directories(const std::string& path) {
  std::lock_guard lock(mutex_);
  for (std::string at = path; at.size() > 1; at = parent_of(at)) {
    auto exists = exists_now(at);
    if (!exists) return std::unexpected(exists.error());
    if (*exists) return {};
    changes_[at] = {Change::Kind::kDirectory, {}};
  }
  return {};
}

Result<void> OverlayFiles::create_directory(const std::string& path) {
  auto there = exists(parent_of(path));
  if (!there) return std::unexpected(there.error());
  return *there ? create_directories(path) : not_found(parent_of(path));
}

std::vector<std::string> OverlayFiles::changed_below(const std::string& path) const {
  std::vector<std::string> paths;
  const std::string prefix = path + "/";
  for (auto at = changes_.lower_bound(prefix); at != changes_.end() && at->first.starts_with(prefix); ++at)
    paths.push_back(at->first);
  return paths;
}

// Of a file, or of a folder and its files: nothing below moves, so each of them is copied or noted.
Result<void> OverlayFiles::rename(const std::string& from, const std::string& to) {
  auto entries = list(from);
  if (entries) {
    if (auto done = create_directories(to); !done) return done;
    for (const runtime::DirectoryEntry& entry : *entries) {
      if (auto done = rename(from + "/" + entry.name, to + "/" + entry.name); !done) return done;
    }
    return remove_all(from);
  }
  std::lock_guard lock(mutex_);
  auto place = place_of(from);
  if (!place) return std::unexpected(place.error());
  changes_[to] = {Change::Kind::kFile, *place};
  changes_[from] = {};
  return {};
}

Result<void> OverlayFiles::remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  auto exists = exists_now(path);
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) return not_found(path);
  changes_[path] = {};
  return {};
}

Result<void> OverlayFiles::remove_all(const std::string& path) {
  std::lock_guard lock(mutex_);
  for (const std::string& below : changed_below(path)) changes_.erase(below);
  changes_[path] = {};
  return {};
}

Result<bool> OverlayFiles::exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return exists_now(path);
}

Result<std::vector<runtime::DirectoryEntry>> OverlayFiles::list(const std::string& path) {
  std::lock_guard lock(mutex_);
  std::map<std::string, runtime::DirectoryEntry> entries;
  const auto change = changes_.find(path);
  const bool made = change != changes_.end() && change->second.kind == Change::Kind::kDirectory;
  if (!hidden(path) && !made) {
    auto below = below_.list(path);
    if (!below) return below;
    for (runtime::DirectoryEntry& entry : *below) entries[entry.name] = std::move(entry);
  } else if (!made) {
    return not_found(path);
  }
  for (const std::string& changed : changed_below(path)) {
    const std::string name = changed.substr(path.size() + 1);
    if (name.find('/') != std::string::npos) continue;
    const Change& now = changes_.at(changed);
    if (now.kind == Change::Kind::kGone) {
      entries.erase(name);
      continue;
    }
    runtime::DirectoryEntry& entry = entries[name];
    entry = {name, now.kind == Change::Kind::kDirectory, 0};
    if (entry.is_directory) continue;
    auto file = below_.open(now.place, {});
    if (!file) return std::unexpected(file.error());
    auto size = (*file)->size();
    if (!size) return std::unexpected(size.error());
    entry.size = *size;
  }
  std::vector<runtime::DirectoryEntry> listed;
  for (auto& [name, entry] : entries) listed.push_back(std::move(entry));
  return listed;
}

Result<std::unique_ptr<runtime::File>> OverlayFiles::lock(const std::string& path) {
  auto there = below_.exists(path);
  if (!there) return std::unexpected(there.error());
  if (*there) {
    auto locked = below_.lock(path);
    // Where we may not lock (a snapshot that is mounted read-only), nobody else writes either.
    if (locked || locked.error().code == ErrorCode::kExists) return locked;
  }
  return std::make_unique<NoFile>();
}

Result<std::unique_ptr<runtime::DurableWriter>> OverlayFiles::durable_writer(const std::string& path, runtime::Loop&, bool) {
  return fail(ErrorCode::kUnsupported, path + ": nothing is served from here");
}

}  // namespace weir::apps
