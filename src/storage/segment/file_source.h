// Reads a segment's file as a SegmentSource.
#pragma once

#include <memory>
#include <utility>

#include "storage/segment/segment_data.h"

namespace weir::storage {

class FileSource final : public SegmentSource {
 public:
  explicit FileSource(std::unique_ptr<runtime::File> file) : file_(std::move(file)) {}
  Result<size_t> read_at(uint64_t offset, MutableBytes into) override { return file_->read_at(offset, into); }

 private:
  const std::unique_ptr<runtime::File> file_;
};

}  // namespace weir::storage
