// Reads a WAL file from front to back in large pieces. The bytes of a returned slice stay valid as long as the caller holds it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/file.h"

namespace weir::storage {

class WalFileReader {
 public:
  // With `write` the file can be synced.
  static Result<std::unique_ptr<WalFileReader>> open(runtime::FileSystem& files, const std::string& path, bool write);

  // The bytes [offset, offset + length). Fewer at the end of the file. None after an error of the device, which error() returns.
  Slice read(uint64_t offset, size_t length);

  uint64_t size() const { return size_; }
  uint64_t bytes_read() const { return bytes_read_; }
  const std::optional<Error>& error() const { return error_; }
  Result<void> sync() { return file_->sync(); }

 private:
  static constexpr size_t kFirstWindow = 64 * 1024;
  static constexpr size_t kLargestWindow = 1024 * 1024;

  WalFileReader(std::unique_ptr<runtime::File> file, uint64_t size) : file_(std::move(file)), size_(size) {}

  std::unique_ptr<runtime::File> file_;
  const uint64_t size_;
  Buffer window_;
  uint64_t window_begin_ = 0;  // offsets in the file
  uint64_t window_end_ = 0;
  size_t ahead_ = kFirstWindow;  // next window; grows, so that a short log costs little
  uint64_t bytes_read_ = 0;
  std::optional<Error> error_;
};

}  // namespace weir::storage
