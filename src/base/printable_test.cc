#include "base/printable.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Printable, NothingEndsTheLineOrControlsATerminal) {
  EXPECT_EQ(one_line("a\nb\rc\x1b[2Jd\x7f"), "a?b?c?[2Jd?");
  EXPECT_EQ(one_line("next\xc2\x85 csi\xc2\x9b line\xe2\x80\xa8 paragraph\xe2\x80\xa9"), "next? csi? line? paragraph?");
  EXPECT_EQ(one_line("\xff\xfe"), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(one_line("gr\xc3\xbc\xc3\x9f"
                     "e, 'quoted'"),
            "gr\xc3\xbc\xc3\x9f"
            "e, 'quoted'");
}

TEST(Printable, QuotedTextDoesNotEndItsQuotes) {
  EXPECT_EQ(quoted("x' at 10.0.0.1"), "'x\\' at 10.0.0.1'");
  EXPECT_EQ(quoted("\\"), "'\\\\'");
  EXPECT_EQ(quoted(""), "''");
}

TEST(Printable, LongTextIsCutBetweenCharacters) {
  EXPECT_EQ(quoted(std::string(10, 'x'), 10), "'xxxxxxxxxx'");
  EXPECT_EQ(quoted(std::string(11, 'x'), 10), "'xxxxxxxxxx...'");
  EXPECT_EQ(quoted("aaa\xc3\xbc"
                   "b",
                   4),
            "'aaa\xc3\xbc...'");
}

}  // namespace
}  // namespace weir
