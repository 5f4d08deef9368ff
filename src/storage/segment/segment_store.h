// The storage of a log below its tail: manifests, the segments that they name, and the register of the write-ahead logs. One of
// the engine's three seams. LocalSegmentStore keeps files in log directories, and manifests in one SQLite database. Directories
// are not part of the seam (log_directory_store.h). Any implementation passes segment_store_contract_test.cc.
#pragma once

#include "storage/segment/manifest_store.h"
#include "storage/segment/segment_data.h"
#include "storage/wal_register.h"

namespace weir::storage {

class SegmentStore : public ManifestStore, public SegmentData, public WalRegister {
 public:
  ~SegmentStore() override = default;
};

}  // namespace weir::storage
