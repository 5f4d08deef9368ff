// Transactional producers of a test, as clients of transaction.version 1 or 2 speak, and readers of what they wrote.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/fetch_fixture.h"
#include "protocol/messages/add_offsets_to_txn.h"
#include "protocol/messages/add_partitions_to_txn.h"
#include "protocol/messages/end_txn.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/txn_offset_commit.h"

namespace weir::broker {

class TransactionsTest : public FetchTest {
 protected:
  using ErrorCode = protocol::ErrorCode;
  static constexpr int16_t kFirst = 1, kSecond = 2;  // transaction.version of a client

  // A client with a transactional id.
  struct Producer {
    std::string transactional_id;
    int64_t id = -1;
    int16_t epoch = -1;
    std::map<std::pair<std::string, int32_t>, int32_t> sequences = {};  // the next ones, of the epoch

    void take(int64_t producer_id, int16_t producer_epoch) {
      id = producer_id;
      epoch = producer_epoch;
      sequences.clear();
    }
  };

  void SetUp() override {
    set("transaction.state.log.num.partitions", "3");
    set("offsets.topic.num.partitions", "3");
    FetchTest::SetUp();
    create_topic("t", 3);
    create_coordinators();
  }
  void create_coordinators() {
    int created = 0;
    sim_.loop(0).post([&] {
      const auto count = [&](ErrorCode error) { created += error == ErrorCode::kNone ? 1 : 0; };
      groups_->create_topic(0, count);
      transactions_->create_topic(0, count);
    });
    run_until([&] { return created == 2; });
  }
  void restart_and_load(bool unclean) {
    restart(unclean);
    sim_.run_for(runtime::kSecond);
  }
  // Coordinators load for a while, because their records are in segments.
  void restart_while_loading() {
    size_t checkpointed = 0;
    for (unsigned shard = 0; shard < kShards; ++shard) {
      sim_.loop(shard).post(
          [&, shard] { logs_[shard]->checkpoint_all([&](Result<void> result) { checkpointed += result ? 1 : 0; }); });
    }
    run_until([&] { return checkpointed == kShards; });
    restart(false);
  }

  static ErrorCode error_of(int16_t code) { return static_cast<ErrorCode>(code); }
  // While markers are under way, and coordinators load, clients try again.
  static bool passes(ErrorCode error) {
    return error == ErrorCode::kConcurrentTransactions || error == ErrorCode::kCoordinatorLoadInProgress;
  }

  // A new producer for the id, in the place of earlier ones.
  Producer init(const std::string& transactional_id, int32_t timeout_ms = 60'000) {
    protocol::InitProducerIdRequest request;
    request.transactional_id = transactional_id;
    request.transaction_timeout_ms = timeout_ms;
    Producer producer{transactional_id};
    ErrorCode error{};
    for (int tries = 0; tries < 100; ++tries) {
      const auto answer = call<protocol::InitProducerIdResponse>(5, request);
      producer.take(answer->producer_id, answer->producer_epoch);
      error = error_of(answer->error_code);
      if (!passes(error)) break;
      sim_.run_for(20 * runtime::kMillisecond);
    }
    EXPECT_EQ(error, ErrorCode::kNone);
    return producer;
  }
  ErrorCode add_partition(const Producer& producer, const std::string& topic, int32_t partition, int16_t version = 3) {
    protocol::AddPartitionsToTxnRequest::AddPartitionsToTxnTopic asked;
    asked.name = topic;
    asked.partitions = {&partition, 1};
    protocol::AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = producer.transactional_id;
    request.v3_and_below_producer_id = producer.id;
    request.v3_and_below_producer_epoch = producer.epoch;
    request.v3_and_below_topics = {&asked, 1};
    const auto answer = call<protocol::AddPartitionsToTxnResponse>(version, request);
    return error_of(answer->results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code);
  }

  // A transactional batch with the producer's next sequence in the partition.
  std::vector<uint8_t> next_batch(Producer& producer, const std::string& topic, int32_t partition,
                                  const std::vector<std::string>& values) {
    int32_t& sequence = producer.sequences[{topic, partition}];
    auto records = batch(
        values, {.producer_id = producer.id, .producer_epoch = producer.epoch, .base_sequence = sequence, .transactional = true});
    sequence += static_cast<int32_t>(values.size());
    return records;
  }
  // A request whose memory lives as long as the test.
  protocol::ProduceRequest& produce_request(std::optional<std::string> transactional_id,
                                            std::vector<std::tuple<std::string, int32_t, std::vector<uint8_t>>> batches) {
    auto& memory = produce_requests_.emplace_back();
    memory.transactional_id = std::move(transactional_id);
    memory.batches = std::move(batches);
    memory.partitions.resize(memory.batches.size());
    memory.topics.resize(memory.batches.size());
    for (size_t i = 0; i < memory.batches.size(); ++i) {
      const auto& [topic, partition, records] = memory.batches[i];
      memory.partitions[i].index = partition;
      memory.partitions[i].records.data = records;
      memory.topics[i].name = topic;
      if (const Topic* found = broker_->shard(0).image->find(topic)) memory.topics[i].topic_id = found->id();
      memory.topics[i].partition_data = {&memory.partitions[i], 1};
    }
    if (memory.transactional_id) memory.request.transactional_id = *memory.transactional_id;
    else memory.request.transactional_id = std::nullopt;
    memory.request.acks = -1;
    memory.request.topic_data = memory.topics;
    return memory.request;
  }
  using Written = protocol::ProduceResponse::PartitionProduceResponse;
  static const Written& written(const Answer<protocol::ProduceResponse>& answer, size_t topic = 0) {
    return answer->responses[topic].partition_responses[0];
  }
  ErrorCode write(Producer& producer, const std::string& topic, int32_t partition, const std::vector<std::string>& values,
                  int16_t version) {
    auto& request =
        produce_request(producer.transactional_id, {{topic, partition, next_batch(producer, topic, partition, values)}});
    return error_of(written(call<protocol::ProduceResponse>(version, request)).error_code);
  }
  // As a client of that transaction.version does it.
  ErrorCode write(int16_t transaction_version, Producer& producer, int32_t partition, const std::vector<std::string>& values) {
    if (transaction_version == kFirst) {
      const ErrorCode error = add_partition(producer, "t", partition);
      if (error != ErrorCode::kNone) return error;
    }
    return write(producer, "t", partition, values, transaction_version == kFirst ? int16_t{11} : int16_t{13});
  }

