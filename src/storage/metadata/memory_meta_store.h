// MetaStore in memory, for tests: same rules and revisions, nothing survives. Calls from any thread;
// completions are posted, never inline.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "storage/metadata/meta_store.h"

namespace weir::storage {

class MemoryMetaStore final : public MetaStore {
 public:
  void transact(MetaTransaction transaction, runtime::Executor& reply_to, Function<void(Result<MetaOutcome>)> done) override;
  void range(std::string prefix, runtime::Executor& reply_to, Function<void(Result<MetaRange>)> done) override;
  Result<MetaOutcome> transact_blocking(MetaTransaction transaction) override;
  Result<MetaRange> range_blocking(std::string prefix) override;

 private:
  std::mutex mutex_;
  std::map<std::string, MetaEntry, std::less<>> entries_;
  int64_t revision_ = 1;
};

}  // namespace weir::storage
