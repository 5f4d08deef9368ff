// Records of transactions against bytes as Kafka writes them (docs/formats/transaction-state.md).
#include "coordination/transaction/transaction_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>

#include "protocol/messages/transaction_state_records.h"

namespace weir::coordination {
namespace {

using enum TransactionState;
using ::testing::HasSubstr;

constexpr auto kZero = TransactionVersion::kZero, kOne = TransactionVersion::kOne, kTwo = TransactionVersion::kTwo;

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return text;
}

Result<TransactionRecord> parse(const CoordinatorRecord& record) {
  std::optional<Bytes> value;
  if (record.value) value = as_bytes(*record.value);
  return parse_transaction_record(as_bytes(record.key), value);
}

// The example of the format's page.
TransactionMetadata example() {
  TransactionMetadata open;
  open.producer_id = open.previous_producer_id = 1'001;
  open.producer_epoch = 3;
  open.timeout_ms = 60'000;
  open.state = kOngoing;
  open.partitions = TransactionPartitions({{"orders", 2}, {"orders", 0}});
  open.start_ms = 1'735'689'600'000;
  open.last_update_ms = open.start_ms + 500;
  open.client_version = kTwo;
  return open;
}
std::string value_of(const TransactionMetadata& metadata, TransactionVersion level) {
  return hex(encode({"pay-01", metadata}, level).value.value());
}
// A record of version 1 with one field changed.
Result<TransactionRecord> parse_changed(std::function<void(protocol::TransactionLogValue&)> change) {
  protocol::TransactionLogValue value;
  value.producer_id = 5;
  value.transaction_status = 1;
  change(value);
  protocol::Writer writer;
  writer.i16(1);
  value.encode(writer, 1);
  CoordinatorRecord record = encode({"pay-01", std::nullopt}, kOne);
  record.value = std::string(as_string(writer.bytes()));
  return parse(record);
}

TEST(TransactionRecordsTest, AreKafkasBytes) {
  EXPECT_EQ(hex(encode({"pay-01", std::nullopt}, kTwo).key), "000000067061792d3031");
  EXPECT_EQ(value_of(example(), kTwo),
            "000100000000000003e900030000ea600102076f726465727303000000000000000200000001941f297df4000001941f297c00"
            "02000800000000000003e902020002");
  EXPECT_EQ(value_of(example(), kOne), value_of(example(), kTwo)) << "one format from level one on";
  EXPECT_EQ(value_of(example(), kZero),
            "000000000000000003e900030000ea60010000000100066f7264657273000000020000000000000002000001941f297df4"
            "000001941f297c00");

  TransactionMetadata ends = example();
  ends.state = kPrepareCommit;
  ends.producer_epoch = 32'767;
  ends.next_producer_id = 1'002;
  EXPECT_EQ(value_of(ends, kTwo),
            "000100000000000003e97fff0000ea600202076f726465727303000000000000000200000001941f297df4000001941f297c00"
            "03000800000000000003e9010800000000000003ea02020002");

  TransactionMetadata done = example();
  done.state = kCompleteCommit;
  done.partitions = {};
  done.producer_id = 1'002;
  done.producer_epoch = 0;
  EXPECT_EQ(value_of(done, kTwo),
            "000100000000000003ea00000000ea600401000001941f297df4000001941f297c0002000800000000000003e902020002");

  TransactionMetadata fresh = example();
  fresh.state = kEmpty;
  fresh.partitions = {};
  fresh.last_update_ms = fresh.start_ms;
  fresh.start_ms = -1;
  EXPECT_EQ(value_of(fresh, kZero), "000000000000000003e900030000ea6000ffffffff000001941f297c00ffffffffffffffff");
}

TEST(TransactionRecordsTest, AreReadAsTheyWereWritten) {
  for (const TransactionState state : {kEmpty, kOngoing, kPrepareCommit, kPrepareAbort, kCompleteCommit, kCompleteAbort}) {
    TransactionMetadata metadata = example();
    metadata.state = state;
    if (!is_open(state)) metadata.partitions = {};
    metadata.next_producer_id = 7;
    const auto read = parse(encode({"pay-01", metadata}, kTwo));
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->transactional_id, "pay-01");
    EXPECT_EQ(read->value, metadata);

    metadata.previous_producer_id = metadata.next_producer_id = -1;
    metadata.client_version = kZero;
    EXPECT_EQ(parse(encode({"pay-01", metadata}, kZero))->value, metadata);
  }
  const auto tombstone = parse(encode({"pay-01", std::nullopt}, kTwo));
  ASSERT_TRUE(tombstone.has_value());
  EXPECT_EQ(tombstone->transactional_id, "pay-01");
  EXPECT_EQ(tombstone->value, std::nullopt);
}

TEST(TransactionRecordsTest, PartitionsCountOnlyWhileATransactionIsOpen) {
  using Value = protocol::TransactionLogValue;
  int32_t indexes[] = {4, 2, 4};
  Value::PartitionsSchema topics[] = {{"t", indexes}, {"t", std::span(indexes).first(1)}};
  for (int8_t status = 0; status < 6; ++status) {
    const auto read = parse_changed([&](Value& value) {
      value.transaction_status = status;
      value.transaction_partitions = topics;
    });
    EXPECT_EQ(read->value->partitions.count(), is_open(static_cast<TransactionState>(status)) ? 2u : 0u);
  }
  EXPECT_EQ(parse_changed([](Value& value) { value.transaction_partitions.reset(); })->value->partitions.count(), 0u);
}

TEST(TransactionRecordsTest, WhatNoCoordinatorWroteIsAnError) {
  using Value = protocol::TransactionLogValue;
  EXPECT_TRUE(parse_changed([](Value&) {}).has_value());
  for (const int8_t status : {-1, 6, 7, 8, 127}) {
    EXPECT_THAT(parse_changed([&](Value& value) { value.transaction_status = status; }).error().message, HasSubstr("its state"));
  }
  for (const int16_t version : {-1, 3}) {
    EXPECT_THAT(parse_changed([&](Value& value) { value.client_transaction_version = version; }).error().message,
                HasSubstr("its client's version"));
  }
  EXPECT_THAT(parse_changed([](Value& value) { value.producer_id = -1; }).error().message, HasSubstr("no producer"));
  EXPECT_THAT(parse_changed([](Value& value) { value.producer_epoch = -1; }).error().message, HasSubstr("no producer"));
  const auto idle = parse_changed([](Value& value) {
    value.transaction_status = 0;
    value.producer_epoch = -1;
  });
  EXPECT_TRUE(idle.has_value()) << "an id without an epoch, which nobody got yet";
}

}  // namespace
}  // namespace weir::coordination
