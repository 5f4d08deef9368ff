#include "storage/sqlite/content.h"

#include <fmt/format.h>
#define SQLITE_ENABLE_PREUPDATE_HOOK  // if SQLite was built without it, the linker says so
#include <sqlite3.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"

namespace weir::storage {

namespace {

constexpr const char* kContentTable = "content";
constexpr const char* kHashColumn = "hash";
constexpr const char* kSchema =
    "CREATE TABLE content (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, sum INTEGER NOT NULL,"
    " noted INTEGER NOT NULL, hash INTEGER NOT NULL AS (row_hash('content', id, revision, sum, noted)) STORED);"
    "INSERT INTO content VALUES (1, 0, 0, 0)";

// FNV-1a. Each of its steps is one-to-one, so a single changed byte always shows. The hashes of rows are added up, so the order
// of changes does not matter. The mixing at the end keeps sums of similar rows apart.
class Hash {
 public:
  Hash& add(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    for (size_t i = 0; i < size; ++i) state_ = (state_ ^ bytes[i]) * 0x100000001b3ull;
    return *this;
  }
  template <typename T>
  Hash& add(T value) {
    uint8_t bytes[sizeof(T)];
    store_be(bytes, value);
    return add(bytes, sizeof bytes);
  }
  Hash& add(sqlite3_value* value) {
    const int type = sqlite3_value_type(value);
    add(static_cast<uint8_t>(type));
    if (type == SQLITE_NULL) return *this;
    if (type == SQLITE_INTEGER) return add(static_cast<int64_t>(sqlite3_value_int64(value)));
    const void* data = sqlite3_value_blob(value);
    const int size = sqlite3_value_bytes(value);
    add(static_cast<uint32_t>(size));
    return add(data, static_cast<size_t>(size));
  }
  uint64_t value() const {
    uint64_t h = state_;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
    return h ^ (h >> 31);
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325ull;
};

Hash hash_of(std::string_view table) {
  Hash hash;
  hash.add(static_cast<uint8_t>(SQLITE_TEXT)).add(static_cast<uint32_t>(table.size())).add(table.data(), table.size());
  return hash;
}

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Query = std::unique_ptr<sqlite3_stmt, Finalize>;

std::string text_of(sqlite3_stmt* row, int column) {
  const void* data = sqlite3_column_blob(row, column);
  return {static_cast<const char*>(data), data ? static_cast<size_t>(sqlite3_column_bytes(row, column)) : 0};
}

// A value for people: keys of the metadata are text, though the table has them as bytes.
std::string readable(sqlite3_stmt* row, int column) {
  if (sqlite3_column_type(row, column) == SQLITE_INTEGER) return std::to_string(sqlite3_column_int64(row, column));
  constexpr size_t kShown = 100;
  const std::string value = text_of(row, column).substr(0, kShown);
  if (std::ranges::all_of(value, [](char c) { return c > ' ' && c < 127; })) return value;
  std::string hex = "x'";
  for (const char c : value) hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
  return hex + "'";
}

// Names a row by the columns of its primary key.
std::string name_of(sqlite3* handle, const std::string& table, sqlite3_stmt* row) {
  std::string name;
  for (int i = 0; i < sqlite3_column_count(row); ++i) {
    int of_key = 0;
    sqlite3_table_column_metadata(handle, "main", table.c_str(), sqlite3_column_name(row, i), nullptr, nullptr, nullptr, &of_key,
                                  nullptr);
    if (of_key == 0) continue;
    name += fmt::format("{}{} {}", name.empty() ? "" : ", ", sqlite3_column_name(row, i), readable(row, i));
  }
  return name.empty() ? "the only one" : name;
}

}  // namespace

struct ContentCalls {
  static void row_hash(sqlite3_context* context, int count, sqlite3_value** values) {
    Hash hash;
    for (int i = 0; i < count; ++i) hash.add(values[i]);
    sqlite3_result_int64(context, static_cast<int64_t>(hash.value()));
  }

