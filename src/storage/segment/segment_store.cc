#include "storage/segment/segment_store.h"

#include "storage/segment/rewritten_segment.h"

namespace weir::storage {

namespace {
std::unexpected<Error> no_compaction() {
  return fail(ErrorCode::kUnsupported, "this segment store cannot rewrite segments");
}
}  // namespace

Result<uint32_t> SegmentStore::begin_rewrite(const PartitionId&) {
  return no_compaction();
}

Result<std::unique_ptr<runtime::File>> SegmentStore::open_segment(const PartitionId&, const SegmentInfo&) {
  return no_compaction();
}

Result<std::unique_ptr<RewrittenSegment>> SegmentStore::create_segment(const PartitionId&, int64_t,
                                                                       uint32_t) {
  return no_compaction();
}

void SegmentStore::replace(SegmentReplacement, runtime::Executor& reply_to,
                           Function<void(Result<PartitionManifest>)> done) {
  reply_to.post([done = std::move(done)]() mutable { done(no_compaction()); });
}

void SegmentStore::discard(const SegmentReplacement&, runtime::Executor&) {}

}  // namespace weir::storage
