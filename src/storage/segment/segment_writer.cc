#include "storage/segment/segment_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "storage/segment/aborted_index.h"

namespace weir::storage {

namespace {

constexpr size_t kPiecesMax = 512;  // of one gathered write; the kernel takes 1024

// Reads the bytes of a run of batches in order, as if they were one.
class RunReader {
 public:
  explicit RunReader(std::span<const CheckpointPartition::Batch> batches) : batches_(batches) {}

  // Returns the next piece, at most `limit` bytes, without copying.
  Bytes take(size_t limit) {
    const Slice& bytes = batches_[batch_].bytes;
    const size_t size = std::min(limit, bytes.size - within_);
    const Bytes piece{bytes.data + within_, size};
    within_ += size;
    if (within_ == bytes.size) {
      ++batch_;
      within_ = 0;
    }
    return piece;
  }
  void copy(uint8_t* into, size_t size) {
    while (size > 0) {
      const Bytes piece = take(size);
      std::memcpy(into, piece.data(), piece.size());
      into += piece.size();
      size -= piece.size();
    }
  }

 private:
  std::span<const CheckpointPartition::Batch> batches_;
  size_t batch_ = 0;
  size_t within_ = 0;
};

Result<void> write_buffered(runtime::File& file, uint64_t position, RunReader& run, uint64_t bytes) {
  std::vector<iovec> pieces;
  while (bytes > 0) {
    pieces.clear();
    uint64_t gathered = 0;
    while (gathered < bytes && pieces.size() < kPiecesMax) {
      const Bytes piece = run.take(static_cast<size_t>(bytes - gathered));
      pieces.push_back({const_cast<uint8_t*>(piece.data()), piece.size()});
      gathered += piece.size();
    }
    if (auto done = file.write_at(position, pieces); !done) return done;
    position += gathered;
    bytes -= gathered;
  }
  return {};
}

}  // namespace

struct SegmentWriter::Run {
  std::string path;
  std::unique_ptr<runtime::File> buffered, direct;
  RunReader reader;
  uint64_t position = 0;  // in the file
  uint64_t left = 0;
  bool small = false;
};

SegmentWriter::SegmentWriter(runtime::FileSystem& files) : files_(files) {}
SegmentWriter::~SegmentWriter() = default;

void SegmentWriter::start() {
  run_.reset();
  touched_.clear();
  new_names_in_.clear();
  log_dirs_.clear();
  new_folders_in_.clear();
}

void SegmentWriter::touch(const std::string& log_dir, const std::string& folder_path, std::string path, uint64_t valid_length,
                          bool created) {
  touched_.push_back({std::move(path), valid_length, created, nullptr});
  log_dirs_.insert(log_dir);
  if (created && (new_names_in_.empty() || new_names_in_.back() != folder_path)) new_names_in_.push_back(folder_path);
}

// Keeps the last file open until it is synced. If there are many files, the file system is synced instead.
void SegmentWriter::keep_open(std::unique_ptr<runtime::File> file) {
  if (touched_.size() <= kSyncedSingly) {
    touched_.back().file = std::move(file);
    return;
  }
  for (size_t i = 0; i < kSyncedSingly; ++i) touched_[i].file.reset();
}

Result<void> SegmentWriter::add_aborted(const std::string& log_dir, const std::string& folder, const std::string& name,
                                        uint32_t before, std::span<const AbortedTransaction> entries) {
  const std::string folder_path = log_dir + "/" + folder;
  const std::string path = folder_path + "/" + name;
  touch(log_dir, folder_path, path, before * kAbortedEntryBytes, before == 0);
  auto file = write_aborted(files_, path, before, entries);
  if (!file) return std::unexpected(std::move(file.error()));
  keep_open(std::move(*file));
  return {};
}

Result<void> SegmentWriter::begin_run(const std::string& log_dir, const std::string& folder, const std::string& name,
                                      uint64_t position, bool create, std::span<const CheckpointPartition::Batch> batches) {
  WEIR_CHECK(!run_);
  const std::string folder_path = log_dir + "/" + folder;
  const std::string path = folder_path + "/" + name;
  auto file = files_.open(path, {.write = true, .create = create, .truncate = create});
  if (!file) {
    if (!create && file.error().code == ErrorCode::kNotFound)
      return fail(ErrorCode::kCorrupt, path + ": the segment file is missing");
    return std::unexpected(std::move(file.error()));
  }
  touch(log_dir, folder_path, path, position, create);
  if (!create) {
    auto size = (*file)->size();
    if (!size) return std::unexpected(std::move(size.error()));
    if (*size < position) {
      return fail(ErrorCode::kCorrupt, fmt::format("{}: has {} bytes though {} of it are valid", path, *size, position));
    }
    // A checkpoint that did not commit left the rest.
    if (*size > position) {
      if (auto done = (*file)->truncate(position); !done) return done;
    }
  }
  uint64_t bytes = 0;
  for (const auto& batch : batches) bytes += batch.bytes.size;
  run_.reset(new Run{path, std::move(*file), nullptr, RunReader(batches), position, bytes, bytes < kDirectBytes});
  return {};
}

Result<uint64_t> SegmentWriter::write_some(uint64_t bytes_max) {
  Run& run = *run_;
  const uint64_t before = run.left;
  auto done = run.small ? write_buffered(*run.buffered, run.position, run.reader, std::exchange(run.left, 0))
                        : write_direct(run, bytes_max);
  if (!done) {
    run_.reset();
    return std::unexpected(std::move(done.error()));
  }
  const uint64_t written = before - run.left;
  if (run.left == 0) end_run();
  return written;
}

Result<void> SegmentWriter::write_direct(Run& run, uint64_t bytes_max) {
  const auto buffered = [&run](uint64_t bytes) {
    const uint64_t position = run.position;
    run.position += bytes;
    run.left -= bytes;
    return write_buffered(*run.buffered, position, run.reader, bytes);
  };
  if (!run.direct) {
    if (auto done = buffered(align_up(run.position, kBufferAlignment) - run.position); !done) return done;
    auto direct = files_.open(run.path, {.write = true, .direct = true});
    if (!direct) return std::unexpected(std::move(direct.error()));
    run.direct = std::move(*direct);
    if (!staging_) staging_ = Buffer::allocate(kStagingBytes);
  }
  const uint64_t stop = run.left - std::min(run.left, std::max<uint64_t>(bytes_max, kBufferAlignment));
  while (run.left > stop && run.left >= kBufferAlignment) {
    const uint64_t wanted = std::max<uint64_t>(run.left - stop, kBufferAlignment);
    const auto chunk = static_cast<size_t>(align_down(std::min<uint64_t>(wanted, kStagingBytes), kBufferAlignment));
    run.reader.copy(staging_.data(), chunk);
    if (auto done = run.direct->write_at(run.position, Bytes(staging_.data(), chunk)); !done) return done;
    run.position += chunk;
    run.left -= chunk;
  }
  return run.left < kBufferAlignment ? buffered(run.left) : Result<void>{};
}

void SegmentWriter::end_run() {
  keep_open(std::move(run_->buffered));
  run_.reset();
}

Result<void> SegmentWriter::make_durable() {
  if (touched_.size() > kSyncedSingly) {  // names included
    log_dirs_.insert(new_folders_in_.begin(), new_folders_in_.end());
    for (const std::string& log_dir : log_dirs_) {
      if (auto done = files_.sync_file_system(log_dir); !done) return done;
    }
    return {};
  }
  for (Touched& touched : touched_) {
    if (auto done = touched.file->sync(); !done) return done;
  }
  for (const std::string& folder : new_names_in_) {
    if (auto done = files_.sync_directory(folder); !done) return done;
  }
  for (const std::string& log_dir : new_folders_in_) {
    if (auto done = files_.sync_directory(log_dir); !done) return done;
  }
  return {};
}

void SegmentWriter::undo() {
  run_.reset();
  for (Touched& touched : touched_) {
    touched.file.reset();
    Result<void> done;
    if (touched.created) {
      done = files_.remove(touched.path);
    } else if (auto file = files_.open(touched.path, {.write = true}); file) {
      auto size = (*file)->size();
      if (size && *size > touched.valid_length) done = (*file)->truncate(touched.valid_length);
    }
    if (!done) log_debug("storage", "could not take back a failed checkpoint of {}: {}", touched.path, done.error().message);
  }
  start();
}

}  // namespace weir::storage
