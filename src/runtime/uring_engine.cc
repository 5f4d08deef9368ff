#include "runtime/uring_engine.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/check.h"

namespace weir::runtime {
namespace {

constexpr unsigned kEntries = 32;  // writers of one loop that may submit between two system calls

int create_ring(io_uring& ring) {
  // Completions are processed when this loop asks for them instead of interrupting it: Linux 6.1.
  const int status =
      io_uring_queue_init(kEntries, &ring, IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  return status == -EINVAL ? io_uring_queue_init(kEntries, &ring, IORING_SETUP_R_DISABLED) : status;
}

}  // namespace

Result<std::unique_ptr<UringEngine>> UringEngine::open(EpollLoop& loop) {
  std::unique_ptr<UringEngine> engine(new UringEngine(loop));
  if (const int status = create_ring(engine->ring_); status < 0) return fail_errno("io_uring is refused", -status);
  engine->open_ = true;
  return engine;
}

UringEngine::~UringEngine() {
  if (open_) io_uring_queue_exit(&ring_);
}

void UringEngine::stop() { WEIR_CHECK(free_slots_.size() == under_way_.size()); }

void UringEngine::bind_to_this_thread() {
  WEIR_CHECK(loop_.in_loop());
  // liburing 2.3 declares io_uring_enable_rings without exporting it.
  WEIR_CHECK(::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) == 0);
  // Polling the ring's own descriptor would miss work that is deferred to this thread. Edge-triggered: never
  // read.
  event_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  WEIR_CHECK(event_);
  WEIR_CHECK(io_uring_register_eventfd(&ring_, event_.get()) == 0);
  watch_ = loop_.watch(event_.get(), EPOLLIN | EPOLLET, *this);
  loop_.at_exit([this] { wait_for_writes(); });
}

void UringEngine::submit(std::shared_ptr<FlushRequest> request) {
  if (watch_ == 0) bind_to_this_thread();
  if (free_slots_.empty()) {
    free_slots_.push_back(under_way_.size());
    under_way_.emplace_back();
  }
  const size_t slot = free_slots_.back();
  free_slots_.pop_back();
  under_way_[slot] = std::move(request);
  start(slot);
}

void UringEngine::start(size_t slot) {
  FlushRequest& request = *under_way_[slot];
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  WEIR_CHECK(entry != nullptr);  // each entry is submitted at once
  const std::span<iovec> pieces = request.pieces.next();
  io_uring_prep_writev2(entry, request.fd.get(), pieces.data(), static_cast<unsigned>(pieces.size()), request.offset,
                        request.rw_flags);
  io_uring_sqe_set_data64(entry, slot);
  int submitted = 0;
  do {
    submitted = io_uring_submit(&ring_);
  } while (submitted == -EINTR || submitted == -EAGAIN);
  WEIR_CHECK(submitted == 1);
}

void UringEngine::on_events(uint32_t) { reap(true); }

void UringEngine::reap(bool report) {
  io_uring_get_events(&ring_);
  io_uring_cqe* completion = nullptr;
  while (io_uring_peek_cqe(&ring_, &completion) == 0) {
    const auto slot = static_cast<size_t>(io_uring_cqe_get_data64(completion));
    const int result = completion->res;
    io_uring_cqe_seen(&ring_, completion);  // before the callback, which may submit the next write
    finish_part(slot, result, report);
  }
}

void UringEngine::finish_part(size_t slot, int result, bool report) {
  FlushRequest& request = *under_way_[slot];
  if (result > 0) {
    request.pieces.consume(static_cast<size_t>(result));
    request.offset += static_cast<uint64_t>(result);
    if (!request.pieces.empty()) return start(slot);
  } else if (result == -EINTR || result == -EAGAIN || (result == -EINVAL && drop_direct(request.fd.get()))) {
    return start(slot);
  } else if (!request.pieces.empty()) {
    request.outcome = fail_errno("cannot write " + request.path, result < 0 ? -result : EIO);
  }
  const std::shared_ptr<FlushRequest> finished = std::move(under_way_[slot]);
  free_slots_.push_back(slot);
  if (report) finished->complete();
}

// Only the thread the ring is bound to can do this.
void UringEngine::wait_for_writes() {
  while (free_slots_.size() < under_way_.size()) {
    io_uring_cqe* completion = nullptr;
    const int status = io_uring_wait_cqe(&ring_, &completion);
    WEIR_CHECK(status == 0 || status == -EINTR || status == -EAGAIN);
    reap(false);
  }
  loop_.unwatch(watch_);
}

}  // namespace weir::runtime
