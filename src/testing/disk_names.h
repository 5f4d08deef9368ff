// The directories of a simulated disk: visible names, durable names, and the changes in between.
//
// A change (link, rename, unlink) is durable after its directory is synced. Until then a power cut keeps or loses each change
// on its own. A rename is lost or kept as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "testing/file_content.h"

namespace weir::testing {

struct DiskNode {
  using Entries = std::map<std::string, std::shared_ptr<DiskNode>>;

  uint64_t id = 0;
  bool directory = false;
  // Of a directory.
  Entries entries;
  Entries durable_entries;
  // Of a file.
  FileContent content;
  uint64_t reserved = 0;  // by allocate()
  uint64_t durable_reserved = 0;
  uint64_t charged = 0;      // against the size limit
  unsigned links = 0;        // visible names: 0 or 1
  unsigned handles = 0;      // open Files of this life
  uint64_t locked_life = 0;  // the life whose process holds the lock
  std::vector<bool> cached;  // page cache, by 64 KB
};

class DiskNames {
 public:
  DiskNames();
  DiskNode& root() { return *root_; }

  static std::vector<std::string> split(const std::string& path);
  std::shared_ptr<DiskNode> find(const std::string& path) const;  // null if absent
  std::shared_ptr<DiskNode> find_durable(const std::string& path) const;
  // The directory that holds (or would hold) the last component of `path`.
  Result<std::shared_ptr<DiskNode>> parent(const std::string& path) const;

  std::shared_ptr<DiskNode> link(const std::string& path, bool directory);  // the parent exists
  void rename(const std::string& from, const std::string& to);              // both parents and `from` exist
  void unlink(const std::string& path);

  void sync(const DiskNode& directory);
  void fail_sync(const DiskNode& directory, SeededRandom& random);
  void sync_all();
  void fail_sync_all(SeededRandom& random);
  void cut_power(SeededRandom& random);

  // Every file and directory that has a visible name, with its path, sorted by path.
  std::vector<std::pair<std::string, std::shared_ptr<DiskNode>>> walk() const;

 private:
  struct Change {
    std::shared_ptr<DiskNode> node;
    std::shared_ptr<DiskNode> from_directory;  // null for a link
    std::string from;
    std::shared_ptr<DiskNode> to_directory;  // null for an unlink
    std::string to;
    bool in(const DiskNode& directory) const { return from_directory.get() == &directory || to_directory.get() == &directory; }
  };
  static void apply(const Change& change);

  std::shared_ptr<DiskNode> root_;
  std::vector<Change> pending_;  // oldest first
  uint64_t next_id_ = 1;
};

}  // namespace weir::testing
