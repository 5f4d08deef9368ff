#include "storage/wal/open_chunk.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace weir::storage {

PackedMemory::Room PackedMemory::room(size_t need) {
  if (!buffer_ || used_ + need > buffer_.capacity()) {
    // A piece that does not fit a whole buffer gets a buffer of its own, and the current one stays in use.
    if (need > buffer_bytes_) return {Buffer::allocate(need), 0};
    buffer_ = Buffer::allocate(buffer_bytes_);
    used_ = 0;
  }
  return {buffer_, used_};
}

uint64_t OpenChunk::length() const {
  if (entries_.empty()) return 0;
  uint64_t packed = closed_bytes_;
  const size_t footer = footer_bytes(entries_.size());
  if (packed_.empty()) {
    packed += align_up(kChunkHeaderBytes + footer, kWalBlock);
  } else if (sealed_) {
    packed += packed_.back().length();
  } else if (footer_fits()) {
    packed += align_up(footer_at() + footer, kWalBlock) - packed_.back().begin;
  } else {
    packed += packed_.back().length() + align_up(footer, kWalBlock);
  }
  return packed + shared_bytes_;
}

bool OpenChunk::footer_fits() const { return footer_at() + footer_bytes(entries_.size()) <= packed_.back().buffer.capacity(); }

Slice OpenChunk::add(const BatchInfo& info, const Slice& batch) {
  WEIR_CHECK(!sealed_);
  WEIR_CHECK(batch.size == info.size && batch.size >= kRecordBatchHeaderBytes);
  WEIR_CHECK(load_be<int64_t>(batch.data) == info.base_offset);
  WEIR_CHECK(load_be<int32_t>(batch.data + 12) == info.leader_epoch);
  Entry entry{{info, 0, load_be<uint32_t>(batch.data + 17)}, 0, 0};
  Slice placed = batch;
  if (batch.size <= WalBackend::kCopyLimit) {
    placed = add_packed(batch, entry);
  } else {
    add_shared(batch, entry);
  }
  entries_.push_back(entry);
  return placed;
}

void OpenChunk::pad(Piece& piece) { std::memset(piece.buffer.data() + piece.end, 0, align_up(piece.end, kWalBlock) - piece.end); }

void OpenChunk::open_packed_piece(size_t need) {
  const size_t header = packed_.empty() ? kChunkHeaderBytes : 0;
  if (!packed_.empty()) {
    pad(packed_.back());
    closed_bytes_ += packed_.back().length();
  }
  PackedMemory::Room room = memory_->room(header + need);
  packed_.push_back({std::move(room.buffer), room.begin, room.begin + header});
}

Slice OpenChunk::add_packed(const Slice& batch, Entry& entry) {
  if (packed_.empty() || packed_.back().end + batch.size > packed_.back().buffer.capacity()) {
    open_packed_piece(batch.size);
  }
  Piece& piece = packed_.back();
  uint8_t* to = piece.buffer.data() + piece.end;
  std::memcpy(to, batch.data, batch.size);
  entry.piece = static_cast<int32_t>(packed_.size() - 1);
  entry.at = piece.end;
  piece.end += batch.size;
  memory_->used_up_to(piece.buffer, piece.end);
  return {piece.buffer, to, batch.size};
}

// The blocks in which the batch begins and ends hold bytes of other batches as well. Another shard may be patching those at this
// moment, so the batch's own bytes are copied out of these two blocks. All whole blocks are written from where they are.
void OpenChunk::add_shared(const Slice& batch, Entry& entry) {
  WEIR_CHECK(batch.owner && batch.data >= batch.owner.data());
  const size_t begin = static_cast<size_t>(batch.data - batch.owner.data());
  const size_t end = begin + batch.size;
  WEIR_CHECK(end <= batch.owner.capacity());
  const size_t whole_from = align_up(begin, kWalBlock);
  const size_t whole_to = align_down(end, kWalBlock);
  WEIR_CHECK(whole_from <= whole_to);
  entry.piece = -static_cast<int32_t>(shared_.size()) - 1;
  entry.at = begin;
  if (begin < whole_from) entry.at = add_edge(begin % kWalBlock, {batch.data, whole_from - begin});
  if (whole_from < whole_to) {
    shared_.push_back({batch.owner, whole_from, whole_to});
    shared_bytes_ += whole_to - whole_from;
  }
  if (whole_to < end) add_edge(0, {batch.owner.data() + whole_to, end - whole_to});
}

