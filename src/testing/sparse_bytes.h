// The content of a simulated file: sparse 4 KB pages, shared between copies until one of them is written.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "base/bytes.h"

namespace weir::testing {

class SparseBytes {
 public:
  static constexpr uint64_t kPageSize = 4096;
  static constexpr uint64_t kSectorSize = 512;
  static constexpr uint64_t kSectorsPerPage = kPageSize / kSectorSize;

  void read(uint64_t offset, MutableBytes into) const;  // zeros where nothing was written
  void write(uint64_t offset, Bytes bytes);
  void clear_from(uint64_t offset);  // zeros from here on
  // Copies the whole 512-byte sector `sector` of `from`.
  void copy_sector(const SparseBytes& from, uint64_t sector);
  void copy_page(const SparseBytes& from, uint64_t page);
  // Calls visit(page number) for every page from `first` on that may hold other bytes than zeros.
  template <typename Visit>
  void for_pages_from(uint64_t first, Visit visit) const {
    for (auto page = pages_.lower_bound(first); page != pages_.end(); ++page) visit(page->first);
  }

 private:
  using Page = std::array<uint8_t, kPageSize>;
  uint8_t* writable(uint64_t page);

  std::map<uint64_t, std::shared_ptr<Page>> pages_;
};

}  // namespace weir::testing
