// The data folder that an import makes: `<name>.importing` until it is whole, then `<name>`, in one step.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "runtime/file.h"

namespace weir::apps {

class ImportTarget {
 public:
  ImportTarget(runtime::FileSystem& files, std::string name) : files_(files), name_(std::move(name)) {}

  // Whether the folder could be made: it does not exist yet or is empty, and is no part of `source`.
  Result<void> check(const std::string& source);
  // Excludes other imports, as a broker locks its data folder. The lock goes with the folder when that gets its name.
  Result<void> lock(const std::string& source);
  // Removes what a try that was killed left.
  Result<void> clear();
  // Gives the folder its name.
  Result<void> finish();
  // Removes what was made, if this is its maker.
  void give_up();

  const std::string& path() const { return path_; }  // while it is made

 private:
  Result<void> take_owner();

  runtime::FileSystem& files_;
  std::string name_;  // without links, once it was checked
  std::string path_;
  std::unique_ptr<runtime::File> lock_;
};

}  // namespace weir::apps
