#include "apps/flush_probe.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir::apps {

namespace {

constexpr size_t kBlock = kBufferAlignment;
constexpr size_t kBlocks = 16;

}  // namespace

FlushProbe::FlushProbe(const runtime::Runtime& runtime, runtime::Loop& loop, std::string path, Function<void(Latency)> done)
    : runtime_(runtime), loop_(loop), path_(std::move(path)), done_(std::move(done)) {}

FlushProbe::~FlushProbe() = default;

std::unique_ptr<FlushProbe> FlushProbe::start(const runtime::Runtime& runtime, runtime::Loop& loop, const std::string& folder,
                                              Function<void(Latency)> done) {
  std::unique_ptr<FlushProbe> probe(new FlushProbe(runtime, loop, folder + "/.flush-probe", std::move(done)));
  auto prepared = std::make_shared<bool>(false);
  FlushProbe* const self = probe.get();
  runtime.pool->submit([self, prepared] { *prepared = self->prepare(); }, loop,
                       [self, prepared] { *prepared ? self->write_next() : self->finish(); });
  return probe;
}

// As the log does it: a file whose blocks exist and are written, so that a flush is the write alone.
bool FlushProbe::prepare() {
  block_ = Buffer::allocate(kLargeBytes);
  std::memset(block_.data(), 0, kLargeBytes);
  auto created = runtime_.files->open(path_, {.write = true, .create = true, .truncate = true});
  auto file = created ? runtime_.files->open(path_, {.write = true, .direct = true}) : std::move(created);
  if (!file) return false;
  const int64_t began_ns = runtime_.clock->monotonic_ns();
  for (size_t i = 0; i < kLargeWrites; ++i) {
    if (!(*file)->write_at(i * kLargeBytes, Bytes(block_.data(), kLargeBytes))) return false;
  }
  if (!(*file)->sync()) return false;
  const int64_t took_ns = std::max<int64_t>(runtime_.clock->monotonic_ns() - began_ns, 1);
  bytes_per_second_ = static_cast<double>(kLargeBytes * kLargeWrites) * runtime::kSecond / static_cast<double>(took_ns);
  return true;
}

void FlushProbe::write_next() {
  const int64_t now = loop_.clock().monotonic_ns();
  if (!writer_) {
    auto writer = runtime_.files->durable_writer(path_, loop_, true);
    if (!writer) return finish();
    writer_ = std::move(*writer);
    begun_ns_ = now;
  }
  if (latencies_ns_.size() == kWrites || now - begun_ns_ > kBudgetNs) return finish();
  piece_ = {block_.data(), kBlock};
  writer_->write(latencies_ns_.size() % kBlocks * kBlock, {&piece_, 1}, [this, now](Result<void> written) {
    if (!written) return finish();
    latencies_ns_.push_back(loop_.clock().monotonic_ns() - now);
    write_next();
  });
}

void FlushProbe::finish() {
  std::sort(latencies_ns_.begin(), latencies_ns_.end());
  Latency latency;
  if (const size_t n = latencies_ns_.size(); n > 0) {
    latency = {latencies_ns_[n / 2], latencies_ns_[std::min(n - 1, n * 99 / 100)], bytes_per_second_};
  }
  runtime_.pool->submit([files = runtime_.files, path = path_] { (void)files->remove(path); }, loop_,
                        [this, latency] {
                          writer_.reset();  // the file is removed: its space goes with its last descriptor
                          done_(latency);
                        });
}

}  // namespace weir::apps
