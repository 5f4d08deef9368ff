#include "storage/metadata/sqlite_meta_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

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
  if (auto done = table_.prepare(*database_); !done) return done;
  auto state = database_->prepare("SELECT revision FROM store");
  if (!state) return std::unexpected(std::move(state.error()));
  auto row = state->step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return fail(ErrorCode::kCorrupt, options_.path + ": the store row is missing");
  table_.begin(state->integer(0));
  feed_.begin(table_.revision());
  return {};
}

void SqliteMetaStore::transact(MetaTransaction transaction, runtime::Executor& reply_to,
                               Function<void(Result<MetaOutcome>)> done) {
  enqueue({&reply_to, TransactCall{std::move(transaction), std::move(done), {}}});
}

void SqliteMetaStore::range(MetaRangeRequest request, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) {
  enqueue({&reply_to, RangeCall{std::move(request), std::move(done), {}}});
}

std::unique_ptr<MetaWatch> SqliteMetaStore::watch(std::string prefix, int64_t from, runtime::Executor& reply_to,
                                                  Function<void(Result<MetaEvents>)> told) {
  return feed_.watch(std::move(prefix), from, reply_to, std::move(told));
}

Result<MetaOutcome> SqliteMetaStore::transact_blocking(MetaTransaction transaction) {
  std::vector<Call> calls;
  calls.push_back({nullptr, TransactCall{std::move(transaction), {}, {}}});
  run_group(calls);
  return std::move(std::get<TransactCall>(calls[0].work).result);
}

Result<MetaRange> SqliteMetaStore::range_blocking(MetaRangeRequest request) {
  std::vector<Call> calls;
  calls.push_back({nullptr, RangeCall{std::move(request), {}, {}}});
  run_group(calls);
  return std::move(std::get<RangeCall>(calls[0].work).result);
}

// --- groups ---------------------------------------------------------------------------------------------------------

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
  int64_t revision = 0;
  bool changed = false;
  {
    std::lock_guard lock(database_mutex_);
    const int64_t revision_before = table_.revision();
    table_.keep_leased();
    auto done = run_in_transaction(calls);
    if (!done) {
      table_.undo(revision_before);
      Error error = std::move(done.error());
      if (database_->suspect() && !database_->resolve()) error.code = ErrorCode::kUnknown;
      for (Call& call : calls) {
        std::visit([&](auto& work) { work.result = std::unexpected(error); }, call.work);
      }
      return;
    }
    table_.committed();
    revision = table_.revision();
    changed = revision != revision_before;
  }
  if (!changed) return;
  announce();
  feed_.publish(revision);
}

Result<void> SqliteMetaStore::run_in_transaction(std::vector<Call>& calls) {
  const int64_t revision_before = table_.revision();
  if (auto begun = database_->begin(); !begun) return begun;
  auto done = table_.end_leases(now_ns());
  for (size_t i = 0; done && i < calls.size(); ++i) done = run(calls[i]);
  if (done && table_.revision() != revision_before) done = table_.store_revision();
  if (done) return database_->commit();
  database_->rollback();
  return done;
}

// Returns errors of the database only. A caller's fault is in the call's result.
Result<void> SqliteMetaStore::run(Call& call) {
  if (auto* transact = std::get_if<TransactCall>(&call.work)) {
    transact->result = table_.transact(transact->transaction, now_ns());
    if (!transact->result && !MetaTable::refused(transact->result.error())) return std::unexpected(transact->result.error());
  } else if (auto* range = std::get_if<RangeCall>(&call.work)) {
    range->result = table_.range(range->request);
    if (!range->result && !MetaTable::refused(range->result.error())) return std::unexpected(range->result.error());
  }
  return {};
}

// --- leases ---------------------------------------------------------------------------------------------------------

void SqliteMetaStore::grant_lease(int64_t ttl_ms, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) {
  loop.post([this, alive = lifetime_.observe(), ttl_ms, &loop, done = std::move(done)]() mutable {
    if (!alive) return;
    if (options_.clock == nullptr) return done(fail(ErrorCode::kUnsupported, "no leases without a clock"));
    const MetaLease lease = leases_.grant(ttl_ms, now_ns());
    watch_lease(loop, lease.id);
    done(lease);
  });
}