  // SQLite calls this before a row changes.
  static void changes(void* self, sqlite3* handle, int operation, const char*, const char* table, sqlite3_int64, sqlite3_int64) {
    auto& content = *static_cast<DatabaseContent*>(self);
    if (!content.kept_ || std::string_view(table) == kContentTable) return;
    if (content.current_.revision == content.committed_.revision) ++content.current_.revision;
    if (operation != SQLITE_INSERT) content.current_.sum -= content.sum_of_row(handle, table, sqlite3_preupdate_old);
    if (operation != SQLITE_DELETE) content.current_.sum += content.sum_of_row(handle, table, sqlite3_preupdate_new);
  }
};

// The disk may fail while SQLite reads the rest of a long row. Then the transaction fails as well.
uint64_t DatabaseContent::sum_of_row(sqlite3* handle, const char* table, int (*value_of)(sqlite3*, int, sqlite3_value**)) {
  Hash hash = hash_of(table);
  for (int i = 0; i < sqlite3_preupdate_count(handle); ++i) {
    sqlite3_value* value = nullptr;
    if (value_of(handle, i, &value) != SQLITE_OK || value == nullptr) unreadable_ = true;
    else hash.add(value);
  }
  return hash.value();
}

struct DatabaseContent::Found {
  uint64_t sum = 0;
  bool has_content = false;
  State stored;
};

DatabaseContent::DatabaseContent(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {
  // INNOCUOUS: the function may stand in a schema.
  const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  WEIR_CHECK(sqlite3_create_function_v2(handle_, "row_hash", -1, flags, nullptr, ContentCalls::row_hash, nullptr, nullptr,
                                        nullptr) == SQLITE_OK);
  sqlite3_preupdate_hook(handle_, ContentCalls::changes, this);
}

DatabaseContent::~DatabaseContent() { sqlite3_preupdate_hook(handle_, nullptr, nullptr); }

Result<void> DatabaseContent::check(ContentDamage* damage) {
  auto found = read_all(damage);
  if (!found) return std::unexpected(std::move(found.error()));
  if (auto done = check_pages(); !done) return done;
  kept_ = found->has_content;
  if (!kept_) return {};
  committed_ = current_ = found->stored;
  damaged_ = damage && !damage->rows.empty();
  if (found->sum == found->stored.sum) return {};
  damaged_ = true;
  auto error = damaged(
      "its rows are not those that were committed last: some are missing, or of another time. Were the file and "
      "its -wal copied at different times?");
  if (!damage) return error;
  if (damage->rows.empty()) damage->whole = error.error().message;
  committed_.sum = current_.sum = found->sum;
  return {};
}

Result<void> DatabaseContent::check_pages() {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(handle_, "PRAGMA integrity_check(1)", -1, &prepared, nullptr) != SQLITE_OK) return failed("its pages");
  const Query query(prepared);
  if (sqlite3_step(prepared) != SQLITE_ROW) return failed("its pages");
  const std::string told = text_of(prepared, 0);
  if (told == "ok") return {};
  return damaged(told);
}

Result<DatabaseContent::Found> DatabaseContent::read_all(ContentDamage* damage) {
  Found found;
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(handle_, "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema", -1, &prepared, nullptr) !=
      SQLITE_OK) {
    return failed("its schema");
  }
  const Query query(prepared);
  std::vector<std::string> tables;
  int code = 0;
  while ((code = sqlite3_step(prepared)) == SQLITE_ROW) {
    Hash hash = hash_of("sqlite_schema");
    for (int i = 0; i < sqlite3_column_count(prepared); ++i) hash.add(sqlite3_column_value(prepared, i));
    found.sum += hash.value();
    if (text_of(prepared, 0) == "table") tables.push_back(text_of(prepared, 1));
  }
  if (code != SQLITE_DONE) return failed("its schema");
  for (const std::string& table : tables) {
    if (auto done = read_table(table, found, damage); !done) return std::unexpected(std::move(done.error()));
  }
  return found;
}

Result<void> DatabaseContent::read_table(const std::string& table, Found& found, ContentDamage* damage) {
  sqlite3_stmt* prepared = nullptr;
  const std::string sql = fmt::format("SELECT * FROM \"{}\"", table);
  if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &prepared, nullptr) != SQLITE_OK) return failed("table " + table);
  const Query query(prepared);
  const int count = sqlite3_column_count(prepared);
  const bool hashed = count > 0 && std::string_view(sqlite3_column_name(prepared, count - 1)) == kHashColumn;
  int code = 0;
  while ((code = sqlite3_step(prepared)) == SQLITE_ROW) {
    Hash hash = hash_of(table);
    for (int i = 0; i < count; ++i) {
      if (i == count - 1 && hashed && static_cast<uint64_t>(sqlite3_column_int64(prepared, i)) != hash.value()) {
        auto error =
            damaged(fmt::format("a row of table {} ({}) is not as it was written", table, name_of(handle_, table, prepared)));
        if (!damage || table == kContentTable) return error;
        damage->rows.push_back({table, sqlite3_column_int64(prepared, 0), error.error().message});
      }
      hash.add(sqlite3_column_value(prepared, i));
    }
    if (table != kContentTable) {
      found.sum += hash.value();
      continue;
    }
    found.has_content = true;
    found.stored = {sqlite3_column_int64(prepared, 1), static_cast<uint64_t>(sqlite3_column_int64(prepared, 2)),
                    sqlite3_column_int64(prepared, 3), 0};
  }
  if (code != SQLITE_DONE) return failed("table " + table);
  if (table == kContentTable && !found.has_content) return damaged("its table content is empty");
  return {};
}

