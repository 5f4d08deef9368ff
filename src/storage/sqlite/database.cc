#include "storage/sqlite/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/paths.h"
#include "storage/sqlite/log_check.h"

namespace weir::storage {

namespace {

std::string log_of(const std::string& path) { return path + "-wal"; }

std::string mark_of(const std::string& path) { return path + "-wal-in-use"; }

struct Meaning {
  ErrorCode kind;
  const char* remedy;  // null: that of a damaged database
};

Meaning meaning_of(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {ErrorCode::kNoSpace, "The disk is full: make room"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // our statements are right: a schema or a format that is not
      return {ErrorCode::kCorrupt, nullptr};
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return {ErrorCode::kIo, "Check that this user may read and write the file and its folder"};
    case SQLITE_NOMEM:
      return {ErrorCode::kIo, "There is too little memory"};
    case SQLITE_IOERR:
      return {ErrorCode::kIo, "Check the disk"};
    default:
      return {ErrorCode::kIo, "Check the disk, and weir log verify"};
  }
}

// SQLite takes an empty file for a new database and removes its write-ahead log.
Result<void> check_header(runtime::FileSystem& files, const std::string& path) {
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  auto file = files.open(path, {});
  if (!file) return std::unexpected(std::move(file.error()));
  uint8_t header[512] = {};
  auto got = (*file)->read_at(0, header);
  if (!got) return std::unexpected(std::move(got.error()));
  // For versions of the format that SQLite does not know it would let us read, and fail when we write. 1: a program of
  // SQLite has switched the write-ahead log off.
  const bool versions = header[18] == header[19] && (header[18] == 1 || header[18] == 2);
  if (*got == sizeof header && versions && as_string(Bytes(header).first(kMagic.size())) == kMagic) return {};
  return fail(ErrorCode::kCorrupt,
              fmt::format("{} is damaged: it does not begin as a database does. {}", path, database_remedy(path)));
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)), statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(database_, other.database_);
  std::swap(statement_, other.statement_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int parameter, int64_t value) {
  WEIR_CHECK(sqlite3_bind_int64(statement_, parameter, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int parameter, Bytes blob) {
  // A null pointer would bind NULL instead of an empty blob.
  const void* data = blob.empty() ? static_cast<const void*>("") : blob.data();
  WEIR_CHECK(sqlite3_bind_blob64(statement_, parameter, data, blob.size(), SQLITE_STATIC) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto failure = database_->error(code, sqlite3_sql(statement_));
  sqlite3_reset(statement_);
  return failure;
}

void Statement::reset() { sqlite3_reset(statement_); }

Result<void> Statement::run() {
  auto row = step();
  if (!row) return std::unexpected(std::move(row.error()));
  reset();
  return {};
}

int Statement::columns() const { return sqlite3_column_count(statement_); }

int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

Bytes Statement::blob(int column) const {
  const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return {data, data ? static_cast<size_t>(size) : 0};
}

Result<std::unique_ptr<Database>> Database::open(runtime::FileSystem& files, const std::string& path, Options options) {
  auto exists = files.exists(path);
  if (!exists) return std::unexpected(std::move(exists.error()));
  auto marked = files.exists(mark_of(path));
  if (!marked) return std::unexpected(std::move(marked.error()));
  if (*marked && !*exists) {
    return fail(ErrorCode::kCorrupt, fmt::format("{} is gone, though {} was in use when the process ended. {}", path,
                                                 log_of(path), database_remedy(path)));
  }
  if (!*exists) {
    if (auto done = create(files, path, options); !done) return std::unexpected(std::move(done.error()));
  }
  if (auto done = check_header(files, path); !done) return std::unexpected(std::move(done.error()));
  auto holds = check_sqlite_log(files, log_of(path));
  if (!holds) return std::unexpected(std::move(holds.error()));
  if (*marked && !*holds) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} is gone or empty, though it held committed transactions when the process ended. Bring it "
                            "back. If a program of SQLite has moved them into {} meanwhile, nothing is lost: remove {} and "
                            "start again",
                            log_of(path), path, mark_of(path)));
  }
  auto database = connect(files, path, options, "FULL", true);
  if (!database) return database;
  (*database)->log_marked_ = *marked;
  // A killed process leaves commits that are visible, though they may not be on the device. adopt() makes them durable.
  (*database)->suspect_ = *holds;
  if (auto done = (*database)->content_->check(options.damage); !done) return std::unexpected(std::move(done.error()));
  return database;
}

