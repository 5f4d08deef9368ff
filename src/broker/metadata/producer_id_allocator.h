// Hands out blocks of producer ids, each durable before it is used. Lives on shard 0: loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/lifetime.h"
#include "base/result.h"
#include "broker/metadata/producer_ids_record.h"
#include "runtime/loop.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class ProducerIdAllocator {
 public:
  ProducerIdAllocator(storage::MetaStore& store, runtime::Loop& loop) : store_(store), loop_(loop) {}
  ~ProducerIdAllocator() { lifetime_.end(); }
  ProducerIdAllocator(const ProducerIdAllocator&) = delete;

  using Done = Function<void(Result<ProducerIdBlock>)>;
  void allocate(Done done);

 private:
  void read();
  void write(int64_t begin, std::optional<std::string> before);
  void answer(Result<ProducerIdBlock> result);

  storage::MetaStore& store_;
  runtime::Loop& loop_;
  std::vector<Done> waiting_;  // the first one is being served
  Lifetime lifetime_;
};

}  // namespace weir::broker
