// A database that can be of an earlier format, and that notes the revision of another database. So a start notices a database
// that went back: an older copy took its place, or the end of its write-ahead log was cut off or damaged (SQLite takes that for
// the end of the committed transactions).
//
// The note of a transaction follows the transaction's commit and is durable before anybody is told of the transaction (one more
// sync). So it is a lower bound, whatever a power cut leaves. A note changes no revision: the other database need not note it in
// turn. Not noticed: both databases went back together.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/result.h"
#include "storage/sqlite/database.h"

namespace weir::storage {

class NotedDatabase {
 public:
  NotedDatabase(const NotedDatabase&) = delete;
  virtual ~NotedDatabase() = default;

  // Makes the rows durable and brings them to the present format. Nothing has changed before this call.
  Result<void> adopt();

  // At a start, after both are opened and before they are adopted: kCorrupt if one of them went back, else adopts both. From
  // then on each notes the other's revision. Neither may announce once the other is destroyed. `second`: the larger one.
  static Result<void> pair(NotedDatabase& first, NotedDatabase& second);
  // kCorrupt if this database went back since `other` noted its revision.
  Result<void> check_noted_by(const NotedDatabase& other) const;
  int64_t noted() const { return database_->noted(); }  // revision of the other database

 protected:
  struct Kind {
    std::string schema;  // of a new database
    size_t cache_bytes = 1 << 20;
    const char* select_format = "";  // the statement that reads the number of the format
    int64_t newest_format = 1;
    int64_t last_unchecked_format = 0;  // formats up to this one have no table `content`
  };
  explicit NotedDatabase(Kind kind) : kind_(std::move(kind)) {}
  // kUnsupported if the database is of a newer format. kCorrupt if it is damaged or contradicts its format. With `damage`, wrong
  // rows are listed there and are no error.
  Result<void> open_file(runtime::FileSystem& files, const std::string& path, const runtime::Clock* clock,
                         ContentDamage* damage = nullptr);
  // Called in a transaction, with the mutex held: brings the tables from the format `from` to the newest one.
  virtual Result<void> upgrade(int64_t from) = 0;
  // Called with the mutex held, once the tables are of the newest format: prepares statements and reads what memory keeps.
  virtual Result<void> prepare() = 0;
  // Has the other database note the revision. Call it after a commit, without the mutex, before anybody is told. Blocks.
  void announce();

  std::mutex database_mutex_;  // the database
  std::unique_ptr<Database> database_;

 private:
  Result<int64_t> read_format();
  Result<void> note(int64_t revision);

  const Kind kind_;
  NotedDatabase* other_ = nullptr;
  int64_t announced_ = 0;  // database_mutex_
};

}  // namespace weir::storage