// Adds a block that holds `bytes` at `at` and zeros elsewhere. Returns where the bytes are in the block's buffer.
size_t OpenChunk::add_edge(size_t at, Bytes bytes) {
  PackedMemory::Room room = edges_.room(kWalBlock);
  const size_t begin = room.begin;
  uint8_t* block = room.buffer.data() + begin;
  std::memset(block, 0, kWalBlock);
  std::memcpy(block + at, bytes.data(), bytes.size());
  edges_.used_up_to(room.buffer, begin + kWalBlock);
  shared_.push_back({std::move(room.buffer), begin, begin + kWalBlock});
  shared_bytes_ += kWalBlock;
  return begin + at;
}

void OpenChunk::seal() {
  WEIR_CHECK(!sealed_ && !entries_.empty());
  const size_t footer_size = footer_bytes(entries_.size());
  if (packed_.empty() || !footer_fits()) open_packed_piece(footer_size);
  Piece& tail = packed_.back();
  const size_t at = footer_at();
  std::memset(tail.buffer.data() + tail.end, 0, at - tail.end);
  footer_ = tail.buffer.data() + at;
  footer_offset_ = static_cast<uint32_t>(closed_bytes_ + at - tail.begin);
  tail.end = at + footer_size;
  pad(tail);
  memory_->used_up_to(tail.buffer, tail.end);
  sealed_ = true;

  // Now every piece's place in the chunk is known.
  iovecs_.clear();
  uint64_t offset = 0;
  std::vector<uint64_t> starts;
  starts.reserve(packed_.size() + shared_.size());
  for (const auto* pieces : {&packed_, &shared_}) {
    for (const Piece& piece : *pieces) {
      starts.push_back(offset);
      iovecs_.push_back({piece.buffer.data() + piece.begin, piece.length()});
      offset += piece.length();
    }
  }
  uint8_t* out = footer_ + kFooterHeaderBytes;
  for (Entry& entry : entries_) {
    const bool copied = entry.piece >= 0;
    const size_t index = static_cast<size_t>(copied ? entry.piece : -entry.piece - 1);
    const Piece& piece = (copied ? packed_ : shared_)[index];
    const uint64_t start = starts[copied ? index : packed_.size() + index];
    entry.footer.position = static_cast<uint32_t>(start + entry.at - piece.begin);
    encode_footer_entry(entry.footer, out);
    out += kFooterEntryBytes;
  }
}

void OpenChunk::address(const WalFileIdentity& file, uint64_t offset, ChunkNumber number) {
  WEIR_CHECK(sealed_ && offset % kWalBlock == 0);
  ChunkHeader header;
  header.file = file;
  header.number = number;
  header.length = static_cast<uint32_t>(length());
  header.block = static_cast<uint32_t>(offset / kWalBlock);
  header.footer_offset = footer_offset_;
  header.footer_length = static_cast<uint32_t>(footer_bytes(entries_.size()));
  header.footer_crc = encode_footer_header(file.salt, number, footer_offset_, {footer_, header.footer_length});
  encode_chunk_header(header, packed_.front().buffer.data() + packed_.front().begin);
}

void OpenChunk::reset() {
  packed_.clear();
  shared_.clear();
  entries_.clear();
  iovecs_.clear();
  closed_bytes_ = shared_bytes_ = 0;
  footer_offset_ = 0;
  footer_ = nullptr;
  sealed_ = false;
}

}  // namespace weir::storage
