// Shows and checks one WAL file: `weir log dump` and `weir log verify`. Only reads. Works on files of a running broker, too; the
// end of the log may then look cut off.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/function.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/types.h"

namespace weir::storage {

struct WalDumpOptions {
  bool json = false;                                           // an object a line
  bool batches = true;                                         // a line for every batch, not only for every chunk
  std::function<std::string(const TopicId&)> topic_name = {};  // empty where it is not known
};

struct WalDumpSummary {
  uint64_t first_chunk = 0;  // 0: none
  uint64_t last_chunk = 0;
  uint64_t chunks = 0;   // readable, whole or not
  uint64_t batches = 0;  // intact
  uint64_t damaged_batches = 0;
  uint64_t damaged_chunks = 0;  // footer unreadable or batches damaged
  uint64_t missing_chunks = 0;  // in front of a later chunk
  uint64_t end = 0;             // offset behind the last chunk
  bool header_damaged = false;  // of the file
  uint64_t bytes = 0;           // of the file
  uint64_t bytes_promised = 0;  // by the file's header: the log writes a file in full before it uses it
  bool short_file() const { return bytes < bytes_promised; }
  // Damage other than at the end, where a write may have been cut off.
  bool damaged() const {
    return header_damaged || short_file() || missing_chunks != 0 || damaged_chunks > (last_is_damaged ? 1u : 0u);
  }
  bool last_is_damaged = false;
};

// Calls `line` for every line of the listing. Fails if the file cannot be read or is not a WAL file.
Result<WalDumpSummary> dump_wal_file(runtime::FileSystem& files, const std::string& path, const WalDumpOptions& options,
                                     Function<void(std::string_view line)> line);

}  // namespace weir::storage
