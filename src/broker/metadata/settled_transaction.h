// A metadata transaction whose outcome is found out. The store may answer that it does not know; then what the
// transaction should have written is read, and if it is not there the identical transaction is sent again. Its compares
// see to it that it happens once at most.
#pragma once

#include <memory>

#include "base/lifetime.h"
#include "runtime/loop.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

// Completes on `loop` with an outcome that succeeded (done and durable), one that did not (a compare did not hold), or an error
// (not done). The revision is that of the store when this was seen, at or after the transaction's own. Goes on until the outcome
// is known. The transaction's first operation must change something only this transaction changes so: it is what is looked at.
// Nothing is called any more once alive is false.
void settle(storage::MetaStore& store, runtime::Loop& loop, Lifetime::Observer alive, storage::MetaTransaction transaction,
            Function<void(Result<storage::MetaOutcome>)> done);

}  // namespace weir::broker
