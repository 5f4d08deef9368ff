// Holds back the disk's background work (checkpoints, compaction, removal of files) while that work makes flushes slow.
//
// How to use it: write a piece of at most piece_bytes(), call wrote(), ask wait_ns() before the next piece. Checkpoints and
// compaction have an account each. While both are at work, each gets half of the share, so neither starves the other.
// Thread-safe. Never waits itself. `clock` is the only time it knows.
//
// A flush is slow if it took more than twice the idle value: the p99 of flushes while nothing goes on in the background. The time
// that the flush's bytes take at the disk's rate does not count, or every large flush would be slow. While more than one in a
// hundred of the last seconds' flushes are slow (their p99 exceeds twice the idle value), all background jobs together get
// Options::share of the disk's rate. Otherwise they take all they can.
//
// The background must keep up all the same. Each shard reports how near its dirty bytes are to their bound (pressure). From
// half of the bound on, the share grows; at three quarters nothing is held back. Every wait ends, so every job gets on.
//
// calibrate() gives the first idle value and the first rate; before it nothing is held back. The idle value then follows the
// flushes of quiet times. The rate follows the checkpoints that were not held back.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "runtime/loop.h"
#include "storage/background/flush_latency.h"

namespace weir::storage {

struct BackgroundThrottleOptions {
  double share = 0.25;  // of the disk's rate; 1: nothing is ever held back
  uint64_t held_piece_bytes = 256 << 10;
};

// kCheckpoint: checkpoints and removals. kCompaction: compaction, and moves between log directories.
enum class BackgroundJob { kCheckpoint, kCompaction };

class BackgroundThrottle {
 public:
  using Options = BackgroundThrottleOptions;
  // after() sets its timers on `home`.
  BackgroundThrottle(const runtime::Clock& clock, runtime::Loop& home, Options options);

  // Takes measurements of the idle disk. A rate of 0 stands for kAssumedRate.
  void calibrate(int64_t idle_flush_ns, double bytes_per_second);

  // --- Foreground: the shards' loops
  void flushed(int64_t latency_ns, uint64_t bytes);
  // 0: nothing is dirty. 1: the dirty bytes are at their bound, or somebody waits for the background.
  void set_pressure(unsigned shard, double pressure);

  // --- Background
  // The most that a job should write between two calls of wait_ns().
  uint64_t piece_bytes() const;
  // The job wrote (or read) `bytes` in the last `busy_ns`.
  void wrote(BackgroundJob job, uint64_t bytes, int64_t busy_ns);
  void removed_file();
  // A checkpoint wrote and synced `bytes` in `busy_ns` and was not held back.
  void measured(uint64_t bytes, int64_t busy_ns);
  // How long the job has to wait before it asks again. 0: it goes on.
  int64_t wait_ns(BackgroundJob job);
  // Runs `task` on the home loop after `delay_ns`.
  void after(int64_t delay_ns, runtime::Task task);

  struct State {
    bool holding = false;  // flushes are slow
    int64_t idle_flush_ns = 0;
    double bytes_per_second = 0;
    int64_t held_ns = 0;  // all waits, of all jobs
    uint64_t bytes = 0;   // that background jobs wrote and read
  };
  State state() const;

  static constexpr double kAssumedRate = 100e6;
  static constexpr double kLeastRate = 8e6;  // whatever was measured, so that the background gets on
  static constexpr double kSlowFactor = 2;
  static constexpr double kHeldFully = 0.5, kNotHeld = 0.75;  // pressure
  static constexpr int64_t kSliceNs = runtime::kSecond / 2;
  static constexpr size_t kSlices = 8;                   // together the window of the p99
  static constexpr int64_t kQuietNs = runtime::kSecond;  // since the background's last piece
  static constexpr uint64_t kIdleSamples = 1000;         // flushes of quiet times that make a new idle value
  static constexpr int64_t kLongestWaitNs = 50 * runtime::kMillisecond;
  static constexpr uint64_t kRemovalBytes = 1 << 20;  // charged for the removal of a file: blocks of metadata, discards

 private:
  struct Slice {
    int64_t number = -1;  // time / kSliceNs
    uint64_t flushes = 0, slow = 0;
  };
  struct Account {
    int64_t free_at_ns = 0;  // when the written bytes are paid for
    int64_t last_piece_ns = kNever;
  };
  static constexpr int64_t kNever = INT64_MIN / 2;

  void charge(BackgroundJob job, uint64_t bytes, int64_t busy_ns, int64_t now_ns);
  bool quiet(int64_t now_ns) const;
  bool flushes_are_slow(int64_t now_ns) const;
  double held_part() const;

  const runtime::Clock& clock_;
  runtime::Loop& home_;
  const Options options_;

  mutable std::mutex mutex_;   // everything below; held for a few additions
  int64_t idle_flush_ns_ = 0;  // 0: not calibrated
  double bytes_per_second_ = kAssumedRate;
  std::array<Slice, kSlices> slices_;
  FlushLatency quiet_;  // flushes of quiet times since the last idle value
  std::vector<double> pressure_;
  std::array<Account, 2> accounts_;  // by job
  int64_t held_ns_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace weir::storage
