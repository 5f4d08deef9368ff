// The known name that is nearest to a name that does not exist: the writer may have meant it.
#pragma once

#include <span>
#include <string_view>

namespace weir {

// The known name closest to `name`, or an empty one if none is near.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known);

}  // namespace weir
