// For tests: a database as an earlier version made it, or as a disk or another program changed it.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

#include "storage/sqlite/file_system_vfs.h"

namespace weir::storage {

enum class HashFunction {
  kNone,   // as before rows had hashes
  kWrong,  // changed rows get a wrong hash
};

inline void run_sql(runtime::FileSystem& files, const std::string& path, const std::string& sql,
                    HashFunction hash = HashFunction::kNone) {
  FileSystemVfs vfs(files, nullptr, false);
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs.name()), SQLITE_OK);
  if (hash == HashFunction::kWrong) {
    sqlite3_create_function(
        handle, "row_hash", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, nullptr,
        [](sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_int64(context, 1); }, nullptr, nullptr);
  }
  const std::string all = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; " + sql;
  char* told = nullptr;
  EXPECT_EQ(sqlite3_exec(handle, all.c_str(), nullptr, nullptr, &told), SQLITE_OK) << told;
  sqlite3_free(told);
  ASSERT_EQ(sqlite3_close(handle), SQLITE_OK);  // moves the log into the database and removes it
  (void)files.remove(path + "-wal-in-use");
}

}  // namespace weir::storage
