#include "testing/sparse_bytes.h"

#include <algorithm>
#include <cstring>

namespace weir::testing {

namespace {
bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}
}  // namespace

uint8_t* SparseBytes::writable(uint64_t page) {
  auto& slot = pages_[page];
  if (!slot) {
    slot = std::make_shared<Page>();
    slot->fill(0);
  } else if (slot.use_count() > 1) {
    slot = std::make_shared<Page>(*slot);
  }
  return slot->data();
}

void SparseBytes::read(uint64_t offset, MutableBytes into) const {
  while (!into.empty()) {
    const uint64_t within = offset % kPageSize;
    const size_t length = std::min<uint64_t>(into.size(), kPageSize - within);
    const auto page = pages_.find(offset / kPageSize);
    if (page == pages_.end()) {
      std::memset(into.data(), 0, length);
    } else {
      std::memcpy(into.data(), page->second->data() + within, length);
    }
    into = into.subspan(length);
    offset += length;
  }
}

void SparseBytes::write(uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const uint64_t within = offset % kPageSize;
    const size_t length = std::min<uint64_t>(bytes.size(), kPageSize - within);
    const uint64_t page = offset / kPageSize;
    // Zero-filled preallocation costs no memory.
    if (pages_.contains(page) || !all_zero(bytes.first(length))) {
      std::memcpy(writable(page) + within, bytes.data(), length);
    }
    bytes = bytes.subspan(length);
    offset += length;
  }
}

void SparseBytes::clear_from(uint64_t offset) {
  const uint64_t page = offset / kPageSize;
  const uint64_t within = offset % kPageSize;
  pages_.erase(pages_.lower_bound(page + (within ? 1 : 0)), pages_.end());
  if (within && pages_.contains(page)) std::memset(writable(page) + within, 0, kPageSize - within);
}

void SparseBytes::copy_sector(const SparseBytes& from, uint64_t sector) {
  const uint64_t page = sector / kSectorsPerPage;
  const auto source = from.pages_.find(page);
  if (source == from.pages_.end() && !pages_.contains(page)) return;
  std::array<uint8_t, kSectorSize> bytes{};
  from.read(sector * kSectorSize, bytes);
  write(sector * kSectorSize, bytes);
}

void SparseBytes::copy_page(const SparseBytes& from, uint64_t page) {
  const auto source = from.pages_.find(page);
  if (source == from.pages_.end()) {
    pages_.erase(page);
  } else {
    pages_[page] = source->second;
  }
}

}  // namespace weir::testing
