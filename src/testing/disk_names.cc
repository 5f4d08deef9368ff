#include "testing/disk_names.h"

#include <cerrno>
#include <utility>

#include "base/check.h"

namespace weir::testing {

DiskNames::DiskNames() : root_(std::make_shared<DiskNode>()) {
  root_->id = next_id_++;
  root_->directory = true;
  root_->links = 1;
}

std::vector<std::string> DiskNames::split(const std::string& path) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    WEIR_CHECK(part != "..");
    if (!part.empty() && part != ".") parts.push_back(part);
    at = end + 1;
  }
  return parts;
}

namespace {
std::shared_ptr<DiskNode> descend(std::shared_ptr<DiskNode> node, const std::vector<std::string>& parts, size_t count,
                                  DiskNode::Entries DiskNode::* entries) {
  for (size_t i = 0; i < count; ++i) {
    const auto next = ((*node).*entries).find(parts[i]);
    if (next == ((*node).*entries).end()) return nullptr;
    node = next->second;
  }
  return node;
}
}  // namespace

std::shared_ptr<DiskNode> DiskNames::find(const std::string& path) const {
  const auto parts = split(path);
  return descend(root_, parts, parts.size(), &DiskNode::entries);
}

std::shared_ptr<DiskNode> DiskNames::find_durable(const std::string& path) const {
  const auto parts = split(path);
  return descend(root_, parts, parts.size(), &DiskNode::durable_entries);
}

Result<std::shared_ptr<DiskNode>> DiskNames::parent(const std::string& path) const {
  const auto parts = split(path);
  if (parts.empty()) return fail(ErrorCode::kInvalid, "the root has no parent directory");
  auto directory = descend(root_, parts, parts.size() - 1, &DiskNode::entries);
  if (!directory) return fail_errno("directory of '" + path + "'", ENOENT);
  if (!directory->directory) return fail_errno("directory of '" + path + "'", ENOTDIR);
  return directory;
}

std::shared_ptr<DiskNode> DiskNames::link(const std::string& path, bool directory) {
  auto node = std::make_shared<DiskNode>();
  node->id = next_id_++;
  node->directory = directory;
  node->links = 1;
  auto into = parent(path).value();
  const std::string name = split(path).back();
  WEIR_CHECK(into->entries.emplace(name, node).second);
  pending_.push_back({node, nullptr, {}, into, name});
  return node;
}

void DiskNames::rename(const std::string& from, const std::string& to) {
  auto from_directory = parent(from).value();
  auto to_directory = parent(to).value();
  const std::string from_name = split(from).back();
  const std::string to_name = split(to).back();
  auto moved = from_directory->entries.extract(from_name);
  WEIR_CHECK(!moved.empty());
  auto node = std::move(moved.mapped());
  auto& target = to_directory->entries[to_name];
  if (target) target->links = 0;
  target = node;
  pending_.push_back({node, from_directory, from_name, to_directory, to_name});
}

void DiskNames::unlink(const std::string& path) {
  auto directory = parent(path).value();
  const std::string name = split(path).back();
  auto removed = directory->entries.extract(name);
  WEIR_CHECK(!removed.empty());
  removed.mapped()->links = 0;
  pending_.push_back({removed.mapped(), directory, name, nullptr, {}});
}

void DiskNames::apply(const Change& change) {
  if (change.from_directory) {
    auto& entries = change.from_directory->durable_entries;
    const auto entry = entries.find(change.from);
    if (entry != entries.end() && entry->second == change.node) entries.erase(entry);
  }
  if (change.to_directory) change.to_directory->durable_entries[change.to] = change.node;
}

void DiskNames::sync(const DiskNode& directory) {
  // An earlier change of the same file becomes durable as well, in whatever directory it was made. Otherwise a power cut that
  // loses one of the two directories could show the file under both names.
  std::vector<bool> durable(pending_.size());
  for (size_t i = pending_.size(); i-- > 0;) {
    durable[i] = pending_[i].in(directory);
    for (size_t later = i + 1; !durable[i] && later < pending_.size(); ++later) {
      durable[i] = durable[later] && pending_[later].node == pending_[i].node;
    }
  }
  std::vector<Change> rest;
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (durable[i]) {
      apply(pending_[i]);
    } else {
      rest.push_back(std::move(pending_[i]));
    }
  }
  pending_ = std::move(rest);
}

void DiskNames::fail_sync(const DiskNode& directory, SeededRandom& random) {
  std::erase_if(pending_, [&](const Change& change) {
    if (!change.in(directory)) return false;
    if (random.one_in(2)) apply(change);
    return true;
  });
}

void DiskNames::sync_all() {
  for (const Change& change : pending_) apply(change);
  pending_.clear();
}

void DiskNames::fail_sync_all(SeededRandom& random) {
  Survival survival(random);
  for (const Change& change : pending_) {
    if (survival.keep()) apply(change);
  }
  pending_.clear();
}

void DiskNames::cut_power(SeededRandom& random) {
  fail_sync_all(random);
  // Directories that durable names lead to show their durable entries. Everything else is lost.
  std::vector<std::shared_ptr<DiskNode>> open{root_};
  for (const auto& [path, node] : walk()) node->links = 0;
  while (!open.empty()) {
    auto node = std::move(open.back());
    open.pop_back();
    node->links = 1;
    node->entries = node->durable_entries;
    for (const auto& [name, child] : node->entries) open.push_back(child);
  }
}

std::vector<std::pair<std::string, std::shared_ptr<DiskNode>>> DiskNames::walk() const {
  std::vector<std::pair<std::string, std::shared_ptr<DiskNode>>> found;
  const auto visit = [&](const auto& self, const std::string& path, const DiskNode& directory) -> void {
    for (const auto& [name, node] : directory.entries) {
      found.emplace_back(path + "/" + name, node);
      if (node->directory) self(self, path + "/" + name, *node);
    }
  };
  visit(visit, "", *root_);
  return found;
}

}  // namespace weir::testing
