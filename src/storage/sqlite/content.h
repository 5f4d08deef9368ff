// What a database holds, held against what was committed in it: SQLite's pages carry no checksums, and an older state of
// a database is as sound as the present one.
//
// Every table ends with a column `hash INTEGER NOT NULL AS (row_hash('<table>', <all other columns>)) STORED`, which SQLite
// itself keeps up to date: a row whose bytes have changed is known, and named. The table `content` has one row: the sum of
// the hashes of all rows and of the schema, so that a row that is missing, that came back or is of another time is noticed
// as well; the revision, which grows with every transaction that changes a row; and what this database knows of another
// one's revision (noted_database.h). Format: docs/formats/metadata.md.
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

// What is not as it was committed, for a tool that brings back what it can.
struct ContentDamage {
  struct Row {
    std::string table;
    int64_t number = 0;  // its first column, as it is now
    std::string what;    // a message
  };
  std::vector<Row> rows;  // whose bytes have changed
  std::string whole;      // a message if, with no row changed, they are not those that were committed last; else empty
};

class DatabaseContent {
 public:
  // Registers row_hash() and follows every change from now on. `path` is for messages. Goes before the handle is closed.
  DatabaseContent(sqlite3* handle, std::string path);
  ~DatabaseContent();
  DatabaseContent(const DatabaseContent&) = delete;

  // Reads everything and compares; SQLite's own check of all pages comes with it. Of a database of an earlier format, which
  // has no table `content`, only that can be checked: kept() is false then. With `damage`, rows that are wrong are listed there
  // instead of being an error.
  Result<void> check(ContentDamage* damage);
  bool kept() const { return kept_; }
  // In the transaction that made or upgraded the tables: takes what they hold as right. If check() found damage, and with another
  // schema it may not show any more, the next check() says that the rows are not those that were committed, unless mend() comes.
  Result<void> keep();

  int64_t revision() const { return committed_.revision; }         // 0 if it is not kept
  int64_t noted() const { return committed_.noted; }               // of the other database
  void set_noted(int64_t revision) { current_.noted = revision; }  // in a transaction
  // In a transaction that ends what was found damaged: what is there counts from its commit on, under this revision at least.
  void mend(int64_t revision);

  // In a transaction, before its commit; what it came to, after it.
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
    uint64_t wrong_by = 0;  // the sum is, so that damage is not forgotten before it is mended
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
  bool unreadable_ = false;  // a row that changed in this transaction
  bool damaged_ = false;     // told of by check()
  State committed_, current_;
};

// What an operator does about a database that is damaged or went back.
std::string database_remedy(const std::string& path);

}  // namespace weir::storage
