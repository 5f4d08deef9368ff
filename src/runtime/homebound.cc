#include "runtime/homebound.h"

#include <memory>

namespace weir::runtime {

// A task that is discarded instead of run ends here again; by then no thread runs the loop, and the caller may touch it.
void Homebound::go_home() {
  if (home_loop_.may_touch()) delete this;
  else home_loop_.post([dying = std::unique_ptr<Homebound, GoHome>(this)] {});
}

}  // namespace weir::runtime
