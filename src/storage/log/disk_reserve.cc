#include "storage/log/disk_reserve.h"

#include <algorithm>
#include <array>

#include "base/log.h"

namespace weir::storage {

namespace {

constexpr size_t kFiles = 2;
constexpr uint64_t kBlock = 4096;
constexpr uint64_t kOrderingKey = 0x7265'7365'7276'6500;

std::string file_of(const std::string& folder, size_t number) { return folder + "/reserve." + std::to_string(number); }

}  // namespace

struct DiskReserve::Shared {
  Shared(runtime::FileSystem& file_system, DiskReserveOptions given) : files(file_system), options(std::move(given)) {}

  // On the pool, one call at a time.
  void look();
  void settle_sizes(uint64_t free);
  bool set_aside();
  void release_one();

  runtime::FileSystem& files;
  DiskReserveOptions options;
  bool settled = false;
  std::array<bool, kFiles> held{};
  uint64_t half = 0;  // size of one file
  bool alive = true;  // loop thread only

  std::atomic<bool> full{false};
  std::atomic<uint64_t> free_bytes{0};
  std::atomic<uint64_t> reserved_bytes{0};
};

// The files of an earlier run stay as they are: on a full disk there would be no room for new ones.
void DiskReserve::Shared::settle_sizes(uint64_t free) {
  settled = true;
  std::array<uint64_t, kFiles> sizes{};
  for (size_t i = 0; i < kFiles; ++i) {
    if (auto file = files.open(file_of(options.folder, i), {})) sizes[i] = (*file)->size().value_or(0);
  }
  half = *std::ranges::max_element(sizes);
  const uint64_t wanted = options.reserve_bytes / kFiles / kBlock * kBlock;
  if (half == 0 || half > wanted) half = std::min(wanted, free / 10 / kFiles / kBlock * kBlock);
  for (size_t i = 0; i < kFiles; ++i) {
    held[i] = half > 0 && sizes[i] == half;
    if (!held[i]) (void)files.remove(file_of(options.folder, i));
  }
  if (half > 0) options.low_bytes = std::min(options.low_bytes, half * kFiles / 4);
}

bool DiskReserve::Shared::set_aside() {
  const auto create = [this](const std::string& path) {
    auto file = files.open(path, {.write = true, .create = true});
    return file && (*file)->allocate(half) && (*file)->truncate(half);  // its length tells the next run its size
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

void DiskReserve::Shared::look() {
  auto free = files.free_bytes(options.folder);
  if (!free) return;  // the next look may tell
  if (!settled) {
    settle_sizes(*free);
    free = files.free_bytes(options.folder).value_or(*free);
  }
  const uint64_t missing = half * static_cast<uint64_t>(std::ranges::count(held, false));
  bool now_full = full.load(std::memory_order_relaxed);
  if (*free < options.low_bytes) now_full = true;
  else if (*free >= missing + 2 * options.low_bytes) now_full = !set_aside();
  if (now_full && *free < options.low_bytes / 4) release_one();
  free_bytes.store(files.free_bytes(options.folder).value_or(*free), std::memory_order_relaxed);
  reserved_bytes.store(half * static_cast<uint64_t>(std::ranges::count(held, true)), std::memory_order_relaxed);
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
  runtime_.pool->submit([shared = shared_] { shared->look(); }, loop_,
                        [this, shared = shared_] {
                          if (shared->alive) checked();
                        },
                        kOrderingKey);
}

void DiskReserve::checked() {
  const State now = state();
  if (now.full != full_) {
    full_ = now.full;
    if (full_) {
      log_error("log",
                "The disk of {} is full ({} MiB left): produce requests are refused with a retriable error, everything else "
                "goes on. Make room, delete topics or shorten their retention; it goes on by itself.",
                shared_->options.folder, now.free_bytes >> 20);
    } else {
      log_info("log", "The disk of {} has room again ({} MiB): produce requests are taken", shared_->options.folder,
               now.free_bytes >> 20);
    }
    on_change_(full_);
  }
  timer_ = loop_.schedule_after(check_interval_ns_, [this] {
    timer_ = {};
    check();
  });
}

}  // namespace weir::storage
