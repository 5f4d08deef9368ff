#include "storage/metadata/sqlite_meta_store.h"

#include <fmt/format.h>

#include <utility>

#include "storage/metadata/meta_rules.h"

namespace weir::storage {

namespace {

constexpr int64_t kFormat = 2;
constexpr int64_t kLastUncheckedFormat = 1;

// `store` has one row. WITHOUT ROWID: the entries live in the key's own tree.
constexpr const char* kTables =
    "CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, revision INTEGER NOT NULL,"
    " hash INTEGER NOT NULL AS (row_hash('store', id, format, revision)) STORED);"
    "CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, create_revision INTEGER NOT NULL,"
    " mod_revision INTEGER NOT NULL, hash INTEGER NOT NULL AS (row_hash('entries', key, value, create_revision,"
    " mod_revision)) STORED) WITHOUT ROWID;";
constexpr const char* kFirstRow = "INSERT INTO store VALUES (1, 2, 1);";

std::string text(Bytes bytes) { return std::string(as_string(bytes)); }

}  // namespace

SqliteMetaStore::SqliteMetaStore(runtime::Pool& pool, Options options)
    : NotedDatabase({.schema = std::string(kTables) + kFirstRow,
                     .select_format = "SELECT format FROM store",
                     .newest_format = kFormat,
                     .last_unchecked_format = kLastUncheckedFormat}),
      pool_(pool),
      options_(std::move(options)) {}

Result<std::unique_ptr<SqliteMetaStore>> SqliteMetaStore::open(runtime::FileSystem& files, runtime::Pool& pool, Options options) {
  std::unique_ptr<SqliteMetaStore> store(new SqliteMetaStore(pool, std::move(options)));
  auto done = store->open_file(files, store->options_.path, store->options_.clock);
  if (done && !store->options_.paired) done = store->adopt();
  if (!done) return std::unexpected(std::move(done.error()));
  return store;
}

Result<void> SqliteMetaStore::upgrade(int64_t) {
  auto done = database_->rebuild({"store", "entries"}, kTables);
  return done ? database_->execute("UPDATE store SET format = 2") : done;
}

Result<void> SqliteMetaStore::prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&get_, "SELECT value, create_revision, mod_revision FROM entries WHERE key = ?1"},
      {&put_,
       "INSERT INTO entries VALUES (?1, ?2, ?3, ?3) ON CONFLICT (key) DO UPDATE SET value = ?2, mod_revision "
       "= ?3"},
      {&remove_, "DELETE FROM entries WHERE key = ?1"},
      {&remove_range_, "DELETE FROM entries WHERE key >= ?1 AND key < ?2"},
      {&remove_from_, "DELETE FROM entries WHERE key >= ?1"},
      {&scan_,
       "SELECT key, value, create_revision, mod_revision FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY "
       "key"},
      {&scan_from_, "SELECT key, value, create_revision, mod_revision FROM entries WHERE key >= ?1 ORDER BY key"},
      {&set_revision_, "UPDATE store SET revision = ?1"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = database_->prepare(sql);
    if (!prepared) return std::unexpected(std::move(prepared.error()));
    *statement = std::move(*prepared);
  }
  auto state = database_->prepare("SELECT revision FROM store");
  if (!state) return std::unexpected(std::move(state.error()));
  auto row = state->step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return fail(ErrorCode::kCorrupt, options_.path + ": the store row is missing");
  revision_ = state->integer(0);
  return {};
}

void SqliteMetaStore::transact(MetaTransaction transaction, runtime::Executor& reply_to,
                               Function<void(Result<MetaOutcome>)> done) {
  enqueue({&reply_to, TransactCall{std::move(transaction), std::move(done), {}}});
}

void SqliteMetaStore::range(std::string prefix, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) {
  enqueue({&reply_to, RangeCall{std::move(prefix), std::move(done), {}}});
}

Result<MetaOutcome> SqliteMetaStore::transact_blocking(MetaTransaction transaction) {
  std::vector<Call> calls;
  calls.push_back({nullptr, TransactCall{std::move(transaction), {}, {}}});
  run_group(calls);
  return std::move(std::get<TransactCall>(calls[0].work).result);
}

Result<MetaRange> SqliteMetaStore::range_blocking(std::string prefix) {
  std::vector<Call> calls;
  calls.push_back({nullptr, RangeCall{std::move(prefix), {}, {}}});
  run_group(calls);
  return std::move(std::get<RangeCall>(calls[0].work).result);
}

void SqliteMetaStore::enqueue(Call call) {
  runtime::Executor& reply_to = *call.reply_to;
  {
    std::lock_guard lock(queue_mutex_);
    queue_.push_back(std::move(call));
    if (std::exchange(drain_submitted_, true)) return;
  }
  pool_.submit([this] { drain(); }, reply_to, [] {}, options_.ordering_key);
}

