#include "testing/sim_file.h"

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/crc32c.h"

namespace weir::testing {

namespace {
constexpr uint64_t kAlignment = 4096;
constexpr uint64_t kCacheUnit = 65536;

uint64_t total(std::span<const iovec> pieces) {
  uint64_t bytes = 0;
  for (const iovec& piece : pieces) bytes += piece.iov_len;
  return bytes;
}

std::vector<uint8_t> gather(std::span<const iovec> pieces) {
  std::vector<uint8_t> bytes;
  bytes.reserve(total(pieces));
  for (const iovec& piece : pieces) {
    const auto* from = static_cast<const uint8_t*>(piece.iov_base);
    bytes.insert(bytes.end(), from, from + piece.iov_len);
  }
  return bytes;
}

bool aligned(uint64_t value) { return value % kAlignment == 0; }
}  // namespace

SimFile::SimFile(SimDisk& disk, std::shared_ptr<DiskNode> node, std::string path, runtime::OpenFlags flags, bool locks)
    : disk_(disk), node_(std::move(node)), path_(std::move(path)), flags_(flags), locks_(locks), life_(disk.life_) {
  ++node_->handles;
  if (locks_) node_->locked_life = life_;
}

SimFile::~SimFile() {
  if (life_ != disk_.life_) return;
  --node_->handles;
  if (locks_) node_->locked_life = 0;
  disk_.release_if_gone(*node_);
}

Result<void> SimFile::usable() const {
  if (disk_.dead_ || life_ != disk_.life_) return disk_.died();
  return {};
}

bool SimFile::misaligned(uint64_t offset, uint64_t length, const void* memory) const {
  return flags_.direct && !(aligned(offset) && aligned(length) && aligned(reinterpret_cast<uintptr_t>(memory)));
}

void SimFile::set_cached(uint64_t offset, uint64_t length, bool cached) {
  if (length == 0) return;
  const size_t last = (offset + length - 1) / kCacheUnit;
  if (node_->cached.size() <= last) node_->cached.resize(last + 1);
  for (size_t unit = offset / kCacheUnit; unit <= last; ++unit) node_->cached[unit] = cached;
}

Result<size_t> SimFile::read_at(uint64_t offset, MutableBytes into) {
  if (auto ok = usable(); !ok) return std::unexpected(ok.error());
  if (const int error = disk_.injected(DiskOperation::kRead, path_)) return fail_errno("read of '" + path_ + "'", error);
  if (misaligned(offset, into.size(), into.data())) return fail_errno("unaligned read of '" + path_ + "'", EINVAL);
  const uint64_t end = std::min<uint64_t>(node_->content.length(), offset + into.size());
  if (offset >= end) return size_t{0};
  const size_t length = end - offset;
  node_->content.read(offset, into.first(length));
  if (!flags_.direct) set_cached(offset, length, true);
  return length;
}

Result<void> SimFile::write_at(uint64_t offset, std::span<const iovec> pieces) {
  if (auto ok = usable(); !ok) return ok;
  if (!flags_.write) return fail_errno("write to '" + path_ + "', opened for reading", EBADF);
  for (const iovec& piece : pieces) {
    if (misaligned(offset, piece.iov_len, piece.iov_base)) return fail_errno("unaligned write to '" + path_ + "'", EINVAL);
  }
  std::vector<uint8_t> bytes = gather(pieces);
  const auto admission = disk_.admit(DiskOperation::kWrite, path_, mix(offset) ^ crc32c(bytes));
  if (!admission) return std::unexpected(admission.error());
  int error = admission->os_errno;
  uint64_t part = bytes.size();
  if (admission->last || error) part = disk_.random_.between(0, bytes.size());
  if (!disk_.charge(*node_, offset + part)) {
    error = ENOSPC;
    part = std::min(part, node_->charged > offset ? node_->charged - offset : 0);
  }
  node_->content.write(offset, Bytes(bytes).first(part), disk_.random_);
  if (admission->last) return disk_.died();
  if (error) return fail_errno("write to '" + path_ + "'", error);
  if (!flags_.direct) set_cached(offset, bytes.size(), true);
  return {};
}

Result<void> SimFile::sync() {
  if (auto ok = usable(); !ok) return ok;
  const auto admission = disk_.admit(DiskOperation::kSync, path_);
  if (!admission) return std::unexpected(admission.error());
  if (admission->last) return disk_.died();
  if (admission->os_errno) {
    node_->content.fail_flush(disk_.random_);
    return fail_errno("sync of '" + path_ + "'", admission->os_errno);
  }
  node_->content.flush();
  node_->durable_reserved = node_->reserved;
  return {};
}

Result<void> SimFile::truncate(uint64_t length) {
  if (auto ok = usable(); !ok) return ok;
  if (!flags_.write) return fail_errno("truncate of '" + path_ + "', opened for reading", EBADF);
  const auto admission = disk_.admit(DiskOperation::kTruncate, path_, length);
  if (!admission) return std::unexpected(admission.error());
  if (admission->os_errno) return fail_errno("truncate of '" + path_ + "'", admission->os_errno);
  if (!disk_.charge(*node_, length)) return fail_errno("truncate of '" + path_ + "'", ENOSPC);
  node_->content.set_length(length);
  node_->reserved = std::min(node_->reserved, length);
  disk_.charge(*node_, length);
  if (admission->last) return disk_.died();
  return {};
}

Result<void> SimFile::allocate(uint64_t length) {
  if (auto ok = usable(); !ok) return ok;
  if (!flags_.write) return fail_errno("allocate of '" + path_ + "', opened for reading", EBADF);
  const auto admission = disk_.admit(DiskOperation::kAllocate, path_, length);
  if (!admission) return std::unexpected(admission.error());
  if (admission->os_errno) return fail_errno("allocate of '" + path_ + "'", admission->os_errno);
  if (!disk_.charge(*node_, length)) return fail_errno("allocate of '" + path_ + "'", ENOSPC);
  node_->reserved = std::max(node_->reserved, length);
  if (admission->last) return disk_.died();
  return {};
}

Result<uint64_t> SimFile::size() {
  if (auto ok = usable(); !ok) return std::unexpected(ok.error());
  return node_->content.length();
}

Result<uint64_t> SimFile::allocated() {
  if (auto ok = usable(); !ok) return std::unexpected(ok.error());
  return node_->charged;
}

bool SimFile::resident(uint64_t offset, size_t length) {
  if (!usable() || length == 0) return false;
  const size_t last = (offset + length - 1) / kCacheUnit;
  if (last >= node_->cached.size()) return false;
  for (size_t unit = offset / kCacheUnit; unit <= last; ++unit) {
    if (!node_->cached[unit]) return false;
  }
  if (disk_.random_.one_in(disk_.options_.eviction_one_in)) {
    set_cached(offset, length, false);
    return false;
  }
  return true;
}

Result<void> SimFile::make_resident(uint64_t offset, size_t length) {
  if (auto ok = usable(); !ok) return ok;
  if (const int error = disk_.injected(DiskOperation::kRead, path_)) return fail_errno("read of '" + path_ + "'", error);
  if (offset >= node_->content.length()) return {};
  set_cached(offset, std::min<uint64_t>(length, node_->content.length() - offset), true);
  return {};
}

SimDurableWriter::SimDurableWriter(SimDisk& disk, std::shared_ptr<DiskNode> node, std::string path, runtime::Loop& loop,
                                   bool flush_to_device)
    : disk_(disk),
      node_(std::move(node)),
      path_(std::move(path)),
      loop_(loop),
      flush_to_device_(flush_to_device),
      life_(disk.life_) {
  ++node_->handles;
}

SimDurableWriter::~SimDurableWriter() {
  if (life_ != disk_.life_) return;
  if (in_flight_) in_flight_->abandoned = true;
  --node_->handles;
  disk_.release_if_gone(*node_);
}

int64_t SimDurableWriter::delay_ns() {
  const SimDisk::Options& options = disk_.options_;
  const int64_t limit = disk_.random_.one_in(64) ? options.durable_write_slow_ns : options.durable_write_max_ns;
  return static_cast<int64_t>(disk_.random_.between(options.durable_write_min_ns, std::max(options.durable_write_min_ns, limit)));
}

void SimDurableWriter::write(uint64_t offset, std::span<const iovec> pieces, Function<void(Result<void>)> done) {
  WEIR_CHECK(!in_flight_);
  WEIR_CHECK(loop_.in_loop());
  WEIR_CHECK(aligned(offset));
  for (const iovec& piece : pieces) {
    WEIR_CHECK(aligned(piece.iov_len) && aligned(reinterpret_cast<uintptr_t>(piece.iov_base)));
  }
  if (life_ != disk_.life_) return;  // a dead process gets no completion
  auto bytes = gather(pieces);
  const auto admission = disk_.admit(DiskOperation::kDurableWriteStart, path_, mix(offset) ^ crc32c(bytes));
  if (!admission) return;
  in_flight_ = std::make_shared<InFlight>();
  in_flight_->offset = offset;
  in_flight_->pieces.assign(pieces.begin(), pieces.end());
  if (!disk_.charge(*node_, offset + bytes.size())) in_flight_->os_errno = ENOSPC;
  in_flight_->number = node_->content.begin_write(offset, std::move(bytes));
  loop_.schedule_after(delay_ns(), [this, state = in_flight_, life = life_, &disk = disk_, node = node_, path = path_,
                                    to_device = flush_to_device_, done = std::move(done)]() mutable {
    if (life != disk.life_ || disk.dead_) return;
    if (!state->abandoned) in_flight_ = nullptr;
    finish(disk, *node, path, to_device, *state, state->abandoned ? nullptr : std::move(done));
  });
}

void SimDurableWriter::finish(SimDisk& disk, DiskNode& node, const std::string& path, bool flush_to_device, InFlight& write,
                              Function<void(Result<void>)> done) {
  const auto admission = disk.admit(DiskOperation::kDurableWriteEnd, path, write.offset);
  if (!admission || admission->last) return;  // stays in flight; cut_power() decides about it
  const std::vector<uint8_t> bytes = node.content.end_write(write.number);
  if (!write.abandoned) WEIR_CHECK(gather(write.pieces) == bytes);
  const int error = write.os_errno ? write.os_errno : admission->os_errno;
  if (error) {
    if (write.os_errno == 0) node.content.write_torn(write.offset, bytes, disk.random_);
    if (done) done(fail_errno("durable write to '" + path + "'", error));
    return;
  }
  if (flush_to_device) {
    node.content.write_durable(write.offset, bytes);
  } else {
    node.content.write(write.offset, bytes, disk.random_);
  }
  if (done) done({});
}

}  // namespace weir::testing
