#include "testing/history/history_checker.h"

#include "testing/history/offset_checker.h"
#include "testing/history/order_checker.h"
#include "testing/history/ownership_checker.h"
#include "testing/history/transaction_checker.h"

namespace weir::testing {

Report check_history(const History& history) {
  Report report(history);
  RecoveredLog log(history);
  decide_by_offsets(log);
  check_transactions(log, report);
  check_order(log, report);
  check_offsets(log, report);
  check_ownership(history, report);
  return report;
}

}  // namespace weir::testing
