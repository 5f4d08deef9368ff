// Knows the log directories of a broker, and the directory of each partition. Number 0 is home, which holds the databases and the
// write-ahead logs as well. The others hold segments only. A directory's number is its name in manifest.db, and stays the same
// wherever the directory is mounted (docs/decisions/0009-several-log-directories.md).
//
// It is set up before anything else uses it. After that the list does not change. Placement is thread-safe and never waits for a
// disk. With one directory nothing is kept.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "storage/types.h"

namespace weir::storage {

class LogDirectories {
 public:
  struct Directory {
    uint32_t number = 0;
    std::string path;
    std::string marker;  // a file that is there as long as the directory is; may be empty
  };

  explicit LogDirectories(std::string home = {}) : all_{{0, std::move(home), {}}} {}
  LogDirectories(const LogDirectories&) = delete;

  // Adds a directory beside home. At the start, in the order of the configuration.
  void add(uint32_t number, std::string path, std::string marker) {
    all_.push_back({number, std::move(path), std::move(marker)});
  }

  const std::vector<Directory>& all() const { return all_; }  // home first
  bool several() const { return all_.size() > 1; }
  bool knows(uint32_t number) const;
  const Directory& at(uint32_t number) const;  // of a known directory
  const std::string& path(uint32_t number) const { return at(number).path; }
  std::optional<uint32_t> find(std::string_view path) const;

  // Returns where the partition lives. A new partition goes where prefer() asked for, or to the directory with the fewest
  // partitions, as in Kafka.
  PartitionPlace place(const PartitionId& partition);
  // Chooses the directory of a partition that does not exist yet, by its topic's name. The last kPreferencesMax choices are
  // remembered until the process ends.
  void prefer(const std::string& topic, int32_t index, uint32_t directory);
  // Gives a new partition the directory that prefer() chose for its name, if any.
  void create(const std::string& topic, const PartitionId& partition);

  // The store says what is durable.
  void set(const PartitionId& partition, PartitionPlace place);
  void forget(const PartitionId& partition);
  // Returns places that were chosen and not stored since.
  std::vector<std::pair<PartitionId, PartitionPlace>> take_unsaved();
  void not_saved(const std::vector<std::pair<PartitionId, PartitionPlace>>& places);

  static constexpr size_t kPreferencesMax = 10'000;

 private:
  uint32_t emptiest() const;
  void put(const PartitionId& partition, PartitionPlace place);

  std::vector<Directory> all_;
  std::mutex mutex_;  // everything below
  std::unordered_map<PartitionId, PartitionPlace> places_;
  std::unordered_map<uint32_t, size_t> partitions_in_;  // by the directory they go to
  std::vector<PartitionId> unsaved_;
  std::map<std::pair<std::string, int32_t>, uint32_t> preferred_;
};

}  // namespace weir::storage
