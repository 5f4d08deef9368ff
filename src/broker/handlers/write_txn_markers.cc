#include "protocol/messages/write_txn_markers.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/counted.h"
#include "broker/handlers/transaction_handlers.h"
#include "broker/requests/sharded_operation.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::WriteTxnMarkersRequest;
using protocol::WriteTxnMarkersResponse;
using MarkerResult = WriteTxnMarkersResponse::WritableTxnMarkerResult;
using TopicResult = WriteTxnMarkersResponse::WritableTxnMarkerTopicResult;
using PartitionResult = WriteTxnMarkersResponse::WritableTxnMarkerPartitionResult;

constexpr size_t kMarkersPerTurn = 500;

struct MarkerItem {
  storage::PartitionId id;
  storage::MarkerAppend marker;
  PartitionResult* result = nullptr;
  ErrorCode error{};
};

// A group coordinator that cannot take a marker now is, to another broker, a partition that has no leader here.
ErrorCode told(ErrorCode error) {
  switch (error) {
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kNotCoordinator:
      return ErrorCode::kNotLeaderOrFollower;
    default:
      return error;
  }
}

// Only tools send this request, and they may name an epoch that no coordinator has. If the partition noted it, it would refuse
// the coordinator's markers from then on.
storage::MarkerAppend as_noted(storage::MarkerAppend marker, const storage::Partition* partition) {
  const storage::ProducerEntry* entry = partition == nullptr ? nullptr : partition->producers().find(marker.producer_id);
  const int32_t noted = entry == nullptr ? -1 : entry->coordinator_epoch;
  marker.coordinator_epoch = std::min(marker.coordinator_epoch, std::max(noted, 0));
  return marker;
}

class WriteMarkersOperation final : public ShardedOperation<MarkerItem> {
 public:
  WriteMarkersOperation(TransactionCoordinators& transactions, RequestContextPtr context)
      : ShardedOperation(transactions.broker(), std::move(context)), transactions_(transactions) {}

  void start() {
    using enum security::AclOperation;
    if (!context_->decode(request_)) return;
    const bool may = context_->authorize(kAlter, {}) || context_->authorize(kClusterAction, {});
    size_t count = 0;
    for (const auto& marker : request_.markers) {
      for (const auto& topic : marker.topics) count += topic.partition_indexes.size();
    }
    items_.reserve(count);
    const std::span<MarkerResult> results = context_->arena().array<MarkerResult>(request_.markers.size());
    for (size_t i = 0; i < results.size(); ++i) prepare(request_.markers[i], may, results[i]);
    response_.markers = results;
    assign(items_);
    start_round();
  }

 private:
  void prepare(const WriteTxnMarkersRequest::WritableTxnMarker& asked, bool may, MarkerResult& answer) {
    protocol::Arena& arena = context_->arena();
    const storage::MarkerAppend marker{.producer_id = asked.producer_id,
                                       .producer_epoch = asked.producer_epoch,
                                       .coordinator_epoch = asked.coordinator_epoch,
                                       .commit = asked.transaction_result,
                                       .transaction_version = asked.transaction_version};
    answer.producer_id = asked.producer_id;
    answer.topics = arena.array<TopicResult>(asked.topics.size());
    for (size_t t = 0; t < asked.topics.size(); ++t) {
      const auto& indexes = asked.topics[t].partition_indexes;
      const Topic* topic = home().image->find(asked.topics[t].name);
      answer.topics[t].name = asked.topics[t].name;
      answer.topics[t].partitions = arena.array<PartitionResult>(indexes.size());
      for (size_t p = 0; p < indexes.size(); ++p) {
        PartitionResult& result = answer.topics[t].partitions[p];
        result.partition_index = indexes[p];
        ErrorCode error{};
        if (!may) error = ErrorCode::kClusterAuthorizationFailed;
        else if (topic == nullptr || !topic->has_partition(indexes[p])) error = ErrorCode::kUnknownTopicOrPartition;
        else if (asked.producer_id < 0 || asked.producer_epoch < 0) error = ErrorCode::kInvalidRequest;
        result.error_code = code(error);
        if (error == ErrorCode::kNone) items_.push_back({topic->partition(indexes[p]), marker, &result});
      }
    }
  }

  void run(Part& part) override { write_some(part, 0); }
  void write_some(Part& part, size_t begin) {
    MarkerWriter& writer = transactions_.markers(part.shard->index());
    const size_t end = std::min(part.items.size(), begin + kMarkersPerTurn);
    for (MarkerItem* item : std::span(part.items).subspan(begin, end - begin)) {
      writer.write(item->id, as_noted(item->marker, part.shard->log.find(item->id)),
                   [self = runtime::HomeRef(this), &part, item](ErrorCode error) {
                     item->error = error;
                     self->item_done(part);
                   });
    }
    if (end < part.items.size()) run_later(part, [this, &part, end] { write_some(part, end); });
  }
  void complete() override {
    size_t written = 0;
    for (const MarkerItem& item : items_) {
      item.result->error_code = code(told(item.error));
      written += item.error == ErrorCode::kNone ? 1 : 0;
    }
    if (written > 0)
      tell_change(home(), *context_, counted(written, "marker of a transaction", "markers of transactions") + " written");
    context_->respond(response_);
    context_.reset();
  }

  TransactionCoordinators& transactions_;
  WriteTxnMarkersRequest request_;
  WriteTxnMarkersResponse response_;
  std::vector<MarkerItem> items_;
};

}  // namespace

void handle_write_txn_markers(TransactionCoordinators& transactions, RequestContextPtr context) {
  runtime::make_homebound<WriteMarkersOperation>(transactions, std::move(context))->start();
}

}  // namespace weir::broker
