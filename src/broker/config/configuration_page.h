// docs/configuration.md, made from the tables. The unit test compares the two; WEIR_WRITE_DOCS=1 in its environment makes
// it write the page.
#pragma once

#include <string>

namespace weir::broker {

std::string configuration_page();

}  // namespace weir::broker
