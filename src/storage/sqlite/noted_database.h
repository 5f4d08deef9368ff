// A database of ours that is taken over from earlier formats, and notes the revision of another one, so that one that went back
// is known: by an older copy, or by a write-ahead log whose end was cut off or damaged, which SQLite takes for the end of what
// was committed.
//
// A note is durable before anybody is told of the transaction that it is about (one more sync), and follows that
// transaction's commit, so it is a lower bound whatever a power cut leaves. A note changes no revision: the other database
// need not note it in turn. Not noticed: both went back together.
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

  // What is there counts, is made durable and brought to the present format. Before it nothing has changed.
  Result<void> adopt();

  // At start, both opened and not adopted: kCorrupt if one of them went back, else adopts both. From then on each notes
  // the other's revision; none may announce once the other one is gone. `second`: the larger one.
  static Result<void> pair(NotedDatabase& first, NotedDatabase& second);
  // kCorrupt if this one went back since `other` noted its revision.
  Result<void> check_noted_by(const NotedDatabase& other) const;
  int64_t noted() const { return database_->noted(); }  // of the other one

 protected:
  struct Kind {
    std::string schema;  // of a new one
    size_t cache_bytes = 1 << 20;
    const char* select_format = "";  // reads the number of its format
    int64_t newest_format = 1;
    int64_t last_unchecked_format = 0;  // those up to it have no content to check them by
  };
  explicit NotedDatabase(Kind kind) : kind_(std::move(kind)) {}
  // kUnsupported if it is of a newer format, kCorrupt if it is damaged, or contradicts its format. What is damaged is listed in
  // `damage` instead, if it is given.
  Result<void> open_file(runtime::FileSystem& files, const std::string& path, const runtime::Clock* clock,
                         ContentDamage* damage = nullptr);
  // In a transaction, with the mutex: makes of the format `from` the newest one.
  virtual Result<void> upgrade(int64_t from) = 0;
  // With the mutex, once it is of the newest format: statements, and what is kept in memory.
  virtual Result<void> prepare() = 0;
  // After a commit, without the mutex, before anybody is told. Blocking.
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
