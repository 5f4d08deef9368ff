#include "coordination/log/log_replay.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/result.h"
#include "protocol/compression.h"
#include "protocol/record_window.h"
#include "storage/batch_info.h"

namespace weir::coordination {

namespace {

// Where the bytes are no chain of batches any more, begin_batch() says so.
bool checksums_match(Bytes piece) {
  protocol::BatchSplitter batches(piece);
  while (batches.next()) {
    if (!protocol::crc_matches(batches.header(), batches.batch())) return false;
  }
  return true;
}

}  // namespace

LogReplay::LogReplay(runtime::Pool& pool, runtime::Loop& loop, storage::LogShard& log, const storage::PartitionId& id,
                     Callbacks callbacks)
    : pool_(pool), loop_(loop), log_(log), id_(id), callbacks_(std::move(callbacks)) {}

void LogReplay::start() {
  loop_.post(guarded([this] { read_more(); }));
}

void LogReplay::read_more() {
  storage::Partition* partition = log_.find(id_);
  if (partition == nullptr) return finish(Outcome::kNoPartition);
  if (partition->offline()) return finish(Outcome::kFailed, partition->offline_reason());  // also if nothing of it is left
  next_offset_ = std::max(next_offset_, partition->log_start_offset());
  if (next_offset_ >= partition->high_watermark()) return finish(Outcome::kComplete);
  if (next_offset_ == read_from_) return finish(Outcome::kFailed, "the segments end before the next batch");
  read_from_ = next_offset_;
  storage::ReadRequest request;
  request.offset = next_offset_;
  request.max_bytes = kReadBytes;
  storage::ReadResult result;
  const bool inline_answer =
      log_.read(*partition, request, result, guarded([this](storage::ReadResult late) { read_arrived(std::move(late)); }));
  if (inline_answer) read_arrived(std::move(result));
}

void LogReplay::read_arrived(storage::ReadResult result) {
  if (result.error == protocol::ErrorCode::kOffsetOutOfRange) return finish(Outcome::kOvertaken);
  if (result.error != protocol::ErrorCode::kNone) return finish(Outcome::kFailed, "the log cannot be read");
  if (result.pieces.empty()) return finish(Outcome::kFailed, "the log ends before its high watermark");
  end_offset_ = result.high_watermark;
  pieces_.assign(result.pieces.begin(), result.pieces.end());
  next_piece();
}

void LogReplay::next_piece() {
  if (pieces_.empty()) return read_more();
  storage::FetchPiece piece = std::move(pieces_.front());
  pieces_.pop_front();
  if (Slice* slice = std::get_if<Slice>(&piece)) return replay(std::move(*slice));
  struct Loaded {
    storage::FileRange range;
    Buffer buffer;
    Result<size_t> read = size_t{0};
    bool intact = true;
  };
  auto loaded = std::make_shared<Loaded>();
  loaded->range = std::get<storage::FileRange>(piece);
  pool_.submit(
      [loaded] {
        loaded->buffer = Buffer::allocate(loaded->range.length);
        const MutableBytes bytes{loaded->buffer.data(), loaded->range.length};
        loaded->read = loaded->range.file->read_at(loaded->range.offset, bytes);
        if (loaded->read && *loaded->read == bytes.size()) loaded->intact = checksums_match(bytes);
      },
      loop_, guarded([this, loaded] {
        if (!loaded->read || *loaded->read != loaded->range.length) {
          return finish(Outcome::kFailed, "a segment cannot be read");
        }
        if (!loaded->intact) return finish(Outcome::kFailed, "the checksum of a batch in a segment does not match");
        Slice slice;
        slice.owner = std::move(loaded->buffer);
        slice.data = slice.owner.data();
        slice.size = loaded->range.length;
        replay(std::move(slice));
      }));
}

void LogReplay::replay(Slice piece) {
  piece_ = std::move(piece);
  batches_.emplace(piece_.bytes());
  records_.reset();
  replay_slice();
}

void LogReplay::replay_slice() {
  for (size_t done = 0; done < kRecordsPerSlice;) {
    if (!records_ && !begin_batch()) return;
    if (!records_) continue;
    protocol::Record record;
    if (records_->next(record)) {
      ++done;
      if (record.offset >= next_offset_ && record.key) callbacks_.record(origin_, record);
      continue;
    }
    if (!batch_ended()) return;
  }
  loop_.post(guarded([this] { replay_slice(); }));
}

bool LogReplay::begin_batch() {
  if (!batches_->next()) {
    if (batches_->fault() == protocol::BatchFault::kNone) {
      loop_.post(guarded([this] { next_piece(); }));
    } else {
      finish(Outcome::kFailed, std::string(protocol::batch_fault_name(batches_->fault())));
    }
    return false;
  }
  const protocol::BatchHeader& header = batches_->header();
  // No checksum covers where a batch stands. The first one may have begun before the log start.
  const bool in_place = header.last_offset_delta >= 0 && header.base_offset >= least_base_offset_ &&
                        header.next_offset() > next_offset_ && header.next_offset() <= end_offset_ &&
                        header.base_offset <= header.last_offset();
  if (!in_place) {
    finish(Outcome::kFailed, fmt::format("a batch of offsets {} to {} stands where those from {} to {} have their place",
                                         header.base_offset, header.last_offset(), next_offset_, end_offset_ - 1));
    return false;
  }
  least_base_offset_ = header.next_offset();
  origin_ = {header.producer_id, header.producer_epoch, header.transactional()};
  if (header.control()) {
    const storage::BatchInfo info = storage::info_of(header, batches_->batch());
    if (info.ends_transaction()) {
      callbacks_.marker(info.base_offset, {info.producer_id, info.producer_epoch, info.coordinator_epoch,
                                           info.control_type == storage::BatchInfo::kCommit});
    }
    next_offset_ = header.next_offset();
  } else if (header.compressed()) {
    const Bytes records = batches_->batch().subspan(protocol::BatchHeader::kSize);
    opening_ = std::make_shared<Opening>(piece_, records, header);
    open_more();
    return false;
  } else {
    records_.emplace(batches_->batch());
  }
  return true;
}

struct LogReplay::Opening {
  Opening(Slice of, Bytes stored, const protocol::BatchHeader& header)
      : piece(std::move(of)), compressed(stored), part(header), left(header.record_count) {}

