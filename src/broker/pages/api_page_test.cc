#include "broker/pages/api_page.h"

#include <stdlib.h>

#include <fstream>
#include <iterator>

#include "broker/handlers/broker_fixture.h"

namespace weir::broker {
namespace {

class ApiPageTest : public BrokerTest {};

TEST_F(ApiPageTest, IsCurrent) {
  const char* path = WEIR_DOCS "/apis.md";
  const std::string page = api_page(*dispatcher_);
  if (getenv("WEIR_WRITE_DOCS") != nullptr) std::ofstream(path, std::ios::binary) << page;
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(text == page) << "docs/apis.md is not what the table of APIs says; run this test with WEIR_WRITE_DOCS=1 in its "
                               "environment and look at the difference";
}

}  // namespace
}  // namespace weir::broker
