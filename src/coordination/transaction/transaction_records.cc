#include "coordination/transaction/transaction_records.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

#include "coordination/runtime/record_frame.h"
#include "protocol/messages/transaction_state_records.h"

namespace weir::coordination {
namespace {

using Value = protocol::TransactionLogValue;

std::string encode_value(const TransactionMetadata& transaction, TransactionVersion level) {
  std::vector<int32_t> indexes;
  indexes.reserve(transaction.partitions.count());
  std::vector<Value::PartitionsSchema> topics;
  for (const TransactionPartitions::Topic& topic : transaction.partitions.topics()) {
    const size_t begin = indexes.size();
    indexes.insert(indexes.end(), topic.indexes.begin(), topic.indexes.end());
    topics.push_back({topic.name, std::span(indexes).subspan(begin)});
  }
  Value value;
  value.producer_id = transaction.producer_id;
  value.previous_producer_id = transaction.previous_producer_id;
  value.next_producer_id = transaction.next_producer_id;
  value.producer_epoch = transaction.producer_epoch;
  value.transaction_timeout_ms = transaction.timeout_ms;
  value.transaction_status = static_cast<int8_t>(transaction.state);
  if (transaction.state == TransactionState::kEmpty) value.transaction_partitions.reset();
  else value.transaction_partitions = topics;
  value.transaction_last_update_timestamp_ms = transaction.last_update_ms;
  value.transaction_start_timestamp_ms = transaction.start_ms;
  value.client_transaction_version = static_cast<int16_t>(transaction.client_version);
  const int16_t version = level == TransactionVersion::kZero ? 0 : 1;
  return encode_framed(version, value, version);
}

std::unexpected<Error> corrupt(std::string_view what) {
  return fail(weir::ErrorCode::kCorrupt, fmt::format("a transaction's record is not readable: {}", what));
}

// Why a value cannot be what a coordinator wrote; nullptr if it can.
const char* fault_of(const Value& value) {
  if (value.transaction_status < 0 || value.transaction_status >= static_cast<int8_t>(kTransactionStates)) {
    return "its state is not known";
  }
  if (value.client_transaction_version < 0 || value.client_transaction_version > static_cast<int16_t>(TransactionVersion::kTwo)) {
    return "its client's version is not known";
  }
  const bool open = is_open(static_cast<TransactionState>(value.transaction_status));
  if (value.producer_id < 0 || value.producer_epoch < (open ? 0 : -1)) return "it has no producer";
  return nullptr;
}

}  // namespace

CoordinatorRecord encode(const TransactionRecord& record, TransactionVersion level) {
  protocol::TransactionLogKey key;
  key.transactional_id = record.transactional_id;
  CoordinatorRecord encoded{encode_framed(protocol::TransactionLogKey::kRecordType, key, 0), std::nullopt};
  if (record.value) encoded.value = encode_value(*record.value, level);
  return encoded;
}

Result<TransactionRecord> parse_transaction_record(Bytes key, std::optional<Bytes> value) {
  protocol::Arena arena(size_t{256} << 20);
  protocol::Reader reader(key, arena);
  const int16_t type = reader.i16();
  if (reader.ok() && type != protocol::TransactionLogKey::kRecordType) {
    return corrupt(fmt::format("its key has the unknown version {}", type));
  }
  protocol::TransactionLogKey stored_key;
  if (!reader.ok() || !stored_key.decode(reader, 0)) return corrupt(reader.error());
  TransactionRecord record{std::string(stored_key.transactional_id), std::nullopt};
  if (!value) return record;

  protocol::Reader in(*value, arena);
  const int16_t version = in.i16();
  if (in.ok() && (version < Value::kMinVersion || version > Value::kMaxVersion)) {
    return corrupt(fmt::format("its value has the unknown version {}", version));
  }
  Value stored;
  if (!in.ok() || !stored.decode(in, version)) return corrupt(in.error());
  if (const char* fault = fault_of(stored)) return corrupt(fault);
  TransactionMetadata& to = record.value.emplace();
  to.producer_id = stored.producer_id;
  to.previous_producer_id = stored.previous_producer_id;
  to.next_producer_id = stored.next_producer_id;
  to.producer_epoch = stored.producer_epoch;
  to.timeout_ms = stored.transaction_timeout_ms;
  to.state = static_cast<TransactionState>(stored.transaction_status);
  if (is_open(to.state) && stored.transaction_partitions) {
    std::vector<TransactionPartitions::Topic> topics;
    topics.reserve(stored.transaction_partitions->size());
    for (const Value::PartitionsSchema& topic : *stored.transaction_partitions) {
      topics.push_back({std::string(topic.topic), {topic.partition_ids.begin(), topic.partition_ids.end()}});
    }
    to.partitions = TransactionPartitions(std::move(topics));
  }
  to.last_update_ms = stored.transaction_last_update_timestamp_ms;
  to.start_ms = stored.transaction_start_timestamp_ms;
  to.client_version = static_cast<TransactionVersion>(stored.client_transaction_version);
  return record;
}

}  // namespace weir::coordination
