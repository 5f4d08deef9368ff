// Drops overrides of another version that this one cannot read. They have no effect, and the log says so. Data that such an
// override kept must not go by a default: if it decides over deletion, nothing is deleted until somebody sets it anew.
#pragma once

#include "broker/metadata/config_record.h"
#include "broker/metadata/topic_record.h"

namespace weir::broker {

// Returns whether it dropped something.
bool drop_unusable_overrides(TopicRecord& topic);
bool drop_unusable_overrides(ConfigRecord& broker);

}  // namespace weir::broker
