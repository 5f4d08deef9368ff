#include "storage/log/append_validation.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "protocol/record_batch.h"
#include "storage/batch_info.h"

namespace weir::storage {

using protocol::BatchFault;
using protocol::BatchHeader;
using protocol::ErrorCode;

namespace {

// Batches of the formats before 2 are known and refused; any other magic number is damage.
ErrorCode error_of_magic(Bytes batch) {
  constexpr size_t kAt = BatchHeader::kMagicOffset;
  return batch.size() > kAt && batch[kAt] < BatchHeader::kMagic ? ErrorCode::kInvalidRecord : ErrorCode::kCorruptMessage;
}

ErrorCode error_of(BatchFault fault, Bytes batch) {
  switch (fault) {
    case BatchFault::kNone:
      return ErrorCode::kNone;
    case BatchFault::kTruncated:
    case BatchFault::kBadLength:
    case BatchFault::kBadCrc:
      return ErrorCode::kCorruptMessage;
    case BatchFault::kUnsupportedMagic:
      return error_of_magic(batch);
    case BatchFault::kBadTimestamp:
      return ErrorCode::kInvalidTimestamp;
    case BatchFault::kRecordTooLarge:
      return ErrorCode::kMessageTooLarge;
    default:
      return ErrorCode::kInvalidRecord;
  }
}

bool refuse(AppendResult& result, ErrorCode error, std::string message) {
  result.error = error;
  result.message = std::move(message);
  return false;
}

// Of an uncompressed batch.
EachRecord each_of(const BatchHeader& header, Bytes batch) {
  return [&header, batch](const RecordVisitor& visit) {
    protocol::RecordIterator records(header, batch.subspan(BatchHeader::kSize));
    protocol::Record record;
    for (int32_t index = 0; records.next(record); ++index) visit(index, {record.timestamp, record.key.has_value()});
  };
}

constexpr size_t kRecordErrorsMax = 1000;  // more would only fill the response

void note_record_error(AppendResult& result, int32_t index, std::string message) {
  if (result.record_errors.size() < kRecordErrorsMax) result.record_errors.push_back({index, std::move(message)});
}

bool refuse_timestamps(AppendResult& result) {
  return refuse(result, ErrorCode::kInvalidTimestamp, "One or more records have been rejected due to invalid timestamp");
}

// The bounds of message.timestamp.{before,after}.max.ms.
bool outside(int64_t timestamp, const LogConfig& config, int64_t now_ms) {
  if (timestamp == kNoTimestamp) return false;
  if (timestamp > now_ms) return ms_between(now_ms, timestamp) > config.timestamp_after_max_ms;
  return ms_between(timestamp, now_ms) > config.timestamp_before_max_ms;
}

void note_out_of_range(AppendResult& result, int32_t index, int64_t timestamp, const LogConfig& config, int64_t now_ms) {
  const bool bounded_below = config.timestamp_before_max_ms != INT64_MAX;
  int64_t latest = INT64_MAX;
  if (config.timestamp_after_max_ms < INT64_MAX - now_ms) latest = now_ms + config.timestamp_after_max_ms;
  note_record_error(result, index,
                    fmt::format("Timestamp {} of message with offset {} is out of range. The timestamp should be within "
                                "[{}, {}]",
                                timestamp, index, bounded_below ? now_ms - config.timestamp_before_max_ms : 0, latest));
}

// A batch whose producer says LogAppendTime. It cannot know that time, so a topic with it takes no such batch; any other
// topic takes the time that is said as one more create time, as Kafka does, and then forgets it: what consumers see are the
// records' own.
bool check_flagged(const BatchHeader& said, const LogConfig& config, int64_t now_ms, AppendResult& result) {
  if (!said.log_append_time()) return true;
  const bool has_time = !config.log_append_time && said.max_timestamp != kNoTimestamp;
  if (has_time && !outside(said.max_timestamp, config, now_ms)) return true;
  constexpr auto kErrorsMax = static_cast<int32_t>(kRecordErrorsMax);
  for (int32_t index = 0; index < std::min(said.record_count, kErrorsMax); ++index) {
    if (has_time) {
      note_out_of_range(result, index, said.max_timestamp, config, now_ms);
    } else {
      note_record_error(result, index,
                        "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime.");
    }
  }
  return refuse_timestamps(result);
}

// `header` is that of the records.
bool check_timestamps(const BatchHeader& header, const LogConfig& config, int64_t now_ms, const EachRecord& each,
                      AppendResult& result) {
  if (config.log_append_time) return true;
  const bool bounded_below = config.timestamp_before_max_ms != INT64_MAX;
  if (!outside(header.max_timestamp, config, now_ms) && !bounded_below) return true;
  each([&](int32_t index, const protocol::RecordOutline& record) {
    if (outside(record.timestamp, config, now_ms)) note_out_of_range(result, index, record.timestamp, config, now_ms);
  });
  return result.record_errors.empty() ? true : refuse_timestamps(result);
}

bool refuse_fault(BatchFault fault, Bytes batch, const EachRecord& each, AppendResult& result) {
  if (fault == BatchFault::kMissingKey) {
    each([&](int32_t index, const protocol::RecordOutline& record) {
      if (!record.has_key) note_record_error(result, index, "Compacted topic cannot accept message without key");
    });
    return refuse(result, ErrorCode::kInvalidRecord,
                  "One or more records have been rejected: a compacted topic needs a key in every record");
  }
  return refuse(result, error_of(fault, batch), fmt::format("The record batch is invalid: {}", batch_fault_name(fault)));
}

bool check_structure(Bytes batch, const protocol::BatchRules& rules, BatchHeader& header, AppendResult& result) {
  const BatchFault fault = protocol::check_batch(batch, rules, header);
  return fault == BatchFault::kNone || refuse_fault(fault, batch, each_of(header, batch), result);
}

// The broker's own batches were just built: only their structure is checked. What was prepared has been checked, and its header
// tells the truth.
bool check_one(Bytes batch, const LogConfig& config, AppendFrom from, int64_t now_ms, BatchHeader& header, AppendResult& result) {
  if (from == AppendFrom::kClient) return check_client_batch(batch, config, now_ms, header, result);
  protocol::BatchRules rules;
  rules.contiguous = rules.check_crc = false;
  rules.walk_records = from != AppendFrom::kPreparation;
  return check_structure(batch, rules, header, result);
}

bool check_base_offset(const BatchHeader& header, AppendResult& result) {
  // As in Kafka: who decides where a batch goes is the broker.
  if (header.base_offset == 0) return true;
  return refuse(result, ErrorCode::kInvalidRecord,
                fmt::format("The baseOffset of the record batch should be 0, but it is {}", header.base_offset));
}

}  // namespace

bool check_client_batch(Bytes batch, const LogConfig& config, int64_t now_ms, BatchHeader& header, AppendResult& result) {
  if (protocol::peek_batch(batch, header) == BatchFault::kNone && !check_base_offset(header, result)) return false;
  protocol::BatchRules rules;
  rules.keys_required = config.cleanup_compact;
  rules.create_time = true;
  if (!check_structure(batch, rules, header, result)) return false;
  if (header.control()) {
    return refuse(result, ErrorCode::kInvalidRecord, "Clients are not allowed to write control records");
  }
  if (!check_flagged(BatchHeader::parse(batch.data()), config, now_ms, result)) return false;
  // Those of compressed ones are looked at when they are opened (batch_preparation.h).
  return header.compressed() || check_timestamps(header, config, now_ms, each_of(header, batch), result);
}

bool check_opened(BatchFault fault, const BatchHeader& header, const LogConfig& config, int64_t now_ms, const EachRecord& each,
                  AppendResult& result) {
  if (fault != BatchFault::kNone) return refuse_fault(fault, {}, each, result);
  return check_timestamps(header, config, now_ms, each, result);
}

bool check_client_size(size_t bytes, const LogConfig& config, AppendResult& result) {
  if (bytes <= static_cast<size_t>(config.max_message_bytes)) return true;
  return refuse(
      result, ErrorCode::kMessageTooLarge,
      fmt::format("The record batch size is {} bytes, which exceeds max.message.bytes of {}", bytes, config.max_message_bytes));
}

bool validate_append(const Slice& records, const LogConfig& config, AppendFrom from, int64_t now_ms, ValidatedBatches& batches,
                     AppendResult& result) {
  const bool client = from != AppendFrom::kBroker;
  protocol::BatchSplitter splitter(records.bytes());
  while (splitter.next()) {
    BatchHeader behind;
    if (client && protocol::peek_batch(splitter.rest(), behind) == BatchFault::kNone) {
      return refuse(result, ErrorCode::kInvalidRecord, "Produce requests must contain exactly one record batch per partition");
    }
    const Bytes batch = splitter.batch();
    if (client && !check_base_offset(splitter.header(), result)) return false;
    if (client && !check_client_size(batch.size(), config, result)) return false;
    if (batch.size() > config.segment_bytes) {
      return refuse(result, ErrorCode::kRecordListTooLarge,
                    fmt::format("The record batch of {} bytes exceeds segment.bytes of {}", batch.size(), config.segment_bytes));
    }
    BatchHeader header;
    if (!check_one(batch, config, from, now_ms, header, result)) return false;
    ValidatedBatch& out = batches.emplace_back();
    out.data = {const_cast<uint8_t*>(batch.data()), batch.size()};
    out.info = info_of(header, batch);
    if (out.info.control() && !out.info.ends_transaction()) {
      return refuse(result, ErrorCode::kInvalidRecord, "The control batch is no transaction marker");
    }
  }
  if (splitter.fault() != BatchFault::kNone) {
    return refuse(result, error_of(splitter.fault(), splitter.rest()),
                  fmt::format("The record batch is invalid: {}", batch_fault_name(splitter.fault())));
  }
  if (batches.empty()) return refuse(result, ErrorCode::kInvalidRecord, "Produce requests must contain a record batch");
  return true;
}

void stamp_batch(ValidatedBatch& batch, const LogConfig& config, int64_t now_ms) {
  if (config.log_append_time) {
    batch.info.max_timestamp = now_ms;
    batch.info.attributes |= BatchHeader::kLogAppendTime;
  }
  protocol::patch_timestamps(batch.data, (batch.info.attributes & BatchHeader::kLogAppendTime) != 0, batch.info.max_timestamp);
  protocol::patch_base_offset(batch.data.data(), batch.info.base_offset);
  protocol::patch_leader_epoch(batch.data.data(), batch.info.leader_epoch);
}

void describe_verdict(const ProducerState::Verdict& verdict, const BatchInfo& info, const LogConfig& config,
                      AppendResult& result) {
  switch (verdict.check) {
    case ProducerCheck::kAccept:
      WEIR_CHECK(false);
      break;
    case ProducerCheck::kDuplicate:
      result.base_offset = verdict.original.last_offset - verdict.original.offset_delta;
      result.last_offset = verdict.original.last_offset;
      if (config.log_append_time) result.log_append_time_ms = verdict.original.timestamp;
      break;
    case ProducerCheck::kOutOfOrder:
      refuse(result, ErrorCode::kOutOfOrderSequenceNumber,
             fmt::format("Out of order sequence number for producer {}: {} does not follow the last batch", info.producer_id,
                         info.base_sequence));
      break;
    case ProducerCheck::kStaleEpoch:
      refuse(result, ErrorCode::kInvalidProducerEpoch,
             fmt::format("Epoch {} of producer {} is {} the last seen epoch", info.producer_epoch, info.producer_id,
                         info.control() ? "not above" : "smaller than"));
      break;
    case ProducerCheck::kNoTransaction:
      refuse(result, ErrorCode::kInvalidTxnState,
             fmt::format("The batch of producer {} is not part of an open transaction", info.producer_id));
      break;
    case ProducerCheck::kInTransaction:
      refuse(result, ErrorCode::kInvalidTxnState,
             fmt::format("Producer {} has an open transaction, but the batch is not part of it", info.producer_id));
      break;
    case ProducerCheck::kFencedCoordinator:
      refuse(result, ErrorCode::kTransactionCoordinatorFenced,
             fmt::format("Producer {} had a marker of a later coordinator than that of epoch {}", info.producer_id,
                         info.coordinator_epoch));
      break;
  }
}

}  // namespace weir::storage
