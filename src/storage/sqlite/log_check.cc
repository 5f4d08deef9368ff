#include "storage/sqlite/log_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "storage/sqlite/content.h"

namespace weir::storage {

namespace {

// https://www.sqlite.org/fileformat2.html, "The Write-Ahead Log". All integers are big-endian.
constexpr uint64_t kHeader = 32;
constexpr uint64_t kFrameHeader = 24;
constexpr uint32_t kMagic = 0x377f0682;  // and the lowest bit: checksums over big-endian words

struct Checksum {
  uint32_t a = 0;
  uint32_t b = 0;
  bool operator==(const Checksum&) const = default;

  // `bytes` is a multiple of eight long.
  void add(Bytes bytes, bool big_endian) {
    for (size_t i = 0; i < bytes.size(); i += 8) {
      a += word(bytes.data() + i, big_endian) + b;
      b += word(bytes.data() + i + 4, big_endian) + a;
    }
  }
  static Checksum stored(const uint8_t* at) { return {load_be<uint32_t>(at), load_be<uint32_t>(at + 4)}; }

 private:
  static uint32_t word(const uint8_t* at, bool big_endian) {
    const uint32_t value = load_be<uint32_t>(at);
    return big_endian ? value : __builtin_bswap32(value);
  }
};

class LogCheck {
 public:
  LogCheck(runtime::File& file, std::string path, uint64_t size) : file_(file), path_(std::move(path)), size_(size) {}

  Result<bool> run() {
    uint8_t header[kHeader] = {};
    auto got = file_.read_at(0, header);
    if (!got) return std::unexpected(std::move(got.error()));
    if (*got < kHeader || !take_header(header)) return without_header();
    if (auto frames = check_frames(); !frames) return std::unexpected(std::move(frames.error()));
    return true;
  }

 private:
  bool take_header(const uint8_t* header) {
    const uint32_t magic = load_be<uint32_t>(header);
    if ((magic & ~1u) != kMagic) return false;
    big_endian_ = (magic & 1) != 0;
    page_ = load_be<uint32_t>(header + 8);
    if (page_ < 512 || page_ > 65536 || (page_ & (page_ - 1)) != 0) return false;
    salt_ = load_be<uint64_t>(header + 16);
    sum_.add({header, 24}, big_endian_);
    return sum_ == Checksum::stored(header + 24);
  }

  // A header that never became durable may be there in part. Length and contents become durable apart, so zeros may follow it.
  // Frames prove that there was a whole header once.
  Result<bool> without_header() {
    std::vector<uint8_t> bytes(1 << 20);
    for (uint64_t at = kHeader; at < size_;) {
      auto got = file_.read_at(at, bytes);
      if (!got) return std::unexpected(std::move(got.error()));
      if (*got == 0) break;
      if (std::any_of(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(*got), [](uint8_t b) { return b != 0; })) {
        return damaged("its header is damaged");
      }
      at += *got;
    }
    return false;
  }

  Result<void> check_frames() {
    std::vector<uint8_t> frame(kFrameHeader + page_);
    for (uint64_t at = kHeader; at + frame.size() <= size_; at += frame.size()) {
      auto got = file_.read_at(at, frame);
      if (!got) return std::unexpected(std::move(got.error()));
      if (*got < frame.size()) return {};
      sum_.add({frame.data(), 8}, big_endian_);
      sum_.add(Bytes(frame).subspan(kFrameHeader), big_endian_);
      const bool whole = load_be<uint64_t>(frame.data() + 8) == salt_ && load_be<uint32_t>(frame.data()) != 0 &&
                         sum_ == Checksum::stored(frame.data() + 16);
      if (!whole) return check_rest(at);
    }
    return {};
  }

  // `at`: the first frame that is not whole. A power cut leaves parts of one transaction, and the last frame of a transaction is
  // marked. So a frame behind a last frame shows damage.
  Result<void> check_rest(uint64_t at) {
    const uint64_t broken = at;
    bool ended = false;
    for (; at + kFrameHeader <= size_; at += kFrameHeader + page_) {
      uint8_t header[kFrameHeader] = {};
      auto got = file_.read_at(at, header);
      if (!got) return std::unexpected(std::move(got.error()));
      if (*got < kFrameHeader || load_be<uint64_t>(header + 8) != salt_) continue;
      if (ended) {
        auto told = damaged(fmt::format("the frame at {} is damaged", broken));
        return std::unexpected(std::move(told.error()));
      }
      ended = load_be<uint32_t>(header + 4) != 0;
    }
    return {};
  }

  Result<bool> damaged(const std::string& what) const {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{}: {}, and transactions that were committed in it would be lost without a trace. {}", path_, what,
                            database_remedy(path_.substr(0, path_.size() - std::string_view("-wal").size()))));
  }

  runtime::File& file_;
  const std::string path_;
  const uint64_t size_;
  bool big_endian_ = false;
  uint32_t page_ = 0;
  uint64_t salt_ = 0;  // both halves; frames of an earlier round carry another salt
  Checksum sum_;
};

}  // namespace

Result<bool> check_sqlite_log(runtime::FileSystem& files, const std::string& path) {
  auto exists = files.exists(path);
  if (!exists || !*exists) return exists;
  auto file = files.open(path, {});
  if (!file) return std::unexpected(std::move(file.error()));
  auto size = (*file)->size();
  if (!size) return std::unexpected(std::move(size.error()));
  if (*size == 0) return false;
  return LogCheck(**file, path, *size).run();
}

}  // namespace weir::storage
