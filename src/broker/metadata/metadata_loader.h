// Reads all metadata at start and makes what the start itself changes durable: the cluster's id at the first start, the
// broker epoch after an unclean end.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "broker/metadata/features_record.h"
#include "broker/metadata/metadata_image.h"
#include "runtime/clock.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

// Effective log settings of a topic with these overrides.
using LogConfigOf = std::function<storage::LogConfig(const ConfigOverrides&)>;

struct LoadedMetadata {
  std::string cluster_id;
  FeaturesRecord features;
  MetadataImagePtr image;
};

// `unclean`: the previous process did not end its log cleanly, so leader epochs move on before anything is served.
// Blocking. A corrupt entry is an error: serving without a topic would delete its data.
Result<LoadedMetadata> load_metadata(storage::MetaStore& store, bool unclean, runtime::Random& random,
                                     const LogConfigOf& log_config_of);

}  // namespace weir::broker
