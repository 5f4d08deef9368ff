// A SQLite database of ours: opened through FileSystemVfs in WAL mode with exclusive locking (no shared
// memory, one sync a commit) and synchronous=FULL.
//
// A transaction is durable when commit() succeeded. After a failed commit the database is *suspect*: whether
// the transaction would be there after a power cut is not known. resolve() (and the next begin()) takes the
// write-ahead log out of the game, after which the failed transaction is certainly undone; until that
// succeeds nothing is written.
//
// The write-ahead log stays beside the database, empty once it was closed. While it holds transactions a mark, the file
// `<path>-wal-in-use`, says so: a log that is missing or empty then has lost them, and open() refuses.
//
// open() reads all that is there and compares it with what was committed (content.h), and changes nothing: the log is
// not copied into the database before adopt(), or the first begin(). A Database that goes before leaves both as they were.
//
// One thread at a time. Statements must go before their Database.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/clock.h"
#include "runtime/file.h"
#include "storage/sqlite/content.h"
#include "storage/sqlite/file_system_vfs.h"

struct sqlite3;
struct sqlite3_stmt;

namespace weir::storage {

class Database;

// A prepared statement. Bind, step, read columns, reset; parameters and columns count from 1 and 0 as in
// SQLite.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& bind(int parameter, int64_t value);
  Statement& bind(int parameter, Bytes blob);  // not copied: lives until the next reset

  // True if there is a row.
  Result<bool> step();
  void reset();
  // Steps a statement without rows to its end and resets it.
  Result<void> run();

  int columns() const;
  int64_t integer(int column) const;
  Bytes blob(int column) const;  // valid until the next step or reset

 private:
  friend class Database;
  Statement(Database* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  Database* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

class Database {
 public:
  struct Options {
    size_t cache_bytes = 1 << 20;
    const runtime::Clock* clock = nullptr;
    const char* schema = "";          // run once, in a database that does not exist yet
    ContentDamage* damage = nullptr;  // gets rows that are wrong, which are refused else
  };

  // Creates the database with its schema if the file is missing (its folder exists): it appears complete or
  // not at all. kCorrupt if what it holds is not what was committed, as far as it can know that by itself.
  static Result<std::unique_ptr<Database>> open(runtime::FileSystem& files, const std::string& path, Options options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Result<void> execute(const char* sql);  // statements without rows
  Result<Statement> prepare(std::string_view sql);

  // What was found at open is what counts: it becomes durable. Afterwards rows may be relied upon.
  Result<void> adopt();

  // Rows change between these only.
  Result<void> begin();
  Result<void> commit();
  void rollback();
  bool suspect() const { return suspect_; }
  Result<void> resolve();

  // False: of an earlier format. keep_content() ends the transaction's upgrade of the tables.
  bool content_kept() const { return content_->kept(); }
  Result<void> keep_content() { return content_->keep(); }
  // Makes tables anew, `schema`, with the rows of those that have the same names and the same columns but `hash`.
  Result<void> rebuild(std::initializer_list<const char*> tables, const char* schema);
  // Grows with every committed transaction that changed a row.
  int64_t revision() const { return content_->revision(); }
  // Another database's revision, as note() was told.
  int64_t noted() const { return content_->noted(); }
  Result<void> note(int64_t revision);
  // In a transaction, after an open() that told of damage (DatabaseContent::mend).
  void mend(int64_t revision) { content_->mend(revision); }

  const std::string& path() const { return path_; }

  // Rows changed by the last statement.
  int64_t changes() const;
  uint64_t syncs() const { return vfs_->syncs(); }

 private:
  friend class Statement;
  Database(runtime::FileSystem& files, const std::string& path) : files_(files), path_(path) {}
  static Result<void> create(runtime::FileSystem& files, const std::string& path, const Options& options);
  static Result<std::unique_ptr<Database>> connect(runtime::FileSystem& files, const std::string& path, const Options& options,
                                                   const char* synchronous, bool keep_log);
  Result<void> configure(const Options& options, const char* synchronous);
  std::unexpected<Error> error(int code, std::string_view what);
  Result<void> write_log_again();
  void mark_log();
  Result<void> unmark_log();

  runtime::FileSystem& files_;
  const std::string path_;
  std::unique_ptr<FileSystemVfs> vfs_;
  sqlite3* handle_ = nullptr;
  std::unique_ptr<DatabaseContent> content_;
  bool adopted_ = false;
  bool suspect_ = false;
  bool log_marked_ = false;  // perhaps: the mark may be there
};

}  // namespace weir::storage
