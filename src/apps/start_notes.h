// Lines of the log at a start about what somebody may not have meant.
#pragma once

#include <string>
#include <vector>

#include "broker/config/broker_config.h"
#include "broker/server/request_context.h"

namespace weir::apps {

// Settings that the images of Apache Kafka take from the environment and this program does not: each with the key that
// says the same, `KAFKA_NUM_PARTITIONS (num.partitions)`. `environment` ends with null, as environ.
std::vector<std::string> ignored_variables(const char* const* environment);
void note_ignored_environment();

// Settings that do nothing here, and listeners that are not opened for it.
void note_settings(const broker::BrokerConfig& config);

// A listener in the clear on every interface serves everybody who reaches the machine.
void note_open_listeners(const std::vector<broker::ListenerInfo>& listeners);

}  // namespace weir::apps
