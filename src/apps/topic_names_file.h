// The file `names` of a data folder: which topic the folders belong to, for people and for `weir log`. A line each:
//
//   <topic id> <name>
//
// The pool writes it anew soon after topics came or went. It is a copy of what the metadata says: nothing depends on it, it is
// not synced, and a reader takes the lines that make sense.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/lifetime.h"
#include "base/uuid.h"
#include "broker/metadata/metadata_image.h"
#include "runtime/file.h"
#include "runtime/loop.h"

namespace weir::apps {

class TopicNamesFile {
 public:
  static constexpr const char* kName = "names";

  // One in each of `folders`. Belongs to `loop`; `files` and `pool` outlive it.
  TopicNamesFile(runtime::FileSystem& files, runtime::Pool& pool, runtime::Loop& loop, std::vector<std::string> folders)
      : files_(files), pool_(pool), loop_(loop), folders_(std::move(folders)) {}
  TopicNamesFile(const TopicNamesFile&) = delete;

  // On the loop, or before it runs. While topics come and go it is written once a second.
  void update(broker::MetadataImagePtr image);
  // What is not written yet is, now; blocking. After the loop has ended.
  void finish();

 private:
  void write();

  static void write_all(runtime::FileSystem& files, const std::vector<std::string>& folders, const broker::MetadataImage& image);

  runtime::FileSystem& files_;
  runtime::Pool& pool_;
  runtime::Loop& loop_;
  const std::vector<std::string> folders_;
  broker::MetadataImagePtr next_;  // not written yet
  bool waiting_ = false;           // for a timer, or for the pool
  Lifetime lifetime_;
};

std::string topic_names_text(const broker::MetadataImage& image);
// Empty if there is none.
std::map<TopicId, std::string> read_topic_names(runtime::FileSystem& files, const std::string& folder);

}  // namespace weir::apps
