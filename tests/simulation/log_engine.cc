#include "simulation/log_engine.h"

#include <utility>

namespace weir::simulation {

Result<std::unique_ptr<LogEngine>> LogEngine::open(testing::SimRuntime& sim, const storage::LogOptions& options,
                                                   uint64_t wal_file_bytes, testing::SeededRandom& random, const Known& known) {
  auto engine = std::make_unique<LogEngine>();
  engine->world = sim.runtime();
  runtime::Runtime& world = engine->world;
  if (auto made = world.files->create_directories(options.log_dir); !made) return std::unexpected(made.error());
  for (const char* parent : {"/", "/data"}) {
    if (auto synced = world.files->sync_directory(parent); !synced) return std::unexpected(synced.error());
  }
  // In every other world the throttle always holds the background back, so that lives also end between two pieces of a
  // checkpoint.
  engine->throttle = std::make_unique<storage::BackgroundThrottle>(*world.clock, *world.loops[0],
                                                                   storage::BackgroundThrottleOptions{.held_piece_bytes = 4096});
  if (sim.seed() % 2 == 1) engine->throttle->calibrate(1, 1);
  auto store = storage::LocalSegmentStore::open(*world.files, *world.pool, *world.clock,
                                                {.log_dir = options.log_dir, .throttle = engine->throttle.get()});
  if (!store) return std::unexpected(store.error());
  engine->store = std::move(*store);
  storage::LogOptions log = options;
  log.shard.throttle = engine->throttle.get();
  engine->wals = std::make_unique<storage::LocalWalSessions>(world, *engine->store,
                                                             storage::LocalWalSettings{.log_dir = options.log_dir,
                                                                                       .incarnation = random.next() | 1,
                                                                                       .file_bytes = wal_file_bytes,
                                                                                       .throttle = engine->throttle.get()});
  auto opened = storage::open_log(world, *engine->store, *engine->wals, log, known);
  if (!opened) return std::unexpected(opened.error());
  engine->shards = std::move(opened->shards);
  return engine;
}

void LogEngine::close(testing::SimRuntime& sim, std::function<void(Result<void>)> done) {
  auto left = std::make_shared<size_t>(shards.size());
  for (size_t i = 0; i < shards.size(); ++i) {
    sim.loop(static_cast<unsigned>(i)).post([this, i, left, done] {
      shards[i]->quiesce([this, left, done] {
        if (--*left == 0) done(storage::close_log(*wals, shards));
      });
    });
  }
}

}  // namespace weir::simulation
