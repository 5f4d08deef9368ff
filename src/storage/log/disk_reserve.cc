#include "storage/log/disk_reserve.h"

#include <algorithm>
#include <array>

#include "base/log.h"

namespace weir::storage {

namespace {

constexpr size_t kFiles = 2;
constexpr uint64_t kBlock = 4096;
constexpr uint64_t kLeastHalf = 2 << 20;  // less than this helps nobody
constexpr uint64_t kOrderingKey = 0x7265'7365'7276'6500;

std::string file_of(const std::string& folder, size_t number) { return folder + "/reserve." + std::to_string(number); }

}  // namespace

struct DiskReserve::Shared {
  Shared(runtime::FileSystem& file_system, DiskReserveOptions given) : files(file_system), options(std::move(given)) {}

  // On the pool, one call at a time.
  void look(bool change_files);
  void take_over();
  void settle_size(uint64_t free);
  bool set_aside();
  void release_one();
  uint64_t occupied_by(size_t number) const;
  uint64_t held_bytes() const { return half * static_cast<uint64_t>(std::ranges::count(held, true)); }
  uint64_t low_bytes() const { return half > 0 ? std::min(options.low_bytes, half * kFiles / 4) : options.low_bytes; }

  runtime::FileSystem& files;
  const DiskReserveOptions options;
  bool taken_over = false;
  std::array<bool, kFiles> held{};
  uint64_t half = 0;    // size of one file
  std::string refusal;  // why nothing can be set aside, apart from lack of space
  bool alive = true;    // loop thread only

