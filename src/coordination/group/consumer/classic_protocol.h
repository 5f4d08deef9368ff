// Kafka's ConsumerProtocol: the data of members of the classic protocol whose protocol type is `consumer`. A member joins with a
// subscription, and its leader answers with an assignment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "coordination/group/consumer/topic_partitions.h"
#include "coordination/runtime/image.h"

namespace weir::coordination {

struct ClassicSubscription {
  int16_t version = 0;
  std::vector<std::string> topics;  // ascending, each once
  std::optional<std::string> rack_id;
  Assignment owned;  // what the image knows of it
};
Result<ClassicSubscription> parse_classic_subscription(std::string_view bytes, const Image& image);

struct ClassicAssignment {
  Assignment partitions;       // what the image knows of it
  bool has_user_data = false;  // of an assignor that is not Kafka's
};
// No bytes are an assignment without partitions.
Result<ClassicAssignment> parse_classic_assignment(std::string_view bytes, const Image& image);
// In the version of the member's subscription. Topics that the image does not have are left out.
std::string encode_classic_assignment(Assignment assignment, std::string_view subscription, const Image& image);

}  // namespace weir::coordination
