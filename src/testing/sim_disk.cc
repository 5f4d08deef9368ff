#include "testing/sim_disk.h"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/crc32c.h"
#include "testing/disk_names.h"
#include "testing/sim_file.h"

namespace weir::testing {

SimDisk::SimDisk(uint64_t seed, Options options) : options_(options), random_(seed, 1), names_(std::make_unique<DiskNames>()) {}

SimDisk::~SimDisk() = default;

std::unexpected<Error> SimDisk::died() const { return fail(ErrorCode::kIo, "the simulated process is dead", EIO); }

void SimDisk::trace(DiskOperation operation, const std::string& path, uint64_t detail) {
  trace_.add(static_cast<uint64_t>(operation) << 32 | crc32c(as_bytes(path)));
  trace_.add(detail);
  if (trace_sink_) trace_sink_(fmt::format("disk {} op {} {} {:x}", write_points_, static_cast<int>(operation), path, detail));
}

int SimDisk::injected(DiskOperation operation, const std::string& path) {
  for (DiskFault& fault : faults_) {
    const bool wanted =
        fault.operation == operation || (fault.operation == DiskOperation::kAny && operation != DiskOperation::kRead);
    if (!wanted || fault.times == 0 || fnmatch(fault.pattern.c_str(), path.c_str(), 0) != 0) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    --fault.times;
    return fault.os_errno;
  }
  return 0;
}

Result<SimDisk::Admission> SimDisk::admit(DiskOperation operation, const std::string& path, uint64_t detail) {
  if (dead_) return died();
  ++write_points_;
  trace(operation, path, detail);
  Admission admission;
  if (operation != DiskOperation::kDurableWriteStart) admission.os_errno = injected(operation, path);
  const bool syncs = operation == DiskOperation::kSync || operation == DiskOperation::kSyncFileSystem;
  if (syncs && failing_sync_ != 0 && --failing_sync_ == 0) admission.os_errno = EIO;
  if (write_points_ == cut_at_) {
    dead_ = admission.last = true;
    admission.os_errno = 0;
  }
  return admission;
}

void SimDisk::fail_next_sync(uint64_t nth) { failing_sync_ = nth; }

void SimDisk::cut_at_write(uint64_t n) { cut_at_ = n == 0 ? 0 : write_points_ + n; }

bool SimDisk::charge(DiskNode& node, uint64_t bytes) {
  const uint64_t needed = align_up(std::max({bytes, node.content.length(), node.reserved}), 4096);
  if (needed > node.charged && used_bytes_ + (needed - node.charged) > options_.size_limit) return false;
  used_bytes_ = used_bytes_ - node.charged + needed;
  node.charged = needed;
  return true;
}

void SimDisk::release_if_gone(DiskNode& node) {
  if (node.links > 0 || node.handles > 0) return;
  used_bytes_ -= node.charged;
  node.charged = 0;
}

Result<std::shared_ptr<DiskNode>> SimDisk::find_file(const std::string& path) const {
  if (dead_) return died();
  auto node = names_->find(path);
  if (!node) return fail_errno("'" + path + "'", ENOENT);
  if (node->directory) return fail_errno("'" + path + "'", EISDIR);
  return node;
}

Result<std::shared_ptr<DiskNode>> SimDisk::create_node(const std::string& path, bool directory) {
  if (auto parent = names_->parent(path); !parent) return std::unexpected(parent.error());
  const auto admission = admit(DiskOperation::kCreate, path);
  if (!admission) return std::unexpected(admission.error());
  if (admission->os_errno) return fail_errno("creating '" + path + "'", admission->os_errno);
  auto node = names_->link(path, directory);
  if (admission->last) return died();
  return node;
}

Result<std::unique_ptr<runtime::File>> SimDisk::open(const std::string& path, runtime::OpenFlags flags) {
  auto node = find_file(path);
  if (node && flags.create && flags.exclusive) return fail_errno("'" + path + "'", EEXIST);
  if (!node && node.error().code == ErrorCode::kNotFound && flags.create) node = create_node(path, false);
  if (!node) return std::unexpected(node.error());
  auto file = std::make_unique<SimFile>(*this, *node, path, flags, false);
  if (flags.truncate && (*node)->content.length() > 0) {
    if (auto done = file->truncate(0); !done) return std::unexpected(done.error());
  }
  return file;
}

Result<void> SimDisk::create_directories(const std::string& path) {
  if (dead_) return died();
  std::string prefix;
  for (const std::string& part : DiskNames::split(path)) {
    prefix += "/" + part;
    if (auto node = names_->find(prefix)) {
      if (!node->directory) return fail_errno("'" + prefix + "'", ENOTDIR);
      continue;
    }
    if (auto made = create_node(prefix, true); !made) return std::unexpected(made.error());
  }
  return {};
}

Result<void> SimDisk::create_directory(const std::string& path) {
  if (dead_) return died();
  if (auto parent = names_->parent(path); !parent) return std::unexpected(parent.error());
  return create_directories(path);
}

Result<void> SimDisk::rename(const std::string& from, const std::string& to) {
  if (dead_) return died();
  const std::string what = "rename of '" + from + "' to '" + to + "'";
  auto node = names_->find(from);
  if (!node) return fail_errno(what, ENOENT);
  if (auto parent = names_->parent(to); !parent) return std::unexpected(parent.error());
  auto target = names_->find(to);
  if (target == node) return {};
  if (target && target->directory != node->directory) return fail_errno(what, target->directory ? EISDIR : ENOTDIR);
  if (target && !target->entries.empty()) return fail_errno(what, ENOTEMPTY);
  const auto admission = admit(DiskOperation::kRename, from, crc32c(as_bytes(to)));
  if (!admission) return std::unexpected(admission.error());
  if (admission->os_errno) return fail_errno(what, admission->os_errno);
  names_->rename(from, to);
  if (target) release_if_gone(*target);
  if (admission->last) return died();
  return {};
}

Result<void> SimDisk::unlink(const std::string& path) {
  const auto admission = admit(DiskOperation::kRemove, path);
  if (!admission) return std::unexpected(admission.error());
  if (admission->os_errno) return fail_errno("removing '" + path + "'", admission->os_errno);
  auto node = names_->find(path);
  names_->unlink(path);
  release_if_gone(*node);
  if (admission->last) return died();
  return {};
}

Result<void> SimDisk::remove(const std::string& path) {
  if (dead_) return died();
  auto node = names_->find(path);
  if (!node) return fail_errno("removing '" + path + "'", ENOENT);
  if (!node->entries.empty()) return fail_errno("removing '" + path + "'", ENOTEMPTY);
  return unlink(path);
}

Result<void> SimDisk::remove_all(const std::string& path) {
  if (dead_) return died();
  auto node = names_->find(path);
  if (!node) return {};
  std::vector<std::string> children;
  for (const auto& [name, child] : node->entries) children.push_back(name);
  for (const std::string& name : children) {
    if (auto done = remove_all(path + "/" + name); !done) return done;
  }
  return unlink(path);
}

Result<bool> SimDisk::exists(const std::string& path) {
  if (dead_) return died();
  return names_->find(path) != nullptr;
}

Result<std::vector<runtime::DirectoryEntry>> SimDisk::list(const std::string& path) {
  if (dead_) return died();
  auto node = names_->find(path);
  if (!node) return fail_errno("listing '" + path + "'", ENOENT);
  if (!node->directory) return fail_errno("listing '" + path + "'", ENOTDIR);
  std::vector<runtime::DirectoryEntry> entries;
  for (const auto& [name, child] : node->entries) entries.push_back({name, child->directory, child->content.length()});
  return entries;
}

Result<void> SimDisk::sync_directory(const std::string& path) {
  if (dead_) return died();
  auto node = names_->find(path);
  if (!node) return fail_errno("sync of '" + path + "'", ENOENT);
  if (!node->directory) return fail_errno("sync of '" + path + "'", ENOTDIR);
  const auto admission = admit(DiskOperation::kSyncDirectory, path);
  if (!admission) return std::unexpected(admission.error());
  if (admission->last) return died();
  if (admission->os_errno) {
    names_->fail_sync(*node, random_);
    return fail_errno("sync of '" + path + "'", admission->os_errno);
  }
  names_->sync(*node);
  return {};
}

Result<void> SimDisk::sync_file_system(const std::string& path) {
  const auto admission = admit(DiskOperation::kSyncFileSystem, path);
  if (!admission) return std::unexpected(admission.error());
  if (admission->last) return died();
  const bool failed = admission->os_errno != 0;
  if (failed) {
    names_->fail_sync_all(random_);
  } else {
    names_->sync_all();
  }
  for (const auto& [name, node] : names_->walk()) {
    if (node->directory || !node->content.dirty()) continue;
    if (failed) {
      node->content.fail_flush(random_);
    } else {
      node->content.flush();
    }
  }
  if (failed) return fail_errno("sync of the file system of '" + path + "'", admission->os_errno);
  return {};
}

namespace {
constexpr uint64_t kPlenty = uint64_t{1} << 40;
}

Result<uint64_t> SimDisk::total_bytes(const std::string&) {
  if (dead_) return died();
  return options_.size_limit == UINT64_MAX ? 2 * kPlenty : options_.size_limit;
}

Result<uint64_t> SimDisk::free_bytes(const std::string&) {
  if (dead_) return died();
  if (options_.size_limit == UINT64_MAX) return kPlenty;
  return options_.size_limit - std::min(options_.size_limit, used_bytes_);
}

Result<std::unique_ptr<runtime::File>> SimDisk::lock(const std::string& path) {
  auto node = find_file(path);
  if (!node && node.error().code == ErrorCode::kNotFound) node = create_node(path, false);
  if (!node) return std::unexpected(node.error());
  if ((*node)->locked_life == life_) return fail(ErrorCode::kExists, "'" + path + "' is locked by another process", EWOULDBLOCK);
  return std::make_unique<SimFile>(*this, *node, path, runtime::OpenFlags{.write = true}, true);
}

Result<std::unique_ptr<runtime::DurableWriter>> SimDisk::durable_writer(const std::string& path, runtime::Loop& loop,
                                                                        bool flush_to_device) {
  auto node = find_file(path);
  if (!node) return std::unexpected(node.error());
  return std::make_unique<SimDurableWriter>(*this, *node, path, loop, flush_to_device);
}

void SimDisk::cut_power() {
  trace_.add(mix(life_));
  names_->cut_power(random_);
  for (const auto& [path, node] : names_->walk()) {
    if (node->directory) continue;
    node->content.cut_power(random_);
    if (random_.one_in(2)) node->reserved = node->durable_reserved;
    node->durable_reserved = node->reserved;
    node->cached.clear();
  }
  begin_life();
}

void SimDisk::kill_process() {
  trace_.add(life_);
  for (const auto& [path, node] : names_->walk()) node->content.leave_writes(random_);
  begin_life();
}

void SimDisk::begin_life() {
  ++life_;
  dead_ = false;
  cut_at_ = 0;
  used_bytes_ = 0;
  for (const auto& [path, node] : names_->walk()) {
    node->handles = 0;
    node->charged = 0;
    const uint64_t limit = options_.size_limit;
    options_.size_limit = UINT64_MAX;  // files that exist count, whatever the limit
    if (!node->directory) charge(*node, 0);
    options_.size_limit = limit;
  }
}

DiskNode& SimDisk::must_find(const std::string& path) const {
  auto node = names_->find(path);
  WEIR_CHECK(node && !node->directory);
  return *node;
}

bool SimDisk::has(const std::string& path) const { return names_->find(path) != nullptr; }

bool SimDisk::has_durable(const std::string& path) const {
  auto node = names_->find(path);
  return node && names_->find_durable(path) == node;
}

std::vector<uint8_t> SimDisk::contents(const std::string& path) const {
  const DiskNode& node = must_find(path);
  std::vector<uint8_t> bytes(node.content.length());
  node.content.read(0, bytes);
  return bytes;
}

std::vector<uint8_t> SimDisk::durable_contents(const std::string& path) const {
  const DiskNode& node = must_find(path);
  std::vector<uint8_t> bytes(node.content.durable_length());
  node.content.read_durable(0, bytes);
  return bytes;
}

std::vector<std::string> SimDisk::all_files() const {
  std::vector<std::string> paths;
  for (const auto& [path, node] : names_->walk()) {
    if (!node->directory) paths.push_back(path);
  }
  return paths;
}

void SimDisk::flip_bits(const std::string& path, uint64_t offset, uint8_t mask) {
  DiskNode& node = must_find(path);
  WEIR_CHECK(offset < node.content.length());
  uint8_t byte = 0;
  node.content.read(offset, {&byte, 1});
  byte ^= mask;
  node.content.overwrite_raw(offset, {&byte, 1});
}

void SimDisk::overwrite_raw(const std::string& path, uint64_t offset, Bytes bytes) {
  must_find(path).content.overwrite_raw(offset, bytes);
}

void SimDisk::truncate_raw(const std::string& path, uint64_t length) { must_find(path).content.truncate_raw(length); }

void SimDisk::make_hole(const std::string& path) {
  DiskNode& node = must_find(path);
  used_bytes_ -= node.charged;
  node.charged = 0;
  node.reserved = 0;
}

void SimDisk::evict(const std::string& path) {
  DiskNode& node = must_find(path);
  node.cached.clear();
  node.content.drop_clean();
}

}  // namespace weir::testing