// SQLite would sync nine times on its way from nothing to a schema. This builds the file under another name without any sync,
// then syncs and renames it.
Result<void> Database::create(runtime::FileSystem& files, const std::string& path, const Options& options) {
  const std::string folder = parent_of(path);
  const std::string draft = path + ".new";
  bool removed = false;
  // A write-ahead log without its database would be applied to the new one.
  for (const std::string& name : {path + "-wal", draft, draft + "-wal", draft + "-journal"}) {
    auto gone = files.remove(name);
    if (!gone && gone.error().code != ErrorCode::kNotFound) return gone;
    removed |= gone.has_value();
  }
  if (removed) {
    if (auto done = files.sync_directory(folder); !done) return done;
  }
  {
    auto database = connect(files, draft, options, "OFF", false);
    if (!database) return std::unexpected(std::move(database.error()));
    if (auto done = (*database)->begin(); !done) return done;
    if (auto done = (*database)->execute(options.schema); !done) return done;
    if (auto done = (*database)->keep_content(); !done) return done;
    if (auto done = (*database)->commit(); !done) return done;
  }
  // Closing moves the log into the file and removes it.
  auto left = files.exists(draft + "-wal");
  if (!left) return std::unexpected(std::move(left.error()));
  if (*left) return fail(ErrorCode::kIo, draft + ": the new database could not be completed");
  auto file = files.open(draft, {.write = true});
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto done = (*file)->sync(); !done) return done;
  if (auto done = files.rename(draft, path); !done) return done;
  return files.sync_directory(folder);
}

Result<std::unique_ptr<Database>> Database::connect(runtime::FileSystem& files, const std::string& path, const Options& options,
                                                    const char* synchronous, bool keep_log) {
  std::unique_ptr<Database> database(new Database(files, path));
  database->vfs_ = std::make_unique<FileSystemVfs>(files, options.clock, keep_log);
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &database->handle_, flags, database->vfs_->name());
  if (code != SQLITE_OK) return database->error(code, "open");
  database->content_ = std::make_unique<DatabaseContent>(database->handle_, path);
  if (auto done = database->configure(options, synchronous); !done) return std::unexpected(std::move(done.error()));
  return database;
}

Result<void> Database::configure(const Options& options, const char* synchronous) {
  sqlite3_extended_result_codes(handle_, 1);
  // SQLite's own allocator of small objects: 64 KB are enough for our few statements.
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 512, 128);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // Exclusive locking before the first access: the index of the write-ahead log then lives on the heap.
  const std::string pragmas = fmt::format(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{}; PRAGMA synchronous={};"
      "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=1000; PRAGMA cell_size_check=ON;",
      std::max<size_t>(options.cache_bytes / 1024, 64), synchronous);
  if (auto done = execute(pragmas.c_str()); !done) return done;
  auto mode = prepare("PRAGMA journal_mode");
  if (!mode) return std::unexpected(std::move(mode.error()));
  auto row = mode->step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || as_string(mode->blob(0)) != "wal") {
    return fail(ErrorCode::kUnsupported, fmt::format("{}: SQLite refused its write-ahead log", path_));
  }
  return {};
}

Database::~Database() {
  if (!handle_) return;
  // Moves the write-ahead log into the database and empties it. If that fails, the next begin() does it.
  if (!adopted_ || (log_marked_ && !resolve())) sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  content_.reset();
  WEIR_CHECK(sqlite3_close(handle_) == SQLITE_OK);
}

std::unexpected<Error> Database::error(int code, std::string_view what) {
  Error cause = vfs_->last_error();
  vfs_->clear_error();
  const auto [kind, remedy] = meaning_of(code);
  std::string message =
      fmt::format("{}: {} (SQLite {}: {})", path_, handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code), code, what);
  if (!cause.message.empty()) message += ": " + cause.message;
  return fail(kind, message + ". " + (remedy ? remedy : database_remedy(path_)), cause.os_errno);
}

