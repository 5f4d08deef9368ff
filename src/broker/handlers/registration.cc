#include "broker/handlers/registration.h"

#include <utility>

#include "broker/handlers/create_topics.h"
#include "broker/handlers/fetch.h"
#include "broker/handlers/list_offsets.h"
#include "broker/handlers/metadata.h"
#include "broker/handlers/produce.h"

namespace weir::broker {
namespace {

using protocol::ApiKey;

struct Entry {
  ApiKey key;
  int16_t min_version;
  int16_t max_version;
  void (*handle)(Broker&, RequestContextPtr);
};

constexpr Entry kEntries[] = {
    {ApiKey::kProduce, 3, 13, handle_produce},
    {ApiKey::kFetch, 4, 18, handle_fetch},
    {ApiKey::kListOffsets, 1, 11, handle_list_offsets},
    {ApiKey::kMetadata, 0, 13, handle_metadata},
    {ApiKey::kCreateTopics, 2, 7, handle_create_topics},
};

}  // namespace

void register_handlers(Dispatcher& dispatcher, Broker& broker) {
  for (const Entry& entry : kEntries) {
    dispatcher.add(entry.key, entry.min_version, entry.max_version,
                   [&broker, handle = entry.handle](RequestContextPtr context) { handle(broker, std::move(context)); });
  }
  // librdkafka takes a broker that does not know Produce 0 for one that cannot do compression.
  dispatcher.advertise_from(ApiKey::kProduce, 0);
}

}  // namespace weir::broker
