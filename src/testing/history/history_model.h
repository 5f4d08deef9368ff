// Random histories of clients that work with a model of a broker (model_broker.h): plain and transactional producers, consumers,
// groups that commit offsets, and groups that process records in transactions. Requests and answers get lost or come late,
// clients stop anywhere and come back as zombies while another one has their place.
//
// Without a fault the checker has to find nothing in a history, whatever the seed. With a fault it has to find something for some
// seeds.
#pragma once

#include <cstdint>

#include "testing/history/model_broker.h"

namespace weir::testing {

struct ModelOptions {
  uint64_t seed = 1;
  ModelFault fault = ModelFault::kNone;
  size_t operations = 400;  // about; reads to the end come on top
  uint32_t partitions = 2;  // of input, and as many of output
  uint32_t plain_producers = 1;
  uint32_t producers = 2;  // transactional
  uint32_t processors = 2;
  uint32_t consumers = 2;
  uint32_t members = 2;  // commit offsets without transactions
};

History model_history(const ModelOptions& options);

}  // namespace weir::testing