Result<void> Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code, sql);
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return error(code, sql);
  return Statement(this, statement);
}

// The log of a killed process is visible. But if a sync had failed before, the device may lack parts of it, and no later sync
// brings them there: only bytes that are written again reach the device. A log copied into the database before it is safe could
// leave pages of two times.
Result<void> Database::write_log_again() {
  auto log = files_.open(log_of(path_), {.write = true});
  if (!log) return std::unexpected(std::move(log.error()));
  std::vector<uint8_t> piece(1 << 20);
  for (uint64_t at = 0;;) {
    auto got = (*log)->read_at(at, piece);
    if (!got) return std::unexpected(std::move(got.error()));
    if (*got == 0) return (*log)->sync();
    if (auto done = (*log)->write_at(at, Bytes(piece).first(*got)); !done) return done;
    at += *got;
  }
}

Result<void> Database::adopt() {
  if (!adopted_ && suspect_) {
    if (auto done = write_log_again(); !done) return done;
  }
  if (suspect_) {
    if (auto done = resolve(); !done) return done;
  }
  adopted_ = true;
  return {};
}

Result<void> Database::begin() {
  if (auto done = adopt(); !done) return done;
  return execute("BEGIN IMMEDIATE");
}

Result<void> Database::commit() {
  auto done = content_->put_changes();
  if (!done) {
    rollback();
    return done;
  }
  done = execute("COMMIT");
  if (done) content_->committed();
  if (done && !log_marked_ && vfs_->log_in_use()) mark_log();
  if (done) return done;
  suspect_ = true;
  rollback();
  return done;
}

void Database::rollback() {
  if (!sqlite3_get_autocommit(handle_)) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  content_->rolled_back();
}

Result<void> Database::rebuild(std::initializer_list<const char*> tables, const char* schema) {
  for (const char* table : tables) {
    if (auto done = execute(fmt::format("ALTER TABLE {} RENAME TO earlier_{}", table, table).c_str()); !done) return done;
  }
  if (auto done = execute(schema); !done) return done;
  for (const char* table : tables) {
    const std::string moved = fmt::format("INSERT INTO {} SELECT * FROM earlier_{}; DROP TABLE earlier_{}", table, table, table);
    if (auto done = execute(moved.c_str()); !done) return done;
  }
  return {};
}

Result<void> Database::note(int64_t revision) {
  if (auto begun = begin(); !begun) return begun;
  content_->set_noted(revision);
  return commit();
}

// After the first commit, before the next one: from now on the log must be there.
void Database::mark_log() {
  log_marked_ = true;
  auto mark = files_.open(mark_of(path_), {.write = true, .create = true});
  Result<void> done;
  if (!mark) done = std::unexpected(mark.error());
  if (done) done = (*mark)->write_at(0, as_bytes("While this file is here, the one ending in -wal holds transactions.\n"));
  if (done) done = files_.sync_directory(parent_of(path_));
  if (!done) log_warn("storage", "{}: loss of its write-ahead log would not be noticed: {}", path_, done.error().message);
}

Result<void> Database::unmark_log() {
  if (!log_marked_) return {};
  auto removed = files_.remove(mark_of(path_));
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  if (auto synced = files_.sync_directory(parent_of(path_)); !synced) return synced;
  log_marked_ = false;
  return {};
}

Result<void> Database::resolve() {
  // Copies every committed page into the database and syncs it. Then removes the mark. Then empties the write-ahead log, with the
  // remains of a failed transaction in it.
  const int copied = sqlite3_wal_checkpoint_v2(handle_, nullptr, SQLITE_CHECKPOINT_FULL, nullptr, nullptr);
  if (copied != SQLITE_OK) return error(copied, "copying the write-ahead log");
  if (auto done = unmark_log(); !done) return done;
  const int code = sqlite3_wal_checkpoint_v2(handle_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code, "emptying the write-ahead log");
  suspect_ = false;
  return {};
}

int64_t Database::changes() const { return sqlite3_changes64(handle_); }

}  // namespace weir::storage