Result<void> DatabaseContent::keep() {
  if (!kept_ && sqlite3_exec(handle_, kSchema, nullptr, nullptr, nullptr) != SQLITE_OK) return failed("the table content");
  ContentDamage known;
  auto found = read_all(damaged_ ? &known : nullptr);
  if (!found) return std::unexpected(std::move(found.error()));
  const uint64_t wrong_by = damaged_ ? 1 : 0;
  current_ = {committed_.revision + 1, found->sum + wrong_by, committed_.noted, wrong_by};
  kept_ = true;
  return put_changes();
}

void DatabaseContent::mend(int64_t revision) {
  current_.revision = std::max({revision, current_.revision, committed_.revision + 1});
  current_.sum -= std::exchange(current_.wrong_by, 0);
}

Result<void> DatabaseContent::put_changes() {
  if (unreadable_) return fail(ErrorCode::kIo, path_ + ": a row that changes cannot be read");
  if (!kept_ || current_ == committed_) return {};
  constexpr const char* kUpdate = "UPDATE content SET revision = ?1, sum = ?2, noted = ?3";
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(handle_, kUpdate, -1, &prepared, nullptr) != SQLITE_OK) return failed("the table content");
  const Query query(prepared);
  sqlite3_bind_int64(prepared, 1, current_.revision);
  sqlite3_bind_int64(prepared, 2, static_cast<int64_t>(current_.sum));
  sqlite3_bind_int64(prepared, 3, current_.noted);
  if (sqlite3_step(prepared) != SQLITE_DONE) return failed("the table content");
  return {};
}

// Tells by SQLite's error whether the disk failed or the database is damaged.
std::unexpected<Error> DatabaseContent::failed(const std::string& what) const {
  const std::string told = fmt::format("{} ({})", sqlite3_errmsg(handle_), what);
  switch (sqlite3_errcode(handle_) & 0xff) {
    case SQLITE_FULL:
      return fail(ErrorCode::kNoSpace, fmt::format("{}: {}", path_, told));
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_CANTOPEN:
      return fail(ErrorCode::kIo, fmt::format("{}: {}", path_, told));
    default:
      return damaged(told);
  }
}

std::unexpected<Error> DatabaseContent::damaged(const std::string& what) const {
  return fail(ErrorCode::kCorrupt, fmt::format("{} is damaged: {}. {}", path_, what, database_remedy(path_)));
}

std::string database_remedy(const std::string& path) {
  return fmt::format(
      "Nothing was changed. Bring back {} and {}-wal as they were when the broker last ran. An older copy of "
      "them alone will not do: if there is none but that, bring back the whole folder from one copy",
      path, path);
}

}  // namespace weir::storage