  // Under version 2 the producer goes on with the next epoch.
  ErrorCode end(int16_t transaction_version, Producer& producer, bool commit) {
    protocol::EndTxnRequest request;
    request.transactional_id = producer.transactional_id;
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.committed = commit;
    const auto answer = call<protocol::EndTxnResponse>(transaction_version == kFirst ? 4 : 5, request);
    const ErrorCode error = error_of(answer->error_code);
    if (error == ErrorCode::kNone && transaction_version == kSecond) producer.take(answer->producer_id, answer->producer_epoch);
    return error;
  }

  // Values that a reader of committed records sees, without those of aborted transactions; and those of an uncommitted reader.
  std::vector<std::string> read(const std::string& topic, int32_t partition, bool committed = true) {
    std::vector<std::string> values;
    const storage::Partition& log = partition_of(topic, partition);
    for (int64_t offset = 0; offset < (committed ? log.last_stable_offset() : log.high_watermark());) {
      const int64_t from = offset;
      read_some(topic, partition, committed, offset, values);
      if (offset == from) {
        ADD_FAILURE() << "nothing more at " << offset;
        break;
      }
    }
    return values;
  }
  // One fetch: it may end before the partition does. Moves `offset` behind it.
  void read_some(const std::string& topic, int32_t partition, bool committed, int64_t& offset, std::vector<std::string>& values) {
    auto& asked = request({{topic, partition, offset}});
    asked.isolation_level = committed ? 1 : 0;
    const auto answer = call<protocol::FetchResponse>(12, asked);
    const auto& data = answer->responses[0].partitions[0];
    EXPECT_EQ(data.error_code, 0);
    EXPECT_EQ(data.aborted_transactions.has_value(), committed);
    std::map<int64_t, std::vector<int64_t>> aborted;  // first offsets by producer, the least one last
    if (data.aborted_transactions) {
      for (const auto& one : *data.aborted_transactions) aborted[one.producer_id].push_back(one.first_offset);
    }
    for (auto& [id, first_offsets] : aborted) std::ranges::sort(first_offsets, std::greater());
    for (protocol::BatchSplitter batches(data.records.data); batches.next();) {
      const protocol::BatchHeader& header = batches.header();
      offset = header.last_offset() + 1;
      auto& first_offsets = aborted[header.producer_id];
      const bool of_aborted = !first_offsets.empty() && first_offsets.back() <= header.base_offset;
      if (header.control()) {
        if (of_aborted) first_offsets.pop_back();
        continue;
      }
      if (header.transactional() && of_aborted) continue;
      protocol::RecordIterator records(header, batches.batch().subspan(protocol::BatchHeader::kSize));
      for (protocol::Record record; records.next(record);) values.emplace_back(as_string(*record.value));
    }
  }
  // Once the markers are there.
  std::vector<std::string> read_settled(const std::string& topic, int32_t partition) {
    run_until([&] { return !in_transaction(topic, partition); });
    return read(topic, partition);
  }
  storage::Partition& partition_of(const std::string& topic, int32_t index) {
    const storage::PartitionId id = broker_->shard(0).image->find(topic)->partition(index);
    return *logs_[broker_->owner(id)]->find(id);
  }
  bool in_transaction(const std::string& topic, int32_t index) {
    const storage::Partition& partition = partition_of(topic, index);
    return partition.last_stable_offset() < partition.log_end_offset();
  }
  // The transaction as its coordinator describes it.
  coordination::TransactionDescription describe(const std::string& transactional_id) {
    std::optional<coordination::TransactionDescription> found;
    sim_.loop(0).post([&] {
      transactions_->call<coordination::TransactionDescription>(
          0, transactional_id, [&](coordination::TransactionDescription description) { found = std::move(description); },
          [&](auto& state, auto reply, auto now, auto& effects) {
            state.describe(transactional_id, std::move(reply), now, effects);
          });
    });
    run_until([&] { return found.has_value(); });
    return std::move(*found);
  }
  // Until markers are written everywhere.
  void settle(const Producer& producer) {
    run_until([&] { return describe(producer.transactional_id).state.starts_with("Complete"); });
  }

  struct ProduceMemory {
    std::optional<std::string> transactional_id;
    std::vector<std::tuple<std::string, int32_t, std::vector<uint8_t>>> batches;
    std::vector<protocol::ProduceRequest::PartitionProduceData> partitions;
    std::vector<protocol::ProduceRequest::TopicProduceData> topics;
    protocol::ProduceRequest request;
  };
  std::deque<ProduceMemory> produce_requests_;
};

}  // namespace weir::broker
