// How DurableWriters of a loop get their writes done: one engine per loop, shared by its writers.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/file.h"
#include "runtime/file_io.h"
#include "runtime/unique_fd.h"

namespace weir::runtime {

enum class FlushEngineKind {
  kAuto,     // what measured best (see README): the thread
  kIoUring,  // falls back to kThread with a warning where io_uring is refused
  kThread,
};

// One write under way. Owned by its writer and, while the kernel may still read the memory, by the engine.
struct FlushRequest {
  UniqueFd fd;
  std::string path;
  int rw_flags = 0;  // RWF_DSYNC or 0
  uint64_t offset = 0;
  PendingPieces pieces;
  Result<void> outcome;
  Function<void(Result<void>)> done;
  bool busy = false;
  bool writer_gone = false;

  // On the loop: reports `outcome` to the writer's caller, or to nobody if the writer is gone.
  void complete();
};

class EpollLoop;

class FlushEngine {
 public:
  virtual ~FlushEngine() = default;
  // Loop thread only. Completes the request on the loop, never inline.
  virtual void submit(std::shared_ptr<FlushRequest> request) = 0;
  // After the loop has ended: returns when no write is under way any more. Nothing is completed from then on.
  virtual void stop() = 0;
};

Result<std::unique_ptr<FlushEngine>> make_flush_engine(FlushEngineKind kind, EpollLoop& loop);

// If it is destroyed while a write is under way, `done` is not called, but lives (with the memory it owns)
// until the kernel has finished with it.
class EngineWriter final : public DurableWriter {
 public:
  EngineWriter(FlushEngine& engine, UniqueFd fd, std::string path, bool flush_to_device);
  ~EngineWriter() override;
  void write(uint64_t offset, std::span<const iovec> pieces, Function<void(Result<void>)> done) override;

 private:
  FlushEngine& engine_;
  std::shared_ptr<FlushRequest> request_;
};

}  // namespace weir::runtime
