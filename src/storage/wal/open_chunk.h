// A chunk in memory: appends fill it, then it is sealed, then one gathered write takes it to the file.
//
//   packed pieces (header, copied batches, footer)  |  shared pieces (whole blocks of frame memory, and copies of
//                                                      the blocks at both ends of a batch)
//
// seal() fixes the footer's place. address() fills in number, file and checksums just before the write, because a chunk may wait
// for the next file.
#pragma once

#include <sys/uio.h>

#include <span>
#include <vector>

#include "base/buffer.h"
#include "storage/wal/chunk.h"

namespace weir::storage {

// Buffers from which packed pieces are carved, in whole blocks, one after the other. A buffer lives as long as somebody holds a
// slice of it.
class PackedMemory {
 public:
  explicit PackedMemory(size_t buffer_bytes) : buffer_bytes_(buffer_bytes) {}

  // The current buffer from its first unused block on, or a new buffer if `need` bytes do not fit.
  struct Room {
    Buffer buffer;
    size_t begin;
  };
  Room room(size_t need);
  // Says that `buffer`, which room() returned, is used up to `end`.
  void used_up_to(const Buffer& buffer, size_t end) {
    if (buffer.same(buffer_)) used_ = align_up(end, kWalBlock);
  }

 private:
  const size_t buffer_bytes_;
  Buffer buffer_;
  size_t used_ = 0;  // a multiple of kWalBlock
};

class OpenChunk {
 public:
  // The chunks of one log share `memory`. Only one of them is open (not sealed) at a time.
  explicit OpenChunk(PackedMemory& memory) : memory_(&memory) {}

  bool empty() const { return entries_.empty(); }
  size_t batch_count() const { return entries_.size(); }
  // Bytes in the file if sealed now; 0 if empty.
  uint64_t length() const;
  // Upper bounds after one more batch of `size` bytes.
  uint64_t length_with(size_t size) const { return length() + align_up(size, kWalBlock) + 4 * kWalBlock; }
  size_t piece_count() const { return packed_.size() + shared_.size(); }

  // Adds a batch and returns where it lies from now on. Copies it unless it is larger than WalBackend::kCopyLimit.
  Slice add(const BatchInfo& info, const Slice& batch);

  // Places the footer. add() is not called after it.
  void seal();
  bool sealed() const { return sealed_; }
  // Gives the sealed chunk its number, and its place at `offset` of `file`. Once.
  void address(const WalFileIdentity& file, uint64_t offset, ChunkNumber number);
  std::span<const iovec> pieces() const { return iovecs_; }

  // Forgets everything, but keeps memory for the next use.
  void reset();

 private:
  struct Piece {
    Buffer buffer;
    size_t begin;
    size_t end;
    size_t length() const { return align_up(end, kWalBlock) - begin; }  // in the file; begin is block-aligned
  };
  struct Entry {
    FooterEntry footer;
    int32_t piece;  // of packed_ if >= 0, else of shared_ (-1 is the first)
    size_t at;      // in that piece's buffer
  };
  Slice add_packed(const Slice& batch, Entry& entry);
  void add_shared(const Slice& batch, Entry& entry);
  size_t add_edge(size_t at, Bytes bytes);
  // Begins a packed piece with room for `need` bytes. Pads the piece before to whole blocks.
  void open_packed_piece(size_t need);
  static void pad(Piece& piece);
  bool footer_fits() const;
  size_t footer_at() const { return align_up(packed_.back().end, 8); }

  PackedMemory* memory_;
  PackedMemory edges_{64 * 1024};
  std::vector<Piece> packed_;
  std::vector<Piece> shared_;
  std::vector<Entry> entries_;
  uint64_t closed_bytes_ = 0;  // of packed_ without its last piece
  uint64_t shared_bytes_ = 0;
  bool sealed_ = false;
  uint32_t footer_offset_ = 0;
  uint8_t* footer_ = nullptr;
  std::vector<iovec> iovecs_;
};

}  // namespace weir::storage
