// For tests: a database as an earlier version made it, or a program of SQLite changed it.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

#include "storage/sqlite/file_system_vfs.h"

namespace weir::storage {

inline void run_sql(runtime::FileSystem& files, const std::string& path, const std::string& sql) {
  FileSystemVfs vfs(files, nullptr, false);
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs.name()), SQLITE_OK);
  const std::string all = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; " + sql;
  char* told = nullptr;
  EXPECT_EQ(sqlite3_exec(handle, all.c_str(), nullptr, nullptr, &told), SQLITE_OK) << told;
  sqlite3_free(told);
  ASSERT_EQ(sqlite3_close(handle), SQLITE_OK);
}

}  // namespace weir::storage
