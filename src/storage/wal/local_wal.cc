#include "storage/wal/local_wal.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace weir::storage {
namespace {

constexpr size_t kPackedBufferBytes = 256 * 1024;
constexpr size_t kMaxPieces = 256;  // of one gathered write; the kernel takes 1024
constexpr uint64_t kSavingFileBytes = 1 << 20;

WalDirectory::Options directory_options(const LocalWalOptions& options) {
  return {.path = options.directory,
          .shard = options.shard,
          .incarnation = options.incarnation,
          .next_generation = options.next_generation,
          .file_bytes = options.file_bytes,
          .kept_spares = options.kept_spares,
          .leftovers = options.leftovers,
          .file_register = options.file_register};
}

}  // namespace

std::unique_ptr<LocalWal> LocalWal::create(runtime::FileSystem& files, runtime::Loop& loop, runtime::Pool& pool,
                                           LocalWalOptions options) {
  WEIR_CHECK(options.first_chunk > 0 && options.incarnation != 0);
  WEIR_CHECK(options.file_bytes % kWalBlock == 0 && options.first_file_bytes % kWalBlock == 0);
  WEIR_CHECK(options.first_file_bytes <= options.file_bytes && options.first_file_bytes >= 2 * kWalBlock);
  options.chunk_bytes = std::min(options.chunk_bytes, options.file_bytes / 2);
  std::unique_ptr<LocalWal> wal(new LocalWal(files, loop, pool, std::move(options)));
  wal->prepare_ahead();
  wal->retire_released();
  return wal;
}

LocalWal::LocalWal(runtime::FileSystem& files, runtime::Loop& loop, runtime::Pool& pool, LocalWalOptions options)
    : files_(files),
      loop_(loop),
      options_(std::move(options)),
      flight_(std::make_shared<InFlight>()),
      memory_(kPackedBufferBytes),
      open_number_(options_.first_chunk),
      durable_(options_.first_chunk - 1),
      save_space_(options_.save_space),
      directory_(files, loop, pool, directory_options(options_)),
      full_(options_.earlier.begin(), options_.earlier.end()) {
  flight_->wal = this;
  open_ = new_chunk();
}

LocalWal::~LocalWal() {
  flight_->wal = nullptr;
  if (spacing_timer_) loop_.cancel(spacing_timer_);
  if (retry_timer_) loop_.cancel(retry_timer_);
}

// --- Chunks

std::unique_ptr<OpenChunk> LocalWal::new_chunk() {
  if (unused_.empty()) return std::make_unique<OpenChunk>(memory_);
  auto chunk = std::move(unused_.back());
  unused_.pop_back();
  return chunk;
}

void LocalWal::seal_open_chunk() {
  open_->seal();
  const uint64_t bytes = open_->length();
  sealed_bytes_ += bytes;
  unreleased_.push_back({open_number_, bytes});
  unreleased_chunk_bytes_ += bytes;
  sealed_.push_back(std::move(open_));
  open_ = new_chunk();
  ++open_number_;
}

WalBackend::Appended LocalWal::append(const BatchInfo& info, const Slice& batch) {
  WEIR_CHECK(batch.size <= kMaxBatchBytes);
  if (end_) {
    // The session is over and the log keeps nothing, but the caller still gets bytes that live on their own.
    open_->reset();
    return {open_number_, open_->add(info, batch)};
  }
  const bool full = open_->length_with(batch.size) > options_.chunk_bytes || open_->piece_count() >= kMaxPieces;
  if (full && !open_->empty()) seal_open_chunk();
  const Appended appended{open_number_, open_->add(info, batch)};
  if (!in_flight_) flush_at_turn_end();
  return appended;
}

WalState LocalWal::state() const {
  if (end_) return WalState::kEnded;
  return lacks_file_ && preparation_error_ ? WalState::kStalled : WalState::kRunning;
}

std::optional<Error> LocalWal::trouble() const {
  if (end_) return end_;
  return stalled() ? preparation_error_ : std::nullopt;
}

uint64_t LocalWal::pending_bytes() const { return sealed_bytes_ + open_->length() + (in_flight_ ? flight_->chunk->length() : 0); }

// --- When to flush

