// Asks whether any order of events explains offsets and reads. Events are the moments at which operations took effect: an append,
// the decision of a transaction, the fence of a producer, a read.
//
// Known orders: an operation took effect between its invocation and its answer. A client's operations follow one another. Offsets
// of a partition rise in the order of appends. A committed read comes after the decision of a transaction that it shows. A
// producer's appends and decisions come before a later producer of its id is initialized.
//
// These are Elle's dependencies of list-append, with offsets as versions, but of events instead of transactions: transactions of
// Kafka write into one another's ranges, and a cycle of their writes is no anomaly as long as some order of events explains it.
#pragma once

#include "testing/history/anomaly.h"
#include "testing/history/recovered_log.h"

namespace weir::testing {

// Takes linear time in the number of operations and of records shown, and recurses nowhere.
void check_order(const RecoveredLog& log, Report& report);

}  // namespace weir::testing
