// A metadata transaction that settles its outcome. The store may answer that the outcome is unknown. settle() then reads what the
// transaction should have written. If that is not there, it sends the identical transaction again. The compares of the
// transaction make sure that it happens at most once.
#pragma once

#include <memory>

#include "base/lifetime.h"
#include "runtime/loop.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

// Completes on `loop`, and goes on until the outcome is known. An outcome that succeeded is done and durable. In one that did not
// succeed, a compare did not hold. With an error the transaction is not done. The revision is the store's when the outcome was
// seen: the transaction's own, or a later one. The first operation must change something in a way that no other transaction does:
// settle() looks for this change. Once `alive` is false, settle() calls nothing any more.
void settle(storage::MetaStore& store, runtime::Loop& loop, Lifetime::Observer alive, storage::MetaTransaction transaction,
            Function<void(Result<storage::MetaOutcome>)> done);

}  // namespace weir::broker
