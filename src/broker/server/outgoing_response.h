// The bytes of one response on their way to a socket: encoded bytes, with slices of memory and ranges of files in between. Keeps
// track of the bytes sent. Loop thread only. Reused from response to response.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "base/buffer.h"
#include "protocol/wire.h"
#include "storage/segment/segment_store.h"

namespace weir::broker {

// Bytes a response takes from elsewhere. The pages of a file range are resident (SegmentStore::read).
using ExternalBytes = std::variant<Slice, storage::FileRange>;

class OutgoingResponse {
 public:
  protocol::Writer& writer() { return writer_; }

  // Adds external bytes and returns their id, for Records::external_id. A Records field may be made of several pieces attached
  // one after the other. It has the id of the first and the size of all.
  uint32_t attach(ExternalBytes piece) {
    pieces_.push_back(std::move(piece));
    return static_cast<uint32_t>(pieces_.size() - 1);
  }
  uint32_t next_id() const { return static_cast<uint32_t>(pieces_.size()); }

  // The message is complete: lays out its segments. Returns false if the insertions do not match the pieces attached.
  bool seal();
  // Drops all that was written and attached. Keeps moderate memory.
  void clear();

  uint64_t size() const { return size_; }            // after seal
  uint64_t memory_bytes() const { return memory_; }  // of it in memory (not file ranges)
  bool sent() const { return at_ == segments_.size(); }

  // Fills `into` with memory from the current position up to the next file range or the end.
  size_t gather(std::span<iovec> into) const;
  // Whether `pieces` pieces gathered all that is left, so that the next response may follow.
  bool gathered_all(size_t pieces) const { return at_ + pieces == segments_.size(); }
  // The rest of the file range at the current position, if there is one.
  struct FilePart {
    runtime::File* file = nullptr;
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  FilePart file_part() const;
  // Moves the position by sent bytes. Returns those that belong to a later response.
  uint64_t advance(uint64_t bytes);

 private:
  struct Segment {
    const uint8_t* data;  // nullptr for a file range
    uint64_t size;
    const storage::FileRange* range;
  };
  bool add_external(uint32_t id, uint64_t size);

  static constexpr size_t kKeepCapacity = 4 * 1024;

  protocol::Writer writer_;
  std::vector<ExternalBytes> pieces_;
  std::vector<Segment> segments_;
  size_t at_ = 0;        // current segment
  uint64_t within_ = 0;  // sent of it
  uint64_t size_ = 0;
  uint64_t memory_ = 0;
};

}  // namespace weir::broker
