#include "broker/config/configuration_page.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <string>

namespace weir::broker {
namespace {

TEST(ConfigurationPage, IsCurrent) {
  const char* path = WEIR_DOCS "/configuration.md";
  if (getenv("WEIR_WRITE_DOCS") != nullptr) std::ofstream(path, std::ios::binary) << configuration_page();
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(text == configuration_page()) << "docs/configuration.md is not what the tables say; run this test with "
                                               "WEIR_WRITE_DOCS=1 in its environment and look at the difference";
}

}  // namespace
}  // namespace weir::broker
