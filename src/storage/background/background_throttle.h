// Holds back what the disk does in the background (checkpoints, compaction, removal of files) while it makes flushes slow.
//
// A flush is slow if it took more than twice the idle value: the p99 of flushes while nothing goes on in the background. The
// time that its bytes take at the disk's rate is not counted, or every large flush would be called slow. While more than
// one in a hundred of the last seconds' flushes are slow, that is while their p99 exceeds twice its idle value, all background
// jobs together get Options::share of the disk's rate. Otherwise they take what they can.
//
// The background must keep up all the same. Each shard says how near its dirty bytes are to their bound (pressure): from
// half of the bound on the share grows, at three quarters nothing is held back. There is no pause without an end, so
// every job gets on.
//
// Both measurements begin with what calibrate() is told; before that nothing is held back. The idle value follows the
// flushes of quiet times, the rate the checkpoints that were not held back.
//
// How to use it: write a piece of at most piece_bytes(), say wrote(), ask wait_ns() before the next one. The segment
// store and compaction have an account each and half of the share while both are at work, so that neither starves the
// other. Thread-safe, never waits; `clock` is the only time it knows.
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

// Who writes in the background: checkpoints and removals, compaction.
enum class BackgroundJob { kCheckpoint, kCompaction };

class BackgroundThrottle {
 public:
  using Options = BackgroundThrottleOptions;
  // `home`: where after() has its timers.
  BackgroundThrottle(const runtime::Clock& clock, runtime::Loop& home, Options options);

  // What was measured of the disk while it had nothing else to do; a rate of 0 is taken for kAssumedRate.
  void calibrate(int64_t idle_flush_ns, double bytes_per_second);

  // --- Foreground: the shards' loops
  void flushed(int64_t latency_ns, uint64_t bytes);
  // 0: nothing is dirty, 1: at the bound, or somebody waits for the background.
  void set_pressure(unsigned shard, double pressure);

  // --- Background
  // Most that should be written between two questions.
  uint64_t piece_bytes() const;
  // `bytes` were written (or read) in the last `busy_ns`.
  void wrote(BackgroundJob job, uint64_t bytes, int64_t busy_ns);
  void removed_file();
  // A checkpoint wrote and synced so much without being held back.
  void measured(uint64_t bytes, int64_t busy_ns);
  // How long to wait before asking again; 0: go on.
  int64_t wait_ns(BackgroundJob job);
  // Runs `task` on the home loop after `delay_ns`.
  void after(int64_t delay_ns, runtime::Task task);

  struct State {
    bool holding = false;  // flushes are slow
    int64_t idle_flush_ns = 0;
    double bytes_per_second = 0;
    int64_t held_ns = 0;  // all waits, of all jobs
    uint64_t bytes = 0;   // written and read in the background
  };
  State state() const;

  static constexpr double kAssumedRate = 100e6;
  static constexpr double kLeastRate = 8e6;  // whatever was measured: the background gets on
  static constexpr double kSlowFactor = 2;
  static constexpr double kHeldFully = 0.5, kNotHeld = 0.75;  // pressure
  static constexpr int64_t kSliceNs = runtime::kSecond / 2;
  static constexpr size_t kSlices = 8;                   // together the window of the p99
  static constexpr int64_t kQuietNs = runtime::kSecond;  // since the background's last piece
  static constexpr uint64_t kIdleSamples = 1000;         // flushes of quiet times that make a new idle value
  static constexpr int64_t kLongestWaitNs = 50 * runtime::kMillisecond;
  static constexpr uint64_t kRemovalBytes = 1 << 20;  // what removing a file is charged as: blocks of metadata, discards

 private:
  struct Slice {
    int64_t number = -1;  // time / kSliceNs
    uint64_t flushes = 0, slow = 0;
  };
  struct Account {
    int64_t free_at_ns = 0;  // when what was written is paid for
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