void LocalWal::flush_at_turn_end() {
  if (turn_end_asked_) return;
  turn_end_asked_ = true;
  loop_.at_turn_end([flight = flight_] {
    if (!flight->wal) return;
    flight->wal->turn_end_asked_ = false;
    flight->wal->pump();
  });
}

void LocalWal::flush_now() {
  if (end_ || (open_->empty() && sealed_.empty())) return;
  urgent_ = true;
  if (!in_flight_) flush_at_turn_end();
}

bool LocalWal::due() const {
  return urgent_ || !sealed_.empty() || open_->batch_count() >= expected_batches_ || open_->length() >= options_.batch_bytes ||
         loop_.clock().monotonic_ns() - last_completion_ns_ >= options_.spacing_ns;
}

// Starts the next flush if there is something to flush and it is time.
void LocalWal::pump() {
  if (end_ || in_flight_ || (open_->empty() && sealed_.empty())) return;
  if (!due()) return wait_for_spacing();
  write_chunk();
}

void LocalWal::wait_for_spacing() {
  if (spacing_timer_) return;
  const int64_t left = last_completion_ns_ + options_.spacing_ns - loop_.clock().monotonic_ns();
  spacing_timer_ = loop_.schedule_after(std::max<int64_t>(left, 0), [flight = flight_] {
    LocalWal* wal = flight->wal;
    if (!wal) return;
    wal->spacing_timer_ = {};
    wal->expected_batches_ = 0;  // the wait is over, whatever the timer's resolution
    wal->pump();
  });
}

// --- Writing

void LocalWal::write_chunk() {
  const uint64_t length = sealed_.empty() ? open_->length() : sealed_.front()->length();
  lacks_file_ = !use_file_for(length);
  if (lacks_file_) return;  // file_prepared() goes on
  if (sealed_.empty()) seal_open_chunk();
  flight_->chunk = std::move(sealed_.front());
  sealed_.pop_front();
  sealed_bytes_ -= length;
  in_flight_ = true;
  urgent_ = false;
  if (spacing_timer_) loop_.cancel(std::exchange(spacing_timer_, {}));
  OpenChunk& chunk = *flight_->chunk;
  WEIR_CHECK(chunk.length() == length && length % kWalBlock == 0 && current_->position % kWalBlock == 0);
  chunk.address(current_->header.identity, current_->position, durable_ + 1);
  flush_started_ns_ = loop_.clock().monotonic_ns();
  current_->writer->write(current_->position, chunk.pieces(), [flight = flight_](Result<void> outcome) {
    if (flight->wal) flight->wal->chunk_written(std::move(outcome));
  });
}

bool LocalWal::use_file_for(uint64_t bytes) {
  if (current_ && current_->fits(bytes)) return true;
  if (next_ && !next_->fits(bytes)) {
    // The chunk gets a file of its own size. The small file goes before any older file does: an empty file in front of the oldest
    // chunk would tell recovery that chunks are missing.
    directory_.retire(next_->header.identity.generation, next_->header.file_bytes);
    next_.reset();
  }
  if (!next_) {
    prepare_next_file(bytes);
    return false;
  }
  if (current_) {
    full_.push_back(
        {current_->header.identity.generation, current_->header.file_bytes, current_->position, current_->last_chunk});
    // The writer's own completion may have called us: it goes once the stack is unwound.
    loop_.post([writer = std::move(current_->writer)] {});
  }
  current_ = std::exchange(next_, std::nullopt);
  return true;
}

void LocalWal::chunk_written(Result<void> outcome) {
  in_flight_ = false;
  if (!outcome) return end_session(outcome.error());
  const int64_t now = loop_.clock().monotonic_ns();
  latency_.record(now - flush_started_ns_);
  last_completion_ns_ = now;
  OpenChunk& chunk = *flight_->chunk;
  if (options_.throttle) options_.throttle->flushed(now - flush_started_ns_, chunk.length());
  expected_batches_ = chunk.batch_count() + open_->batch_count();
  durable_ += 1;
  current_->position += chunk.length();
  current_->last_chunk = durable_;
  written_bytes_ += chunk.length();
  chunk.reset();
  unused_.push_back(std::move(flight_->chunk));
  retire_released();
  prepare_ahead();
  pump();  // the disk works while the answers go out
  if (on_durable_) on_durable_(durable_);
}