  std::atomic<bool> full{false};
  std::atomic<uint64_t> free_bytes{0};
  std::atomic<uint64_t> reserved_bytes{0};
};

// The files of an earlier run stay as they are, because a full disk has no room for new ones. If they are a copy with holes, they
// reserve nothing, and are made anew once there is room.
void DiskReserve::Shared::take_over() {
  taken_over = true;
  std::array<uint64_t, kFiles> sizes{};
  for (size_t i = 0; i < kFiles; ++i) {
    if (auto file = files.open(file_of(options.folder, i), {})) sizes[i] = (*file)->size().value_or(0);
  }
  half = *std::ranges::max_element(sizes);
  if (half > options.reserve_bytes / kFiles / kBlock * kBlock) half = 0;
  for (size_t i = 0; i < kFiles; ++i) {
    held[i] = half > 0 && sizes[i] == half && occupied_by(i) == half;
    if (!held[i]) (void)files.remove(file_of(options.folder, i));
  }
}

uint64_t DiskReserve::Shared::occupied_by(size_t number) const {
  const auto file = files.open(file_of(options.folder, number), {});
  return file ? std::min((*file)->allocated().value_or(0), half) : 0;
}

// The reserve takes a tenth of the free space, up to the configured size. It never shrinks and grows in big steps. So a broker
// that started on a full disk gets its reserve once there is room. The size is 0 while the space is too little for a reserve that
// helps.
void DiskReserve::Shared::settle_size(uint64_t free) {
  const uint64_t wanted = options.reserve_bytes / kFiles / kBlock * kBlock;
  const uint64_t affordable = std::min(wanted, (free + held_bytes()) / 10 / kFiles / kBlock * kBlock);
  if (affordable < std::min(wanted, kLeastHalf) || affordable <= half) return;
  if (affordable < 2 * half && affordable < wanted) return;
  half = affordable;
  held.fill(false);
}

bool DiskReserve::Shared::set_aside() {
  refusal.clear();
  const auto create = [this](const std::string& path) {
    auto file = files.open(path, {.write = true, .create = true});
    Result<void> done = file ? (*file)->allocate(half) : std::unexpected(file.error());
    if (done) done = (*file)->truncate(half);  // its length tells the next run its size
    if (!done && done.error().code != ErrorCode::kNoSpace) refusal = done.error().message;
    return done.has_value();
  };
  for (size_t i = 0; i < kFiles && half > 0; ++i) {
    if (held[i]) continue;
    const std::string path = file_of(options.folder, i);
    held[i] = create(path);
    if (held[i]) continue;
    (void)files.remove(path);
    return false;
  }
  return true;
}

void DiskReserve::Shared::release_one() {
  const auto first = std::ranges::find(held, true);
  if (first == held.end()) return;
  if (auto gone = files.remove(file_of(options.folder, static_cast<size_t>(first - held.begin()))); !gone) {
    log_error("log", "The disk is full and the reserve cannot be released: {}", gone.error().message);
    return;
  }
  *first = false;
}

void DiskReserve::Shared::look(bool change_files) {
  auto free = files.free_bytes(options.folder);
  if (!free) return;  // the next look may succeed
  if (!taken_over) {
    take_over();
    free = files.free_bytes(options.folder).value_or(*free);
  }
  settle_size(*free);
  const uint64_t low = low_bytes();
  const uint64_t missing = half * kFiles - held_bytes();
  const bool none = options.reserve_bytes > 0 && half == 0;
  bool now_full = full.load(std::memory_order_relaxed);
  if (*free < low || none) now_full = true;
  else if (*free >= missing + 2 * low) now_full = change_files && !set_aside();
  if (change_files && now_full && *free < low / 4) release_one();
  free_bytes.store(files.free_bytes(options.folder).value_or(*free), std::memory_order_relaxed);
  uint64_t reserved = 0;  // less than is held where the file system cannot allocate
  for (size_t i = 0; i < kFiles; ++i) reserved += held[i] ? occupied_by(i) : 0;
  reserved_bytes.store(reserved, std::memory_order_relaxed);
  full.store(now_full, std::memory_order_relaxed);
}

DiskReserve::DiskReserve(const runtime::Runtime& runtime, runtime::Loop& loop, DiskReserveOptions options,
                         Function<void(bool)> on_change)
    : runtime_(runtime),
      loop_(loop),
      check_interval_ns_(options.check_interval_ns),
      on_change_(std::move(on_change)),
      shared_(std::make_shared<Shared>(*runtime.files, std::move(options))) {}

DiskReserve::~DiskReserve() { stop(); }

bool DiskReserve::full_before_start() {
  shared_->look(false);
  full_ = state().full;
  if (full_) tell();
  return full_;
}

void DiskReserve::start() { check(); }

void DiskReserve::stop() {
  shared_->alive = false;
  if (timer_) loop_.cancel(std::exchange(timer_, {}));
}

DiskReserve::State DiskReserve::state() const {
  return {shared_->full.load(std::memory_order_relaxed), shared_->free_bytes.load(std::memory_order_relaxed),
          shared_->reserved_bytes.load(std::memory_order_relaxed)};
}

void DiskReserve::check() {
  runtime_.pool->submit([shared = shared_] { shared->look(true); }, loop_,
                        [this, shared = shared_] {
                          if (shared->alive) checked();
                        },
                        kOrderingKey);
}

void DiskReserve::tell() const {
  const uint64_t free_mib = state().free_bytes >> 20;
  if (full_ && !shared_->refusal.empty()) {
    log_error(
        "log",
        "Nothing can be set aside for a full disk: {}. Produce requests are refused with a retriable error, everything else "
        "goes on. Mend that (permissions, limits of the process); it goes on by itself.",
        shared_->refusal);
  } else if (full_) {
    log_error("log",
              "The disk of {} is full ({} MiB left): produce requests are refused with a retriable error, everything else "
              "goes on. Make room, delete topics or shorten their retention; it goes on by itself.",
              shared_->options.folder, free_mib);
  } else {
    log_info("log", "The disk of {} has room again ({} MiB): produce requests are taken", shared_->options.folder, free_mib);
  }
}

void DiskReserve::checked() {
  if (const bool now_full = state().full; now_full != full_) {
    full_ = now_full;
    tell();
    on_change_(full_);
  }
  timer_ = loop_.schedule_after(check_interval_ns_, [this] {
    timer_ = {};
    check();
  });
}

}  // namespace weir::storage
