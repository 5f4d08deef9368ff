#include "apps/kafka_segment_copy.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include "storage/segment/stored_batch.h"

namespace weir::apps {

namespace {

namespace fs = std::filesystem;

constexpr size_t kCopyBytes = 4u << 20;

// Of a file that was checked up to there; behind it may be anything, of any size.
Result<void> copy(runtime::FileSystem& files, const std::string& from, const std::string& to, uint64_t bytes) {
  auto source = files.open(from, {});
  if (!source) return std::unexpected(source.error());
  auto target = files.open(to, {.write = true, .create = true, .exclusive = true});
  if (!target) return std::unexpected(target.error());
  std::vector<uint8_t> block(std::min<uint64_t>(bytes, kCopyBytes));
  for (uint64_t done = 0; done < bytes;) {
    auto read = (*source)->read_at(done, MutableBytes(block).first(std::min<uint64_t>(block.size(), bytes - done)));
    if (!read) return std::unexpected(read.error());
    if (*read == 0) return fail(ErrorCode::kIo, from + " became shorter while it was read");
    if (auto ok = (*target)->write_at(done, Bytes(block).first(*read)); !ok) return ok;
    done += *read;
  }
  return {};
}

// The field lies outside of the checksum.
Result<void> mend_epochs(runtime::FileSystem& files, const std::string& path, uint64_t length,
                         const std::vector<storage::EpochStart>& epochs) {
  auto file = files.open(path, {.write = true});
  if (!file) return std::unexpected(file.error());
  std::array<uint8_t, protocol::BatchHeader::kSize> bytes;
  for (uint64_t position = 0; position < length;) {
    auto read = (*file)->read_at(position, bytes);
    if (!read) return std::unexpected(read.error());
    const auto header = storage::parse_stored_header(Bytes(bytes).first(*read));
    if (!header) return fail(ErrorCode::kIo, path + " is not what was copied");
    const int32_t epoch = std::max(epoch_at(epochs, header->base_offset), 0);
    if (header->partition_leader_epoch != -1 && header->partition_leader_epoch != epoch) {
      protocol::patch_leader_epoch(bytes.data(), epoch);
      if (auto ok = (*file)->write_at(position, Bytes(bytes)); !ok) return ok;
    }
    position += header->size();
  }
  return {};
}

}  // namespace

Result<bool> place_kafka_segment(runtime::FileSystem& files, const KafkaPartitionImport& partition,
                                 const KafkaPartitionImport::File& file, const std::string& to, bool may_link) {
  if (may_link && !file.own) {
    std::error_code error;
    const fs::path from = fs::canonical(file.from, error);  // a link to a link would hang on Kafka's folder
    if (!error) fs::create_hard_link(from, to, error);
    if (!error) return true;
  }
  if (!file.from.empty()) {
    if (auto ok = copy(files, file.from, to, file.copied); !ok) return std::unexpected(ok.error());
  }
  if (file.mend_epochs) {
    if (auto ok = mend_epochs(files, to, file.copied, partition.manifest.epochs); !ok) return std::unexpected(ok.error());
  }
  if (file.filler.empty()) return false;
  auto filled = files.open(to, {.write = true, .create = true});
  if (!filled) return std::unexpected(filled.error());
  if (auto ok = (*filled)->write_at(file.copied, as_bytes(file.filler)); !ok) return std::unexpected(ok.error());
  return false;
}

}  // namespace weir::apps
