// What `weir log import` says in the end.
#include <fmt/format.h>

#include "apps/log_import.h"
#include "base/counted.h"
#include "base/json.h"
#include "base/printable.h"

namespace weir::apps {

namespace {

std::string json_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? "," : "") + json_string(item);
  return out + "]";
}

}  // namespace

std::string LogImportReport::json() const {
  return fmt::format(
      "{{\"cluster_id\":{},\"clean_source\":{},\"metadata\":{},\"topics\":{},\"partitions\":{},\"segments\":{},"
      "\"batches\":{},\"bytes\":{},\"linked_bytes\":{},\"copied_bytes\":{},\"next_producer_id\":{},"
      "\"leader_epoch\":{},\"cut\":{},\"uncertain\":{},\"not_taken\":{}}}",
      json_string(cluster_id), clean_source, has_metadata, topics, partitions, segments, batches, bytes, linked_bytes,
      copied_bytes, next_producer_id, leader_epoch, json_list(cut), json_list(uncertain), json_list(not_taken));
}

std::string LogImportReport::text() const {
  std::string out =
      fmt::format("{}, {}, {} with {} and {} of cluster {}\n", counted(topics, "topic"), counted(partitions, "partition"),
                  counted(segments, "segment"), counted(batches, "batch", "batches"), counted(bytes, "byte"), cluster_id);
  if (linked_bytes + copied_bytes > 0)
    out += fmt::format("{} bytes are shared with Kafka's files, {} were copied\n", linked_bytes, copied_bytes);
  // Names of files and topics are whatever somebody wrote there.
  for (const std::string& line : cut) out += "cut: " + one_line(line) + "\n";
  for (const std::string& line : uncertain) out += "uncertain: " + one_line(line) + "\n";
  for (const std::string& line : not_taken) out += "not taken: " + one_line(line) + "\n";
  return out;
}

}  // namespace weir::apps
