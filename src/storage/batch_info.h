// BatchInfo from the bytes of a batch, for those who take it over.
#pragma once

#include "base/bytes.h"
#include "protocol/record_batch.h"
#include "storage/types.h"

namespace weir::storage {

// `header` is that of `batch`, whose structure has been checked. Of a control batch the first record must be in `batch`, of
// others nothing. The caller knows the partition and the time of the append. A control batch that ends no transaction has type
// -1.
BatchInfo info_of(const protocol::BatchHeader& header, Bytes batch);

}  // namespace weir::storage
