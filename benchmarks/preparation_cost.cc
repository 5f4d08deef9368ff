// The cost of checking and opening produced batches: seconds of one core for each GB of records, by codec and size of a batch.
//
//   weir_preparation_cost [rounds]
//
// Each row has three numbers: the work on the pool (prepare_batch), the loop's check of a batch as it came, and the loop's
// check of a prepared batch. Rounds take turns over all rows and the best of each counts, so a busy machine changes little.
// Compare only the ratios between rows of one run.
#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "protocol/compression.h"
#include "protocol/record_batch_builder.h"
#include "storage/log/append_validation.h"
#include "storage/log/batch_preparation.h"

namespace {

using namespace weir;
using protocol::BatchHeader;
using protocol::CompressionType;
using storage::AppendFrom;

constexpr int64_t kNow = 1'700'000'000'000;
constexpr uint64_t kBytesARound = 32u << 20;  // of records, uncompressed

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// JSON of some 220 bytes, as applications log.
std::string json(uint64_t i) {
  const uint64_t x = i * 0x9e3779b97f4a7c15ull;
  constexpr auto kForm =
      R"json({{"id":"{:016x}","user":{},"time":{},"level":"{}","path":"/api/v1/orders/{}/items","status":{},"ms":{},)json"
      R"json("agent":"Mozilla/5.0 (X11; Linux x86_64)","trace":"{:016x}","message":"request served"}})json";
  return fmt::format(kForm, x, x % 100'000, kNow + static_cast<int64_t>(i), x % 10 ? "info" : "warn", x % 5000,
                     x % 20 ? 200 : 404, x % 900, x ^ (x >> 17));
}

struct Case {
  std::string codec;
  size_t plain_bytes = 0;
  std::vector<uint8_t> batch{};
  double pool = 1e9, loop = 1e9, prepared = 1e9;  // seconds a GB
};

Case make_case(const char* codec, CompressionType type, size_t target) {
  protocol::RecordBatchBuilder builder(protocol::BatchOptions{});
  size_t bytes = 0;
  for (uint64_t i = 0; bytes < target; ++i) {
    const std::string value = json(i);
    builder.append(kNow + static_cast<int64_t>(i % 100), std::nullopt, as_bytes(value));
    bytes += value.size() + 10;
  }
  const Bytes plain = builder.finish();
  Case made{.codec = codec, .plain_bytes = plain.size(), .batch = {plain.begin(), plain.end()}};
  if (type == CompressionType::kNone) return made;
  std::vector<uint8_t> out(plain.begin(), plain.begin() + BatchHeader::kSize);
  WEIR_CHECK(protocol::compress(type, plain.subspan(BatchHeader::kSize), out));
  BatchHeader header = BatchHeader::parse(out.data());
  header.attributes = static_cast<int16_t>(type);
  header.batch_length = static_cast<int32_t>(out.size() - BatchHeader::kLengthEnd);
  header.store(out.data());
  protocol::patch_crc(out);
  made.batch = std::move(out);
  return made;
}

// Seconds a GB of records.
template <typename Work>
double measure(const Case& one, Work work) {
  const uint64_t times = std::max<uint64_t>(1, kBytesARound / one.plain_bytes);
  const double began = thread_seconds();
  for (uint64_t i = 0; i < times; ++i) WEIR_CHECK(work());
  return (thread_seconds() - began) * 1e9 / static_cast<double>(times * one.plain_bytes);
}

void run_round(Case& one) {
  storage::LogConfig config;
  config.max_message_bytes = 16 << 20;
  Slice records = Slice::copy_of(one.batch);
  const auto append = [&](AppendFrom from) {
    return [&, from] {
      storage::ValidatedBatches batches;
      storage::AppendResult result;
      return storage::validate_append(records, config, from, kNow, batches, result);
    };
  };
  one.loop = std::min(one.loop, measure(one, append(AppendFrom::kClient)));
  if (!storage::needs_preparation(records.bytes(), config)) return;
  one.pool = std::min(one.pool, measure(one, [&] {
                        storage::AppendResult refusal;
                        return storage::prepare_batch(records, config, kNow, refusal);
                      }));
  one.prepared = std::min(one.prepared, measure(one, append(AppendFrom::kPreparation)));
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  std::vector<Case> cases;
  for (const size_t bytes : {size_t{16} << 10, size_t{1} << 20}) {
    cases.push_back(make_case("none", CompressionType::kNone, bytes));
    cases.push_back(make_case("gzip", CompressionType::kGzip, bytes));
    cases.push_back(make_case("snappy", CompressionType::kSnappy, bytes));
    cases.push_back(make_case("lz4", CompressionType::kLz4, bytes));
    cases.push_back(make_case("zstd", CompressionType::kZstd, bytes));
  }
  for (int i = 0; i < rounds; ++i) {
    for (Case& one : cases) run_round(one);
  }
  fmt::print("{:8} {:>9} {:>6} {:>8} {:>8} {:>9} {:>12}\n", "codec", "bytes", "ratio", "pool", "loop", "prepared", "pool / none");
  double none = 0;
  for (const Case& one : cases) {
    if (one.codec == "none") none = one.loop;
    const bool opened = one.codec != "none";
    fmt::print("{:8} {:>9} {:>6.1f} {:>8} {:>8.4f} {:>9} {:>12}\n", one.codec, one.plain_bytes,
               static_cast<double>(one.plain_bytes) / static_cast<double>(one.batch.size()),
               opened ? fmt::format("{:.3f}", one.pool) : "-", one.loop, opened ? fmt::format("{:.4f}", one.prepared) : "-",
               opened ? fmt::format("{:.1f}", one.pool / none) : "-");
  }
  return 0;
}
