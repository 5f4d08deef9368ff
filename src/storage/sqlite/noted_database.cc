#include "storage/sqlite/noted_database.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace weir::storage {

Result<void> NotedDatabase::pair(NotedDatabase& first, NotedDatabase& second) {
  if (auto ok = first.check_noted_by(second); !ok) return ok;
  if (auto ok = second.check_noted_by(first); !ok) return ok;
  // The larger database first: a lack of space should show before anything is of a new format.
  if (auto ok = second.adopt(); !ok) return ok;
  if (auto ok = first.adopt(); !ok) return ok;
  first.announced_ = second.database_->noted();
  second.announced_ = first.database_->noted();
  first.other_ = &second;
  second.other_ = &first;
  first.announce();
  second.announce();
  return {};
}

Result<void> NotedDatabase::check_noted_by(const NotedDatabase& other) const {
  const int64_t noted = other.database_->noted();
  if (database_->revision() >= noted) return {};
  const std::string& path = database_->path();
  return fail(ErrorCode::kCorrupt,
              fmt::format("{} went back: {} has noted its revision {}, and the last one in it is {}. What was committed in "
                          "between is missing: an older copy took its place, or {}-wal was cut off, damaged or replaced. {}",
                          path, other.database_->path(), noted, database_->revision(), path, database_remedy(path)));
}

Result<void> NotedDatabase::open_file(runtime::FileSystem& files, const std::string& path, const runtime::Clock* clock,
                                      ContentDamage* damage) {
  auto database = Database::open(
      files, path, {.cache_bytes = kind_.cache_bytes, .clock = clock, .schema = kind_.schema.c_str(), .damage = damage});
  if (!database) return std::unexpected(std::move(database.error()));
  database_ = std::move(*database);
  if (auto format = read_format(); !format) return std::unexpected(std::move(format.error()));
  return {};
}

Result<int64_t> NotedDatabase::read_format() {
  auto stored = database_->prepare(kind_.select_format);
  if (!stored) return std::unexpected(std::move(stored.error()));
  auto row = stored->step();
  if (!row) return std::unexpected(std::move(row.error()));
  const int64_t format = *row ? stored->integer(0) : 0;
  const std::string& path = database_->path();
  if (format > kind_.newest_format) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("{}: format {}, this version reads 1 to {}", path, format, kind_.newest_format));
  }
  if (format < 1 || (format <= kind_.last_unchecked_format) == database_->content_kept()) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} is damaged: it is not of the format {} that it names. {}", path, format, database_remedy(path)));
  }
  return format;
}

Result<void> NotedDatabase::adopt() {
  std::lock_guard lock(database_mutex_);
  if (auto done = database_->adopt(); !done) return done;
  auto from = read_format();
  if (!from) return std::unexpected(std::move(from.error()));
  if (*from == kind_.newest_format) return prepare();
  // In one transaction, so that a crash leaves the earlier format or the present one.
  if (auto done = database_->begin(); !done) return done;
  auto done = upgrade(*from);
  if (done) done = database_->keep_content();
  if (!done) {
    database_->rollback();
    return done;
  }
  if (done = database_->commit(); !done) return done;
  return prepare();
}

void NotedDatabase::announce() {
  int64_t revision = 0;
  {
    std::lock_guard lock(database_mutex_);
    revision = database_->revision();
    if (!other_ || announced_ >= revision) return;
  }
  if (auto noted = other_->note(revision); !noted) {
    log_warn("storage", "{}: the loss of its latest transactions would not be noticed until its next one is noted: {}",
             database_->path(), noted.error().message);
    return;
  }
  std::lock_guard lock(database_mutex_);
  announced_ = std::max(announced_, revision);
}

Result<void> NotedDatabase::note(int64_t revision) {
  std::lock_guard lock(database_mutex_);
  if (database_->noted() >= revision) return {};
  auto done = database_->note(revision);
  // The note is then certainly there, or certainly not there. Nobody waits for more.
  if (!done && database_->suspect()) (void)database_->resolve();
  return done;
}

}  // namespace weir::storage
