// Compares the rows of a database with the rows that were committed in it. SQLite does not see the difference: its pages carry no
// checksums, and an older state of a database is as sound as the present one.
//
// Every table ends with a column `hash INTEGER NOT NULL AS (row_hash('<table>', <all other columns>)) STORED`, which SQLite
// itself keeps up to date. So a row with changed bytes is found and named. The table `content` has one row with three numbers.
// The sum of the hashes of all rows and of the schema shows a row that is missing, that came back or that is of another time.
// The revision grows with every transaction that changes a row. The note is the revision of another database, as far as this
// one has noted it (noted_database.h). Format: docs/formats/metadata.md.
//
// One thread at a time, as its Database.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;
struct sqlite3_value;

namespace weir::storage {

// The differences from the committed rows, for a tool that brings back sound ones.
struct ContentDamage {
  struct Row {
    std::string table;
    int64_t number = 0;  // the row's first column, as it is now
    std::string what;    // a message
  };
  std::vector<Row> rows;  // with changed bytes
  std::string whole;      // a message if no row has changed, but the rows are not those that were committed last; else empty
};

class DatabaseContent {
 public:
  // Registers row_hash() and follows every change from now on. `path` is for messages. Destroy it before the handle is closed.
  DatabaseContent(sqlite3* handle, std::string path);
  ~DatabaseContent();
  DatabaseContent(const DatabaseContent&) = delete;

  // Reads all rows and compares them. Has SQLite check all pages as well. A database of an earlier format has no table `content`:
  // only its pages can be checked, and kept() is false then. With `damage`, wrong rows are listed there and are no error.
  Result<void> check(ContentDamage* damage);
  bool kept() const { return kept_; }
  // In the transaction that made or upgraded the tables: takes their rows as right. If check() found damage, the new schema may
  // hide it. The next check() then still says that the rows are not those that were committed, unless mend() was called.
  Result<void> keep();

  int64_t revision() const { return committed_.revision; }         // 0 if kept() is false
  int64_t noted() const { return committed_.noted; }               // of the other database
  void set_noted(int64_t revision) { current_.noted = revision; }  // in a transaction
  // In a transaction that ends a damage that was found: from its commit on the present rows count, under this revision at least.
  void mend(int64_t revision);

  // put_changes(): in a transaction, before its commit. One of the other two: after the commit, or after the rollback.
  Result<void> put_changes();
  void committed() { committed_ = current_; }
  void rolled_back() {
    current_ = committed_;
    unreadable_ = false;
  }

 private:
  struct State {
    int64_t revision = 0;
    uint64_t sum = 0;
    int64_t noted = 0;
    uint64_t wrong_by = 0;  // added to the sum, so that damage is not forgotten before mend()
    bool operator==(const State&) const = default;
  };
  struct Found;
  friend struct ContentCalls;

  Result<void> check_pages();
  Result<Found> read_all(ContentDamage* damage);
  Result<void> read_table(const std::string& table, Found& found, ContentDamage* damage);
  uint64_t sum_of_row(sqlite3* handle, const char* table, int (*value_of)(sqlite3*, int, sqlite3_value**));
  std::unexpected<Error> failed(const std::string& what) const;
  std::unexpected<Error> damaged(const std::string& what) const;

  sqlite3* const handle_;
  const std::string path_;
  bool kept_ = false;
  bool unreadable_ = false;  // a row that changes in this transaction cannot be read
  bool damaged_ = false;     // check() found damage
  State committed_, current_;
};

// Advice to an operator whose database is damaged or went back.
std::string database_remedy(const std::string& path);

}  // namespace weir::storage
