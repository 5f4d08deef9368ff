#include "runtime/flush_engine.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "runtime/flush_thread.h"
#include "runtime/uring_engine.h"

namespace weir::runtime {

void FlushRequest::complete() {
  busy = false;
  Result<void> result = std::exchange(outcome, {});
  Function<void(Result<void>)> callback = std::exchange(done, nullptr);
  if (!writer_gone) callback(std::move(result));
}

Result<std::unique_ptr<FlushEngine>> make_flush_engine(FlushEngineKind kind, EpollLoop& loop) {
  if (kind == FlushEngineKind::kIoUring) {
    Result<std::unique_ptr<UringEngine>> ring = UringEngine::open(loop);
    if (ring) return std::move(*ring);
    log_warn("runtime", "{}: durable writes of shard {} go through a thread", ring.error().message, loop.index());
  }
  return FlushThread::start(loop);
}

EngineWriter::EngineWriter(FlushEngine& engine, UniqueFd fd, std::string path, bool flush_to_device)
    : engine_(engine), request_(std::make_shared<FlushRequest>()) {
  request_->fd = std::move(fd);
  request_->path = std::move(path);
  request_->rw_flags = flush_to_device ? RWF_DSYNC : 0;
}

EngineWriter::~EngineWriter() { request_->writer_gone = true; }

void EngineWriter::write(uint64_t offset, std::span<const iovec> pieces, Function<void(Result<void>)> done) {
  WEIR_CHECK(!request_->busy);
  if (request_->rw_flags != 0) {
    WEIR_CHECK(offset % 4096 == 0);
    for (const iovec& piece : pieces) {
      WEIR_CHECK(piece.iov_len % 4096 == 0 && reinterpret_cast<uintptr_t>(piece.iov_base) % 4096 == 0);
    }
  }
  request_->busy = true;
  request_->offset = offset;
  request_->pieces.assign(pieces);
  request_->done = std::move(done);
  engine_.submit(request_);
}

}  // namespace weir::runtime
