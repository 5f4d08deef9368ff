#include "broker/server/outgoing_response.h"

#include <algorithm>

namespace weir::broker {

bool OutgoingResponse::seal() {
  const Bytes written = writer_.bytes();
  size_t position = 0;
  auto add_written = [&](size_t end) {
    if (end > position) segments_.push_back({written.data() + position, end - position, nullptr});
    position = end;
  };
  for (const protocol::Insertion& insertion : writer_.insertions()) {
    add_written(insertion.position);
    if (!add_external(insertion.external_id, insertion.size)) return false;
  }
  add_written(written.size());
  for (const Segment& segment : segments_) {
    size_ += segment.size;
    if (segment.data) memory_ += segment.size;
  }
  return true;
}

bool OutgoingResponse::add_external(uint32_t id, uint64_t size) {
  for (; size > 0; ++id) {
    if (id >= pieces_.size()) return false;
    Segment segment{};
    if (const auto* slice = std::get_if<Slice>(&pieces_[id])) {
      segment = {slice->data, slice->size, nullptr};
    } else {
      const auto& range = std::get<storage::FileRange>(pieces_[id]);
      segment = {nullptr, range.length, &range};
    }
    if (segment.size > size) return false;
    size -= segment.size;
    if (segment.size > 0) segments_.push_back(segment);
  }
  return true;
}

void OutgoingResponse::clear() {
  if (writer_.capacity() > kKeepCapacity) {
    writer_.release();
  } else {
    writer_.clear();
  }
  pieces_.clear();
  segments_.clear();
  at_ = 0;
  within_ = size_ = memory_ = 0;
}

size_t OutgoingResponse::gather(std::span<iovec> into) const {
  size_t n = 0;
  uint64_t skip = within_;
  for (size_t i = at_; i < segments_.size() && n < into.size() && segments_[i].data; ++i) {
    into[n++] = {const_cast<uint8_t*>(segments_[i].data) + skip, segments_[i].size - skip};
    skip = 0;
  }
  return n;
}

OutgoingResponse::FilePart OutgoingResponse::file_part() const {
  if (sent() || segments_[at_].data) return {};
  const storage::FileRange& range = *segments_[at_].range;
  return {range.file.get(), range.offset + within_, range.length - within_};
}

uint64_t OutgoingResponse::advance(uint64_t bytes) {
  while (bytes > 0 && at_ < segments_.size()) {
    const uint64_t step = std::min(bytes, segments_[at_].size - within_);
    within_ += step;
    bytes -= step;
    if (within_ == segments_[at_].size) {
      ++at_;
      within_ = 0;
    }
  }
  return bytes;
}

}  // namespace weir::broker
