// A data folder as a whole: its segment files held against its manifests, and a start of its storage tried on an overlay. That
// is what `weir log verify DIR` knows beyond each file by itself. Nothing in the folder is written. Its lock is held meanwhile,
// so that no broker changes the files. Of a folder that a broker has open, only the bytes that its manifests name are judged.
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
  bool has_manifests = false;  // otherwise no data folder: each file stands for itself
  bool in_use = false;         // a broker has it open: files come and go, and the manifests are of a moment since the call
  std::string note;            // why there is nothing to compare with, if that is worth a line
  std::map<std::string, storage::ManifestedSegment> segments;  // whatever a manifest names, by path of the file
  std::vector<FolderProblem> problems;
};

// `folder` exists.
Result<FolderCheck> check_folder(runtime::FileSystem& files, const std::string& folder);

}  // namespace weir::apps