void LocalWal::end_session(const Error& error) {
  end_ = error;
  log_error("wal", "shard {}: flush of chunk {} to {} failed: {}; nothing more is written until the log is recovered",
            options_.shard, durable_ + 1, directory_.path_of(current_->header.identity.generation), error.message);
  // Chunks that waited will never be written. Slices handed out keep their memory themselves.
  flight_->chunk.reset();
  sealed_.clear();
  sealed_bytes_ = 0;
  open_->reset();
  if (on_ended_) std::exchange(on_ended_, {})(error);
}

// --- Files

void LocalWal::save_space(bool save) {
  save_space_ = save;
  if (!end_) prepare_ahead();
}

// Prepares one file ahead, but not before an eighth of the current file is used: an idle broker takes no space.
void LocalWal::prepare_ahead() {
  if (save_space_ || next_) return;
  if (!current_ || current_->position >= current_->header.file_bytes / 8) prepare_next_file();
}

void LocalWal::prepare_next_file(uint64_t chunk_bytes) {
  if (next_ || directory_.preparing() || retry_timer_) return;
  uint64_t bytes = current_ || durable_ >= options_.first_chunk ? options_.file_bytes : options_.first_file_bytes;
  if (save_space_) bytes = std::min(bytes, kSavingFileBytes);
  bytes = std::max(bytes, kWalBlock + chunk_bytes);
  directory_.prepare(bytes, durable_, [flight = flight_](Result<WalFileHeader> header) {
    if (flight->wal) flight->wal->file_prepared(std::move(header));
  });
}

void LocalWal::file_prepared(Result<WalFileHeader> header) {
  if (header) {
    auto writer = files_.durable_writer(directory_.path_of(header->identity.generation), loop_, options_.flush_to_device);
    if (writer) {
      if (preparation_error_) log_info("wal", "Shard {}: the next file in {} is ready", options_.shard, options_.directory);
      preparation_error_.reset();
      next_ = CurrentFile{*header, std::move(*writer)};
      if (!current_) current_ = std::exchange(next_, std::nullopt);
      return pump();
    }
    header = std::unexpected(writer.error());
  }
  if (!preparation_error_ || preparation_error_->code != header.error().code) {
    log_event(LogLevel::kWarn, "wal",
              {.what = fmt::format("Shard {}: cannot prepare the next file in {}; trying again until it works", options_.shard,
                                   options_.directory),
               .reason = header.error().message,
               .remedy = remedy_of(header.error(),
                                   "Free space on the device, or shorten retention: produce requests are "
                                   "refused until it works")});
  }
  preparation_error_ = header.error();
  retry_timer_ = loop_.schedule_after(options_.retry_ns, [flight = flight_] {
    LocalWal* wal = flight->wal;
    if (!wal) return;
    wal->retry_timer_ = {};
    if (wal->lacks_file_) wal->prepare_next_file();
    else wal->prepare_ahead();
    wal->pump();
  });
}

// --- Space

uint64_t LocalWal::unreleased_bytes() const {
  uint64_t earlier = 0;
  for (const EarlierWalFile& file : full_) {
    if (file.last_chunk >= options_.first_chunk) break;
    if (file.last_chunk > released_) earlier += file.used_bytes;
  }
  return earlier + unreleased_chunk_bytes_ + open_->length();
}

void LocalWal::release(ChunkNumber up_to) {
  released_ = std::max(released_, std::min(up_to, durable_));
  while (!unreleased_.empty() && unreleased_.front().number <= released_) {
    unreleased_chunk_bytes_ -= unreleased_.front().bytes;
    unreleased_.pop_front();
  }
  retire_released();
}

void LocalWal::retire_released() {
  while (!full_.empty() && full_.front().last_chunk <= released_) {
    const EarlierWalFile& oldest = full_.front();
    // The newest chunk's file stays: it tells recovery how far the numbers got.
    const bool this_session = oldest.last_chunk >= options_.first_chunk;
    if (this_session && oldest.last_chunk == durable_) break;
    directory_.retire(oldest.generation, oldest.bytes);
    full_.pop_front();
  }
}

}  // namespace weir::storage