void SqliteMetaStore::watch_lease(runtime::Loop& loop, int64_t lease) {
  const int64_t left_ns = leases_.left_ns(lease, now_ns());
  if (left_ns == 0) return enqueue({&loop, EndLeasesCall{[](Result<void>) {}, {}}});
  loop.schedule_after(left_ns, [this, alive = lifetime_.observe(), &loop, lease] {
    if (alive) watch_lease(loop, lease);
  });
}

void SqliteMetaStore::keep_alive(int64_t lease, runtime::Loop& loop, Function<void(Result<MetaLease>)> done) {
  loop.post([done = std::move(done), result = leases_.keep_alive(lease, now_ns())]() mutable { done(std::move(result)); });
}

void SqliteMetaStore::revoke_lease(int64_t lease, runtime::Loop& loop, Function<void(Result<void>)> done) {
  leases_.revoke(lease);
  enqueue({&loop, EndLeasesCall{std::move(done), {}}});
}

// --- entries --------------------------------------------------------------------------------------------------------

Result<void> SqliteMetaStore::Table::prepare(Database& database) {
  const std::pair<Statement*, const char*> statements[] = {
      {&get_, "SELECT value, create_revision, mod_revision FROM entries WHERE key = ?1"},
      {&put_,
       "INSERT INTO entries VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET value = ?2, create_revision = ?3, "
       "mod_revision = ?4"},
      {&remove_, "DELETE FROM entries WHERE key = ?1"},
      {&scan_,
       "SELECT key, value, create_revision, mod_revision FROM entries WHERE key >= ?1 AND key < ?3 ORDER BY key LIMIT ?2"},
      {&scan_from_, "SELECT key, value, create_revision, mod_revision FROM entries WHERE key >= ?1 ORDER BY key LIMIT ?2"},
      {&set_revision_, "UPDATE store SET revision = ?1"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = database.prepare(sql);
    if (!prepared) return std::unexpected(std::move(prepared.error()));
    *statement = std::move(*prepared);
  }
  return {};
}

void SqliteMetaStore::Table::undo(int64_t revision) {
  leased_ = std::move(leased_before_);
  undone(revision);
}

Result<std::optional<MetaEntry>> SqliteMetaStore::Table::find(const std::string& key) {
  if (const auto found = leased_.find(key); found != leased_.end()) return found->second;
  auto row = get_.bind(1, as_bytes(key)).step();
  if (!row) return std::unexpected(std::move(row.error()));
  std::optional<MetaEntry> entry;
  if (*row) entry = MetaEntry{key, text(get_.blob(0)), get_.integer(1), get_.integer(2)};
  get_.reset();
  return entry;
}

Result<void> SqliteMetaStore::Table::put(const MetaEntry& entry) {
  if (entry.lease != 0) {
    leased_.insert_or_assign(entry.key, entry);
    return remove_.bind(1, as_bytes(entry.key)).run();
  }
  leased_.erase(entry.key);
  return put_.bind(1, as_bytes(entry.key))
      .bind(2, as_bytes(entry.value))
      .bind(3, entry.create_revision)
      .bind(4, entry.mod_revision)
      .run();
}

Result<void> SqliteMetaStore::Table::erase(const MetaEntry& entry) {
  if (leased_.erase(entry.key) > 0) return {};
  return remove_.bind(1, as_bytes(entry.key)).run();
}

Result<std::vector<MetaEntry>> SqliteMetaStore::Table::scan(const std::string& first, const std::string& end, size_t limit) {
  std::vector<MetaEntry> found;
  Statement& scan = end.empty() ? scan_from_ : scan_;
  scan.bind(1, as_bytes(first)).bind(2, limit == 0 ? int64_t{-1} : static_cast<int64_t>(limit));
  if (!end.empty()) scan.bind(3, as_bytes(end));
  while (true) {
    auto row = scan.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) break;
    found.push_back({text(scan.blob(0)), text(scan.blob(1)), scan.integer(2), scan.integer(3)});
  }
  scan.reset();
  const size_t stored = found.size();
  for (auto at = leased_.lower_bound(first); at != leased_.end() && (end.empty() || at->first < end); ++at) {
    found.push_back(at->second);
  }
  if (found.size() > stored) std::ranges::sort(found, {}, &MetaEntry::key);
  if (limit != 0 && found.size() > limit) found.resize(limit);
  return found;
}

std::vector<MetaEntry> SqliteMetaStore::Table::leased() const {
  std::vector<MetaEntry> entries;
  for (const auto& [key, entry] : leased_) entries.push_back(entry);
  return entries;
}

}  // namespace weir::storage
