// A data folder as a whole: its segment files held against its manifests, and a start of its storage tried on an overlay. That
// is what `weir log verify DIR` knows beyond each file by itself. Nothing in the folder is written. Its lock is held meanwhile,
// so that no broker changes the files meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/segment_dump.h"

namespace weir::apps {

struct FolderProblem {
  std::string kind;  // "missing", "cut short", "refused": by a start; "damaged": what a start would find and serve around
  std::string path;
  std::string text;  // a line
};

struct FolderCheck {
  bool has_manifests = false;  // otherwise no data folder, or one that a broker has open: each file stands for itself
  bool in_use = false;         // a broker has it open: files come and go
  std::string note;            // why there is nothing to compare with, if that is worth a line
  std::map<std::string, storage::ManifestedSegment> segments;  // whatever a manifest names, by path of the file
  std::vector<FolderProblem> problems;
};

// `folder` exists.
Result<FolderCheck> check_folder(runtime::FileSystem& files, const std::string& folder);

}  // namespace weir::apps
