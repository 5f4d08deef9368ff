// What is checked of record batches before they are appended (the rules of Kafka's LogValidator).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/buffer.h"
#include "protocol/record_batch.h"
#include "storage/log/append_result.h"
#include "storage/log/log_config.h"
#include "storage/log/producer_state.h"
#include "storage/types.h"

namespace weir::storage {

struct ValidatedBatch {
  BatchInfo info;     // partition, base offset and leader epoch are not known yet; times are those of the records
  MutableBytes data;  // the batch in the caller's memory
};
using ValidatedBatches = std::vector<ValidatedBatch>;

// Checks one batch of a produce request: header, CRC, timestamps, and the records of an uncompressed one, whose times
// `header` receives. On refusal fills result's error and messages and returns false.
bool check_client_batch(Bytes batch, const LogConfig& config, int64_t now_ms, protocol::BatchHeader& header,
                        AppendResult& result);

// What is still to be checked of the records of a compressed one, which were walked with `fault` as the outcome. `each` walks
// them again, where single ones are to be named.
using RecordVisitor = std::function<void(int32_t index, const protocol::RecordOutline& record)>;
using EachRecord = std::function<void(const RecordVisitor& visit)>;
bool check_opened(protocol::BatchFault fault, const protocol::BatchHeader& header, const LogConfig& config, int64_t now_ms,
                  const EachRecord& each, AppendResult& result);

// Against max.message.bytes.
bool check_client_size(size_t bytes, const LogConfig& config, AppendResult& result);

// Checks the batches in `records` and gathers their info. On refusal fills result's error and messages and returns
// false. Clients: produce request rules (exactly one batch, no control batch).
bool validate_append(const Slice& records, const LogConfig& config, AppendFrom from, int64_t now_ms, ValidatedBatches& batches,
                     AppendResult& result);

// Writes what the broker decides into the batch: base offset, leader epoch, the time with LogAppendTime, and the records'
// max timestamp where the producer's header says another one. Only a change of times costs a new CRC.
void stamp_batch(ValidatedBatch& batch, const LogConfig& config, int64_t now_ms);

// Turns a verdict other than kAccept into the answer for the client.
void describe_verdict(const ProducerState::Verdict& verdict, const BatchInfo& info, const LogConfig& config,
                      AppendResult& result);

}  // namespace weir::storage
