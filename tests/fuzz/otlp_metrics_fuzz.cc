#include "protocol_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weir::fuzz::fuzz_otlp_metrics({data, size});
  return 0;
}
