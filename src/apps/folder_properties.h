// meta.properties of a log directory: small, written as a whole and atomically.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "runtime/file.h"

namespace weir::apps {

using FolderProperties = std::map<std::string, std::string>;

// kNotFound if there is none.
Result<FolderProperties> read_folder_properties(runtime::FileSystem& files, const std::string& folder);
Result<void> write_folder_properties(runtime::FileSystem& files, const std::string& folder, const std::string& text);

// A folder of Weir's that lies in `folder`, as `cp -a COPY FOLDER` leaves it where FOLDER exists: its name; empty if there is
// none.
Result<std::string> folder_of_weir_in(runtime::FileSystem& files, const std::string& folder);
// Fails, and says what to do, if there is one in `folder`, which is none itself.
Result<void> refuse_folder_of_weir_in(runtime::FileSystem& files, const std::string& folder);

// Makes the folder's own name durable, and those above it: this start, or one that was killed, may have made them.
Result<void> sync_parents(runtime::FileSystem& files, const std::string& path);

}  // namespace weir::apps
