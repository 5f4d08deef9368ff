// Reads all metadata at start. Makes durable what the start itself changes: the cluster's id at the first start, the broker epoch
// after an unclean end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/deleted_topics.h"
#include "broker/metadata/group_placement_record.h"
#include "broker/metadata/metadata_image.h"
#include "runtime/clock.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

struct LoadedMetadata {
  std::string cluster_id;
  MetadataImagePtr image;
  DeletedTopics deleted;
  std::optional<GroupPlacementRecord> group_placement;

  // The revision that `image` is as of, with the writes of `deleted` since.
  int64_t revision() const { return deleted.revision_after(image->revision()); }
};

// `unclean`: the previous process did not end its log cleanly, so leader epochs move on before anything is served. `config` is
// the static configuration. Blocking. Corrupt entries are errors, and so are entries of topics that contradict each other.
Result<LoadedMetadata> load_metadata(storage::MetaStore& store, bool unclean, runtime::Random& random,
                                     const BrokerConfig& config);

}  // namespace weir::broker
