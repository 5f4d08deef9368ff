// The folder a broker keeps its data in: one process at a time may use it, and this program must understand its format.
//
//   .lock            held while the broker runs
//   meta.properties  what the folder is: format, cluster.id, node.id (text, for people and tools as well)
//   meta.db          topics and their configuration; see storage/metadata
//   manifest.db, wal/, <topic id>-<partition>/   the log; see storage
//
// A folder of a newer format, of Apache Kafka, with files of somebody else, or with data of ours whose meta.properties is
// damaged or gone, is refused before anything in it changes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "runtime/file.h"

namespace weir::apps {

class DataFolder {
 public:
  static constexpr int64_t kFormat = 1;

  // Creates it if it does not exist. Blocking. The lock is held as long as the object.
  static Result<std::unique_ptr<DataFolder>> open(runtime::FileSystem& files, const std::string& path, int32_t node_id);

  // Makes `path`, which exists, the folder of this cluster and of any node.id: what an import ends with.
  static Result<void> write_initial_properties(runtime::FileSystem& files, const std::string& path,
                                               const std::string& cluster_id);

  const std::string& path() const { return path_; }
  bool first_start() const { return cluster_id_.empty(); }
  // Of the last start; empty at the first one.
  const std::string& cluster_id() const { return cluster_id_; }
  // Notes the cluster's id; an error if the folder belongs to another cluster.
  Result<void> settle(const std::string& cluster_id);

 private:
  DataFolder(runtime::FileSystem& files, std::string path, std::optional<int32_t> node_id)
      : files_(files), path_(std::move(path)), node_id_(node_id) {}
  Result<void> check();
  Result<void> check_unmarked();
  Result<void> check_format(const std::map<std::string, std::string>& values);
  Result<std::string> data_of_ours();
  Result<void> write_properties();
  std::string properties_path() const { return path_ + "/meta.properties"; }

  runtime::FileSystem& files_;
  const std::string path_;
  const std::optional<int32_t> node_id_;
  std::string cluster_id_;
  bool marked_ = false;  // meta.properties exists
  std::unique_ptr<runtime::File> lock_;
};

}  // namespace weir::apps
