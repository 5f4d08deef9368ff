// For tests of the contract of MetaStore: a store of each backend on a simulated machine. A new backend is one more row.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/metadata/memory_meta_store.h"
#include "storage/metadata/sqlite_meta_store.h"
#include "testing/manual_loop.h"

namespace weir::storage {

struct MetaBackend {
  const char* name;
  std::unique_ptr<MetaStore> (*open)(weir::testing::ManualLoop& world);
  void (*compact)(MetaStore& store);  // all revisions up to now
};

inline std::unique_ptr<MetaStore> open_sqlite_store(weir::testing::ManualLoop& world) {
  auto opened = SqliteMetaStore::open(world.files(), world.pool(), {.path = "/data/meta.db", .clock = &world.clock()});
  EXPECT_TRUE(opened) << opened.error().message;
  return opened ? std::move(*opened) : nullptr;
}

inline const MetaBackend kMetaBackends[] = {
    {"memory",
     [](weir::testing::ManualLoop& world) -> std::unique_ptr<MetaStore> {
       return std::make_unique<MemoryMetaStore>(&world.clock());
     },
     [](MetaStore& store) { static_cast<MemoryMetaStore&>(store).compact(); }},
    {"sqlite", open_sqlite_store, [](MetaStore& store) { static_cast<SqliteMetaStore&>(store).compact(); }},
};

inline MetaTransaction put(std::string key, std::string value, int64_t lease = 0) {
  MetaTransaction transaction;
  transaction.operations.push_back({MetaOperation::Kind::kPut, std::move(key), std::move(value), lease});
  return transaction;
}

inline std::vector<std::string> keys(const MetaRange& range) {
  std::vector<std::string> all;
  for (const auto& entry : range.entries) all.push_back(entry.key);
  return all;
}

class MetaStoreContract : public ::testing::TestWithParam<MetaBackend> {
 protected:
  using Kind = MetaOperation::Kind;

  void SetUp() override {
    ASSERT_TRUE(world_.files().create_directories("/data"));
    store_ = GetParam().open(world_);
    ASSERT_TRUE(store_);
  }
  MetaRange range(MetaRangeRequest request = "") {
    auto result = store_->range_blocking(std::move(request));
    EXPECT_TRUE(result) << result.error().message;
    return result ? *result : MetaRange{};
  }
  MetaOutcome transact(MetaTransaction transaction) {
    auto result = store_->transact_blocking(std::move(transaction));
    EXPECT_TRUE(result) << result.error().message;
    return result ? *result : MetaOutcome{};
  }

  weir::testing::ManualLoop world_;
  std::unique_ptr<MetaStore> store_;
};

inline std::string backend_name(const ::testing::TestParamInfo<MetaBackend>& backend) { return backend.param.name; }

}  // namespace weir::storage
