#include "base/json.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Json, QuotesAndEscapes) {
  EXPECT_EQ(json_string("a \"b\" \\ \n\x7f"), R"("a \"b\" \\ \u000a\u007f")");
  EXPECT_EQ(json_string(std::string_view("\0", 1)), R"("\u0000")");
  EXPECT_EQ(json_string(""), R"("")");
}

// Some readers end a line there, some terminals obey them.
TEST(Json, EscapesControlCharactersBeyondAscii) {
  EXPECT_EQ(json_string("\xc2\x85\xc2\x9b\xe2\x80\xa8\xe2\x80\xa9"), R"("\u0085\u009b\u2028\u2029")");
  EXPECT_EQ(json_string("\xc2\xa0\xe2\x80\xaa"), "\"\xc2\xa0\xe2\x80\xaa\"");
}

TEST(Json, KeepsUtf8) { EXPECT_EQ(json_string("é€😀"), "\"é€😀\""); }

TEST(Json, BytesThatAreNoUtf8BecomeReplacementCharacters) {
  constexpr const char* kOne = "\"\xef\xbf\xbd\"";
  for (const char* bytes : {"\xff", "\x80", "\xc3", "\xc0"}) EXPECT_EQ(json_string(bytes), kOne);
  EXPECT_EQ(json_string("\xc3(a"), "\"\xef\xbf\xbd(a\"");
  // Overlong, a surrogate, beyond the last character: a mark for each byte.
  for (const char* bytes : {"\xe0\x80\x80", "\xed\xa0\x80"})
    EXPECT_EQ(json_string(bytes), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(json_string("\xf4\x90\x80\x80").size(), 2 + 4 * 3);
}

}  // namespace
}  // namespace weir
