// Checks SQLite's own write-ahead log before SQLite reads it.
//
// SQLite takes the first damage in the log for the end of the committed transactions: a bad header makes all of them vanish
// silently. This check tells damage from the remains of a power cut. SQLite syncs the header before the first frame, and every
// commit before the next one (synchronous=FULL). So frames without a sound header were damaged later, and so was a transaction
// that is not whole in front of another one. The check cannot see damage to the last transaction, nor a file that was cut off.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/file.h"

namespace weir::storage {

// True if the log at `path` holds anything; false if it is missing, empty, or its first header never became durable.
// kCorrupt if committed transactions in it were damaged.
Result<bool> check_sqlite_log(runtime::FileSystem& files, const std::string& path);

}  // namespace weir::storage
