// Puts a segment of Kafka into the new folder.
#pragma once

#include <string>

#include "apps/kafka_partition.h"
#include "base/result.h"
#include "runtime/file.h"

namespace weir::apps {

// At `to`, which does not exist: the same file if it may be, or a copy. True: it is the same file.
Result<bool> place_kafka_segment(runtime::FileSystem& files, const KafkaPartitionImport& partition,
                                 const KafkaPartitionImport::File& file, const std::string& to, bool may_link);

}  // namespace weir::apps
