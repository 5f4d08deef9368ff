// Looks at SQLite's own write-ahead log before SQLite does.
//
// SQLite takes the first damage in it for the end of what was committed: a bad header makes all of it vanish, without
// a word. Here damage is told from what a power cut leaves. SQLite syncs the header before the first frame and every
// commit before the next one (synchronous=FULL), so frames without a sound header, and frames of another transaction
// behind one that is not whole, have been damaged later. What cannot be told: damage to the last transaction, and a
// file that was cut off.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/file.h"

namespace weir::storage {

// True if the log at `path` holds anything; false if it is missing, empty, or its first header never became durable.
// kCorrupt if committed transactions in it were damaged.
Result<bool> check_sqlite_log(runtime::FileSystem& files, const std::string& path);

}  // namespace weir::storage
