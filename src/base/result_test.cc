#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace weir {
namespace {

TEST(Result, TheRemedyForUsedUpDescriptorsIsNotDiskSpace) {
  const std::string usual = "Free space";
  EXPECT_EQ(remedy_of(fail_errno("cannot open f", ENOSPC).error(), usual), usual);
  for (const int shortage : {EMFILE, ENFILE}) {
    const std::string remedy = remedy_of(fail_errno("cannot open f", shortage).error(), usual);
    EXPECT_EQ(remedy.find("space"), std::string::npos) << remedy;
    EXPECT_NE(remedy.find("ulimit -n"), std::string::npos) << remedy;
  }
}

TEST(Result, TheRemedyForAMissingRightIsNotTheDisk) {
  for (const int refused : {EACCES, EPERM}) {
    EXPECT_NE(remedy_of(fail_errno("cannot open f", refused).error(), "Check the disk").find("chown"), std::string::npos);
  }
}

}  // namespace
}  // namespace weir
