// Overrides of another version that this one cannot read. They have no effect, and the log says so. Their defaults must not
// delete what they kept: if one of those that decide over deletion is among them, nothing is deleted until somebody sets them
// anew.
#pragma once

#include "broker/metadata/config_record.h"
#include "broker/metadata/topic_record.h"

namespace weir::broker {

// True if something was dropped.
bool drop_unusable_overrides(TopicRecord& topic);
bool drop_unusable_overrides(ConfigRecord& broker);

}  // namespace weir::broker
