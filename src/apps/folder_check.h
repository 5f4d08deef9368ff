// A data folder's segment files held against its manifests: what `weir log verify DIR` knows beyond each file by itself.
// Nothing in the folder is written; the database is opened in a copy. The folder's lock is held meanwhile, so that no
// broker changes what is compared.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/file.h"

namespace weir::apps {

struct FolderCheck {
  bool has_manifests = false;  // otherwise no data folder, or one that a broker has open: each file stands for itself
  std::string note;            // why there is nothing to compare with, if that is worth a line
  std::map<std::string, uint64_t> valid_bytes;  // of every segment file that a manifest names, by path
  std::vector<std::string> problems;            // a line each: files that are missing or too short
};

// `folder` exists. Fails if its database cannot be read.
Result<FolderCheck> check_folder(runtime::FileSystem& files, const std::string& folder);

}  // namespace weir::apps
