// A log directory beside the first one: it holds segments only.
//
//   .lock            held while the broker runs
//   meta.properties  whose it is: cluster.id, node.id, and its own directory.id, under which manifest.db knows it
//   <topic id>-<partition>/   segments; see storage
//
// A directory of another cluster or broker, of Apache Kafka, or with foreign files is refused. look() only reads: an empty mount
// point must stay empty, and a directory that went with its disk must not come back as an empty one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/uuid.h"
#include "runtime/file.h"

namespace weir::apps {

class SegmentFolder {
 public:
  // `fresh_id` becomes its id if it has none. Blocking, as all of them.
  static Result<std::unique_ptr<SegmentFolder>> look(runtime::FileSystem& files, const std::string& path, int32_t node_id,
                                                     const std::string& cluster_id, Uuid fresh_id);
  // Creates it if it does not exist, and locks it as long as the object lives. Fails if it is not what look() found.
  Result<void> take();

  const std::string& path() const { return path_; }
  Uuid id() const { return id_; }
  bool fresh() const { return fresh_; }
  std::string marker() const;  // the file that mark() makes
  // Notes the id in a fresh one.
  Result<void> mark();

 private:
  SegmentFolder(runtime::FileSystem& files, std::string path, int32_t node_id, std::string cluster_id, Uuid id)
      : files_(files), path_(std::move(path)), node_id_(node_id), cluster_id_(std::move(cluster_id)), id_(id) {}
  Result<void> check();
  Result<void> check_unmarked();

  runtime::FileSystem& files_;
  const std::string path_;
  const int32_t node_id_;
  const std::string cluster_id_;
  Uuid id_;
  bool fresh_ = true;
  std::unique_ptr<runtime::File> lock_;
};

}  // namespace weir::apps
