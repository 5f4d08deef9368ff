#include "simulation/log_reader.h"

#include <fmt/core.h>

#include <utility>
#include <vector>

#include "simulation/log_clients.h"

namespace weir::simulation {

using protocol::ErrorCode;

bool LogReader::take(const storage::PartitionId& id, const storage::ReadResult& result, std::map<int64_t, uint64_t>& records) {
  const auto complain = [&](const std::string& what) {
    oracle_.violation(fmt::format("reading {}-{}: {}", id.topic.to_string(), id.index, what));
    return false;
  };
  for (const storage::FetchPiece& piece : result.pieces) {
    std::string problem;
    if (const auto* slice = std::get_if<Slice>(&piece)) {
      if (!collect_records(slice->bytes(), records, problem)) return complain(problem);
      continue;
    }
    const auto& range = std::get<storage::FileRange>(piece);
    std::vector<uint8_t> bytes(range.length);
    const auto got = range.file->read_at(range.offset, bytes);
    if (!got) return false;
    if (*got != range.length) return complain("the file is shorter than the segment");
    if (!collect_records(bytes, records, problem)) return complain(problem);
  }
  return true;
}

struct LogReader::Reading {
  storage::LogShard& shard;
  storage::PartitionId id;
  Function<void(Result<Oracle::Found>)> done;
  Oracle::Found found;
  int64_t offset = 0;  // of the next record to read
};

void LogReader::read_all(storage::LogShard& shard, const storage::PartitionId& id, Function<void(Result<Oracle::Found>)> done) {
  const storage::Partition& partition = *shard.find(id);
  const int64_t start = partition.log_start_offset();
  go_on(std::make_shared<Reading>(Reading{shard, id, std::move(done), {start, partition.high_watermark(), {}}, start}));
}

void LogReader::go_on(std::shared_ptr<Reading> reading) {
  if (reading->offset >= reading->found.high_watermark) return reading->done(std::move(reading->found));
  storage::ReadRequest request;
  request.offset = reading->offset;
  request.max_bytes = 30'000;
  storage::ReadResult result;
  const auto done = [this, reading](storage::ReadResult late) { take_answer(reading, late); };
  if (reading->shard.read(*reading->shard.find(reading->id), request, result, done)) take_answer(reading, result);
}

void LogReader::take_answer(std::shared_ptr<Reading> reading, const storage::ReadResult& result) {
  const storage::PartitionId& id = reading->id;
  auto& records = reading->found.records;
  const int64_t start = reading->shard.find(id)->log_start_offset();
  if (result.error == ErrorCode::kOffsetOutOfRange && reading->offset < start) {  // a move by retention has become durable
    reading->found.log_start = start;
    records.erase(records.begin(), records.lower_bound(start));
    reading->offset = start;
    return go_on(std::move(reading));
  }
  const bool good = result.error == ErrorCode::kNone && take(id, result, records);
  if (!good || records.empty() || records.rbegin()->first < reading->offset) {
    return reading->done(
        fail(weir::ErrorCode::kIo, fmt::format("reading {}-{} at {}: error {}, {} bytes", id.topic.to_string(), id.index,
                                               reading->offset, static_cast<int>(result.error), result.bytes)));
  }
  reading->offset = records.rbegin()->first + 1;
  go_on(std::move(reading));
}

}  // namespace weir::simulation