void SqliteMetaStore::drain() {
  std::vector<Call> calls;
  {
    std::lock_guard lock(queue_mutex_);
    calls.swap(queue_);
    drain_submitted_ = false;
  }
  run_group(calls);
  for (Call& call : calls) {
    std::visit(
        [&](auto& work) {
          call.reply_to->post(
              [done = std::move(work.done), result = std::move(work.result)]() mutable { done(std::move(result)); });
        },
        call.work);
  }
}

void SqliteMetaStore::run_group(std::vector<Call>& calls) {
  bool changed = false;
  {
    std::lock_guard lock(database_mutex_);
    const int64_t revision_before = revision_;
    auto done = run_in_transaction(calls);
    if (!done) {
      revision_ = revision_before;
      Error error = std::move(done.error());
      if (database_->suspect() && !database_->resolve()) error.code = ErrorCode::kUnknown;
      for (Call& call : calls) {
        std::visit([&](auto& work) { work.result = std::unexpected(error); }, call.work);
      }
      return;
    }
    changed = revision_ != revision_before;
  }
  if (changed) announce();
}

Result<void> SqliteMetaStore::run_in_transaction(std::vector<Call>& calls) {
  const int64_t revision_before = revision_;
  if (auto begun = database_->begin(); !begun) return begun;
  for (Call& call : calls) {
    std::optional<Error> failure;
    if (auto* transact = std::get_if<TransactCall>(&call.work)) {
      if (auto valid = check_transaction(transact->transaction); !valid) {
        transact->result = std::unexpected(std::move(valid.error()));
        continue;
      }
      transact->result = apply(transact->transaction);
      if (!transact->result) failure = transact->result.error();
    } else {
      auto& range = std::get<RangeCall>(call.work);
      range.result = read(range.prefix);
      if (!range.result) failure = range.result.error();
    }
    if (failure) {
      database_->rollback();
      return std::unexpected(std::move(*failure));
    }
  }
  if (revision_ != revision_before) {
    if (auto stored = set_revision_.bind(1, revision_).run(); !stored) {
      database_->rollback();
      return stored;
    }
  }
  return database_->commit();
}

Result<MetaOutcome> SqliteMetaStore::apply(const MetaTransaction& transaction) {
  for (const MetaCompare& compare : transaction.compares) {
    auto held = holds(compare);
    if (!held) return std::unexpected(std::move(held.error()));
    if (!*held) return MetaOutcome{false, revision_};
  }
  const int64_t revision = revision_ + 1;
  int64_t changes = 0;
  for (const MetaOperation& operation : transaction.operations) {
    auto changed = apply(operation, revision);
    if (!changed) return std::unexpected(std::move(changed.error()));
    changes += *changed;
  }
  if (changes > 0) revision_ = revision;
  return MetaOutcome{true, revision_};
}

Result<bool> SqliteMetaStore::holds(const MetaCompare& compare) {
  auto row = get_.bind(1, as_bytes(compare.key)).step();
  if (!row) return row;
  bool held = true;
  if (compare.mod_revision) held = (*row ? get_.integer(2) : 0) == *compare.mod_revision;
  if (held && compare.value) held = *row && as_string(get_.blob(0)) == *compare.value;
  get_.reset();
  return held;
}

Result<int64_t> SqliteMetaStore::apply(const MetaOperation& operation, int64_t revision) {
  Result<void> done;
  switch (operation.kind) {
    case MetaOperation::Kind::kPut:
      done = put_.bind(1, as_bytes(operation.key)).bind(2, as_bytes(operation.value)).bind(3, revision).run();
      break;
    case MetaOperation::Kind::kDelete:
      done = remove_.bind(1, as_bytes(operation.key)).run();
      break;
    case MetaOperation::Kind::kDeletePrefix: {
      const std::string end = prefix_end(operation.key);
      done = end.empty() ? remove_from_.bind(1, as_bytes(operation.key)).run()
                         : remove_range_.bind(1, as_bytes(operation.key)).bind(2, as_bytes(end)).run();
      break;
    }
  }
  if (!done) return std::unexpected(std::move(done.error()));
  return database_->changes();
}

Result<MetaRange> SqliteMetaStore::read(const std::string& prefix) {
  MetaRange range;
  range.revision = revision_;
  const std::string end = prefix_end(prefix);
  Statement& scan = end.empty() ? scan_from_ : scan_;
  scan.bind(1, as_bytes(prefix));
  if (!end.empty()) scan.bind(2, as_bytes(end));
  while (true) {
    auto row = scan.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) break;
    range.entries.push_back({text(scan.blob(0)), text(scan.blob(1)), scan.integer(2), scan.integer(3)});
  }
  scan.reset();
  return range;
}

}  // namespace weir::storage
