// Copies a file, for tools. Blocking.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/file.h"

namespace weir::runtime {

// What `from` holds becomes what `to` holds, which is made if it is not there. Returns `to`, to be synced where that matters.
inline Result<std::unique_ptr<File>> copy_file(FileSystem& files, const std::string& from, const std::string& to) {
  auto source = files.open(from, {});
  if (!source) return source;
  auto target = files.open(to, {.write = true, .create = true, .truncate = true});
  if (!target) return target;
  std::vector<uint8_t> piece(1 << 20);
  for (uint64_t at = 0;;) {
    auto got = (*source)->read_at(at, piece);
    if (!got) return std::unexpected(std::move(got.error()));
    if (*got == 0) return target;
    if (auto ok = (*target)->write_at(at, Bytes(piece.data(), *got)); !ok) return std::unexpected(std::move(ok.error()));
    at += *got;
  }
}

}  // namespace weir::runtime
