#include "group_record_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weir::fuzz::fuzz_group_record({data, size});
  return 0;
}
