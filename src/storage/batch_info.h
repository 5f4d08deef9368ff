// BatchInfo from the bytes of a batch: of a client, of the log itself, or of an imported log.
#pragma once

#include "base/bytes.h"
#include "protocol/record_batch.h"
#include "storage/types.h"

namespace weir::storage {

// `header` is the header of `batch`, and the batch's structure has been checked. The first record of a control batch must be in
// `batch`; of other batches no record need be there. The caller fills in the partition and the time of the append. A control
// batch that ends no transaction has type -1.
BatchInfo info_of(const protocol::BatchHeader& header, Bytes batch);

}  // namespace weir::storage
