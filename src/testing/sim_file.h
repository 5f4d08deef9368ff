// Files and durable writers of SimDisk, which makes them.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "testing/disk_names.h"
#include "testing/sim_disk.h"

namespace weir::testing {

class SimFile final : public runtime::File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<DiskNode> node, std::string path, runtime::OpenFlags flags, bool locks);
  ~SimFile() override;

  Result<size_t> read_at(uint64_t offset, MutableBytes into) override;
  Result<void> write_at(uint64_t offset, std::span<const iovec> pieces) override;
  Result<void> sync() override;
  Result<void> truncate(uint64_t length) override;
  Result<void> allocate(uint64_t length) override;
  Result<uint64_t> size() override;
  Result<uint64_t> allocated() override;
  bool resident(uint64_t offset, size_t length) override;
  Result<void> make_resident(uint64_t offset, size_t length) override;

 private:
  Result<void> usable() const;
  bool misaligned(uint64_t offset, uint64_t length, const void* memory) const;
  void set_cached(uint64_t offset, uint64_t length, bool cached);

  SimDisk& disk_;
  std::shared_ptr<DiskNode> node_;
  std::string path_;
  runtime::OpenFlags flags_;
  bool locks_;
  uint64_t life_;
};

class SimDurableWriter final : public runtime::DurableWriter {
 public:
  SimDurableWriter(SimDisk& disk, std::shared_ptr<DiskNode> node, std::string path, runtime::Loop& loop, bool flush_to_device);
  // A write in flight goes on in the kernel and lands later. Its completion is not called.
  ~SimDurableWriter() override;
  // The memory must not change before `done`: the device may read it at any time in between (checked).
  void write(uint64_t offset, std::span<const iovec> pieces, Function<void(Result<void>)> done) override;

 private:
  struct InFlight {
    bool abandoned = false;  // the writer is gone
    uint64_t number = 0;     // in the file's content
    uint64_t offset = 0;
    int os_errno = 0;
    std::vector<iovec> pieces;
  };
  static void finish(SimDisk& disk, DiskNode& node, const std::string& path, bool flush_to_device, InFlight& write,
                     Function<void(Result<void>)> done);
  int64_t delay_ns();

  SimDisk& disk_;
  std::shared_ptr<DiskNode> node_;
  std::string path_;
  runtime::Loop& loop_;
  bool flush_to_device_;
  uint64_t life_;
  std::shared_ptr<InFlight> in_flight_;  // null when idle
};

}  // namespace weir::testing
