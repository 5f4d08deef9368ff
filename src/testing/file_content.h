// One simulated file: the view that reads see, and the state that a power cut may leave of it.
//
// A 512-byte sector is dirty if its durable copy may differ from the view. A dirty sector that is written again may reach the
// device in between, so that a power cut can also show an intermediate version. A power cut keeps an un-synced truncation as a
// whole or loses it as a whole, with everything written behind it since.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "testing/seeded_random.h"
#include "testing/sparse_bytes.h"

namespace weir::testing {

// How much of one file's un-synced state one power cut keeps: nothing, everything, or each sector by chance. Nothing and
// everything are drawn often, because bugs depend on these.
class Survival {
 public:
  explicit Survival(SeededRandom& random) : random_(random), shape_(random.below(4)), eighths_(random.between(1, 7)) {}
  bool keep() {
    if (shape_ == 0) return false;
    if (shape_ == 1) return true;
    return random_.below(8) < eighths_;
  }

 private:
  SeededRandom& random_;
  uint64_t shape_;
  uint64_t eighths_;
};

class FileContent {
 public:
  uint64_t length() const { return length_; }
  uint64_t durable_length() const { return durable_length_; }
  bool dirty() const { return !dirty_.empty() || !lengths_.empty() || length_ != durable_length_ || truncated_to_; }
  void read(uint64_t offset, MutableBytes into) const { current_.read(offset, into); }
  void read_durable(uint64_t offset, MutableBytes into) const { durable_.read(offset, into); }

  void write(uint64_t offset, Bytes bytes, SeededRandom& random);
  void set_length(uint64_t length);
  // A finished sync.
  void flush();
  // A failed sync: some dirty sectors reached the device. All are clean now, so no later sync writes the others.
  void fail_flush(SeededRandom& random);
  // A finished write with DSYNC: its bytes are durable, and so is the length as far as they need it.
  void write_durable(uint64_t offset, Bytes bytes);
  // A write with DSYNC whose end nobody saw: each sector is written or not.
  void write_torn(uint64_t offset, Bytes bytes, SeededRandom& random);

  // Writes with DSYNC on their way to the device. The number names one of them.
  uint64_t begin_write(uint64_t offset, std::vector<uint8_t> bytes);
  std::vector<uint8_t> end_write(uint64_t number);
  // The process died: the kernel has all bytes of the writes in flight, the device all or some of them. The page cache stays.
  void leave_writes(SeededRandom& random);
  // The power went: settles everything that is not durable. The view then equals the device.
  void cut_power(SeededRandom& random);

  // The page cache forgets clean pages: they then show the bytes of the device.
  void drop_clean();
  // For tests: changes the stored bytes unseen, in the view and on the device.
  void overwrite_raw(uint64_t offset, Bytes bytes);
  void truncate_raw(uint64_t length);

 private:
  void settle_writes(SeededRandom& random);  // each sector is written or not
  struct PendingWrite {
    uint64_t offset;
    std::vector<uint8_t> bytes;
  };
  void note_length(uint64_t length);
  void keep_some_dirty(SeededRandom& random);
  void settle_truncation(bool kept);

  SparseBytes current_;
  SparseBytes durable_;
  uint64_t length_ = 0;
  uint64_t durable_length_ = 0;
  std::vector<uint64_t> lengths_;      // taken since the last sync; a cut may show any of them
  std::map<uint64_t, uint8_t> dirty_;  // page -> its dirty sectors
  // The lowest end of a truncation since the last sync, and the lengths before it. The device still has the bytes behind that
  // end.
  std::optional<uint64_t> truncated_to_;
  std::vector<uint64_t> lengths_before_;
  std::map<uint64_t, PendingWrite> in_flight_;
  uint64_t next_write_ = 1;
};

}  // namespace weir::testing
