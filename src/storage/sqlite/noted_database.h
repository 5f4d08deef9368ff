// Two databases that note each other's revision, so that one that went back is known: by an older copy, or by a write-ahead
// log whose end was cut off or damaged, which SQLite takes for the end of what was committed.
//
// A note is durable before anybody is told of the transaction that it is about (one more sync), and follows that
// transaction's commit, so it is a lower bound whatever a power cut leaves. A note changes no revision: the other database
// need not note it in turn. Not noticed: both went back together.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "base/result.h"
#include "storage/sqlite/database.h"

namespace weir::storage {

class NotedDatabase {
 public:
  NotedDatabase() = default;
  NotedDatabase(const NotedDatabase&) = delete;
  virtual ~NotedDatabase() = default;

  // What is there counts, is made durable and brought to the present format. Before it nothing has changed.
  virtual Result<void> adopt() = 0;

  // At start, both opened and not adopted: kCorrupt if one of them went back, else adopts both. From then on each notes
  // the other's revision; none may announce once the other one is gone. `second`: the larger one.
  static Result<void> pair(NotedDatabase& first, NotedDatabase& second);
  // kCorrupt if this one went back since `other` noted its revision.
  Result<void> check_noted_by(const NotedDatabase& other) const;
  int64_t noted() const { return database_->noted(); }  // of the other one

 protected:
  // The number that `select` reads, of a format up to `newest`; those up to `last_unchecked` have no content to check them by.
  // kUnsupported if it is newer, kCorrupt if it contradicts what the database holds.
  Result<int64_t> read_format(const char* select, int64_t newest, int64_t last_unchecked);
  // After a commit, without the mutex, before anybody is told. Blocking.
  void announce();

  std::mutex database_mutex_;  // the database
  std::unique_ptr<Database> database_;

 private:
  Result<void> note(int64_t revision);

  NotedDatabase* other_ = nullptr;
  int64_t announced_ = 0;  // database_mutex_
};

}  // namespace weir::storage
