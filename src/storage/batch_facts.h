// What is noted of a batch: from its bytes, wherever they are taken over.
#pragma once

#include "base/bytes.h"
#include "protocol/record_batch.h"
#include "storage/types.h"

namespace weir::storage {

// `batch` is all of one batch, whose structure has been checked, and `header` its header. Who takes it over knows the partition
// and when it was appended. The type of a control batch that ends no transaction is -1.
BatchFacts facts_of(const protocol::BatchHeader& header, Bytes batch);

}  // namespace weir::storage