  void open_more() {
    if (memory.empty()) decompressor.open(part.compression(), compressed, kOpenedBytesMax, kCodecBytesMax);
    records = window.whole_records(part.record_count);
  }

  const Slice piece;  // keeps the batch where it is
  const Bytes compressed;
  protocol::Decompressor decompressor;
  std::vector<uint8_t> memory;
  protocol::RecordWindow window{decompressor, memory};
  protocol::BatchHeader part;  // of the records in the window
  Bytes records;
  int32_t left;
};

void LogReplay::open_more() {
  pool_.submit([opening = opening_] { opening->open_more(); }, loop_, guarded([this] {
                 if (const auto fault = opening_->decompressor.fault(); fault != protocol::CompressionFault::kNone) {
                   const std::string name(protocol::compression_fault_name(fault));
                   return finish(Outcome::kFailed, "a batch cannot be decompressed: " + name);
                 }
                 opening_->left -= opening_->part.record_count;
                 records_.emplace(opening_->part, opening_->records);
                 replay_slice();
               }));
}

bool LogReplay::batch_ended() {
  const bool damaged = records_->fault() != protocol::BatchFault::kNone;
  const bool whole = opening_ == nullptr || opening_->left == 0;
  const bool more = !whole && opening_->part.record_count > 0;
  records_.reset();
  if (damaged || (!whole && !more)) {
    finish(Outcome::kFailed, "a batch is damaged");
    return false;
  }
  if (more) {
    open_more();
    return false;
  }
  opening_.reset();
  next_offset_ = batches_->header().next_offset();
  return true;
}

void LogReplay::finish(Outcome outcome, std::string reason) {
  auto done = std::move(callbacks_.done);
  done(outcome, reason);
}

}  // namespace weir::coordination
