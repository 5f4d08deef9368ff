// The log directories of a broker, and in which of them each partition lives. Number 0 is home: it holds the databases and the
// write-ahead logs as well; the others hold segments only. A directory's number is its name in manifest.db; it stays the
// same wherever the directory is mounted (docs/decisions/0009-several-log-directories.md).
//
// Set up before anything else uses it. After that the list does not change; placement is thread-safe and never waits for a
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
    std::string marker;  // a file that is there as long as the directory is; empty: none
  };

  explicit LogDirectories(std::string home = {}) : all_{{0, std::move(home), {}}} {}
  LogDirectories(const LogDirectories&) = delete;

  // Once, at start: those beside home, in the order of the configuration.
  void add(uint32_t number, std::string path, std::string marker) {
    all_.push_back({number, std::move(path), std::move(marker)});
  }

  const std::vector<Directory>& all() const { return all_; }  // home first
  bool several() const { return all_.size() > 1; }
  bool knows(uint32_t number) const;
  const Directory& at(uint32_t number) const;  // one that is known
  const std::string& path(uint32_t number) const { return at(number).path; }
  std::optional<uint32_t> find(std::string_view path) const;

  // Where the partition lives. One that is new goes where the fewest are, as in Kafka, or where prefer() asked for.
  PartitionPlace place(const PartitionId& partition);
  // Of a partition that does not exist yet, by its topic's name. The most recent kPreferencesMax are remembered, until the
  // process ends.
  void prefer(const std::string& topic, int32_t index, uint32_t directory);
  // The partition comes into being: takes the preference for its name, if there is one.
  void create(const std::string& topic, const PartitionId& partition);

  // What is durable, by the store.
  void set(const PartitionId& partition, PartitionPlace place);
  void forget(const PartitionId& partition);
  // Places that were chosen and not stored since.
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
