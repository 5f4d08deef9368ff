#include "storage/segment/segment_store.h"

#include "storage/segment/rewritten_segment.h"
#include "storage/segment/segment_copy.h"

namespace weir::storage {

namespace {
std::unexpected<Error> no_compaction() { return fail(ErrorCode::kUnsupported, "this segment store cannot rewrite segments"); }
std::unexpected<Error> one_directory() { return fail(ErrorCode::kUnsupported, "this segment store has one directory"); }
}  // namespace

Result<uint32_t> SegmentStore::begin_rewrite(const PartitionId&) { return no_compaction(); }

Result<std::unique_ptr<runtime::File>> SegmentStore::open_segment(const PartitionId&, const SegmentInfo&) {
  return no_compaction();
}

Result<std::vector<AbortedTransaction>> SegmentStore::aborted_transactions(const PartitionId&, const SegmentInfo&) {
  return std::vector<AbortedTransaction>();
}

Result<std::unique_ptr<RewrittenSegment>> SegmentStore::create_segment(const PartitionId&, int64_t, uint32_t) {
  return no_compaction();
}

void SegmentStore::replace(SegmentReplacement, runtime::Executor& reply_to, Function<void(Result<PartitionManifest>)> done) {
  reply_to.post([done = std::move(done)]() mutable { done(no_compaction()); });
}

void SegmentStore::discard(const SegmentReplacement&, runtime::Executor&) {}

void SegmentStore::set_directory(const PartitionId&, uint32_t, runtime::Executor& reply_to,
                                 Function<void(Result<PartitionPlace>)> done) {
  reply_to.post([done = std::move(done)]() mutable { done(one_directory()); });
}

Result<std::unique_ptr<SegmentCopy>> SegmentStore::copy_segment(const PartitionId&, const SegmentInfo&, uint32_t, uint32_t) {
  return one_directory();
}

}  // namespace weir::storage
