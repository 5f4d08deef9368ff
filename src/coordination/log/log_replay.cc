#include "coordination/log/log_replay.h"

#include <algorithm>
#include <utility>

#include "base/result.h"
#include "protocol/compression.h"

namespace weir::coordination {

LogReplay::LogReplay(runtime::Pool& pool, runtime::Loop& loop, storage::LogShard& log, const storage::PartitionId& id,
                     Callbacks callbacks)
    : pool_(pool), loop_(loop), log_(log), id_(id), callbacks_(std::move(callbacks)) {}

void LogReplay::start() {
  loop_.post(guarded([this] { read_more(); }));
}

void LogReplay::read_more() {
  storage::Partition* partition = log_.find(id_);
  if (partition == nullptr) return finish(Outcome::kNoPartition);
  next_offset_ = std::max(next_offset_, partition->log_start_offset());
  if (next_offset_ >= partition->high_watermark()) return finish(Outcome::kComplete);
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
  };
  auto loaded = std::make_shared<Loaded>();
  loaded->range = std::get<storage::FileRange>(piece);
  pool_.submit(
      [loaded] {
        loaded->buffer = Buffer::allocate(loaded->range.length);
        loaded->read = loaded->range.file->read_at(loaded->range.offset, {loaded->buffer.data(), loaded->range.length});
      },
      loop_, guarded([this, loaded] {
        if (!loaded->read || *loaded->read != loaded->range.length) {
          return finish(Outcome::kFailed, "a segment cannot be read");
        }
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
      if (record.offset >= next_offset_ && record.key) callbacks_.record(record);
      continue;
    }
    next_offset_ = batches_->header().next_offset();
    records_.reset();
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
  if (header.next_offset() <= next_offset_) return true;
  if (header.control()) {
    next_offset_ = header.next_offset();
  } else if (header.compressed()) {
    open_batch();
    return false;
  } else {
    records_.emplace(batches_->batch());
  }
  return true;
}

void LogReplay::open_batch() {
  struct Opening {
    Slice piece;  // keeps the batch where it is
    Bytes records;
    protocol::CompressionType type;
    std::vector<uint8_t> opened;
    protocol::CompressionFault fault{};
  };
  const Bytes records = batches_->batch().subspan(protocol::BatchHeader::kSize);
  auto opening = std::make_shared<Opening>(Opening{piece_, records, batches_->header().compression(), {}, {}});
  pool_.submit(
      [opening] {
        protocol::Decompressor decompressor;
        opening->fault = decompressor.decompress(opening->type, opening->records, kOpenedBytesMax, opening->opened);
      },
      loop_, guarded([this, opening] {
        if (opening->fault != protocol::CompressionFault::kNone) {
          const std::string fault(protocol::compression_fault_name(opening->fault));
          return finish(Outcome::kFailed, "a batch cannot be decompressed: " + fault);
        }
        opened_ = std::move(opening->opened);
        records_.emplace(batches_->header(), opened_);
        replay_slice();
      }));
}

void LogReplay::finish(Outcome outcome, std::string reason) {
  auto done = std::move(callbacks_.done);
  done(outcome, reason);
}

}  // namespace weir::coordination
