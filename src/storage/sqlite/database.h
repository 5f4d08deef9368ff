// A SQLite database, opened through FileSystemVfs in WAL mode with exclusive locking (no shared memory, one sync for each commit)
// and synchronous=FULL.
//
// A transaction is durable when commit() succeeded. After a failed commit the database is *suspect*: nobody knows whether the
// transaction would be there after a power cut. resolve() (and the next begin()) copies the committed pages into the database and
// empties the write-ahead log. After that the failed transaction is certainly undone. Until it succeeds nothing is written.
//
// The write-ahead log stays beside the database. It is empty once the database was closed. While it holds transactions, a mark,
// the file `<path>-wal-in-use`, says so: if the log is missing or empty then, transactions are lost, and open() refuses.
//
// open() reads all rows and compares them with those that were committed (content.h). It changes nothing in a database that
// exists: only adopt(), or the first begin(), copies the log into the database. A Database that is destroyed before leaves both
// unchanged.
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

// A prepared statement: bind, step, read columns, reset. Parameters count from 1 and columns from 0, as in SQLite.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& bind(int parameter, int64_t value);
  Statement& bind(int parameter, Bytes blob);  // not copied: the bytes live until the next reset

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
    ContentDamage* damage = nullptr;  // takes the list of wrong rows; without it open() refuses them
  };

  // If the file is missing, creates the database with its schema (its folder exists): it appears complete or not at all. kCorrupt
  // if its rows are not those that were committed, as far as a database can know that by itself.
  static Result<std::unique_ptr<Database>> open(runtime::FileSystem& files, const std::string& path, Options options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Result<void> execute(const char* sql);  // statements without rows
  Result<Statement> prepare(std::string_view sql);

  // Makes the rows that open() found durable. Callers may rely on rows afterwards.
  Result<void> adopt();

  // Rows change only between begin() and commit().
  Result<void> begin();
  Result<void> commit();
  void rollback();
  bool suspect() const { return suspect_; }
  Result<void> resolve();

  // False: the database is of an earlier format. A transaction that upgrades tables calls keep_content() at its end.
  bool content_kept() const { return content_->kept(); }
  Result<void> keep_content() { return content_->keep(); }
  // Makes `tables` anew by `schema` and moves their rows. A new table has the same columns as the old one, and then `hash`.
  Result<void> rebuild(std::initializer_list<const char*> tables, const char* schema);
  // Grows with every committed transaction that changed a row.
  int64_t revision() const { return content_->revision(); }
  // The other database's revision that note() stored last.
  int64_t noted() const { return content_->noted(); }
  Result<void> note(int64_t revision);
  // In a transaction, after an open() that found damage (DatabaseContent::mend).
  void mend(int64_t revision) { content_->mend(revision); }

  const std::string& path() const { return path_; }

  // Number of rows that the last statement changed.
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
  bool log_marked_ = false;  // the mark is there, or may be
};

}  // namespace weir::storage
