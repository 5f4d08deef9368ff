// Several log directories: where partitions are placed, how segments move, what a start refuses, and that neither a power cut nor
// a failing disk in the middle of a move loses anything or leaves files behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "storage/segment/local_segment_store.h"
#include "storage/segment/segment_copy.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/test_batches.h"
#include "testing/fake_clock.h"
#include "testing/sim_runtime.h"

namespace weir::storage {
namespace {

using namespace storage::testing;
using ::testing::HasSubstr;
using weir::testing::Death;
using weir::testing::SimRuntime;

const Uuid kIdOfB = Uuid::from_random(11, 12), kIdOfC = Uuid::from_random(13, 14);
using Extra = std::vector<LocalSegmentStore::ExtraDirectory>;

CheckpointPartition::Batch batch_at(const PartitionId& partition, int64_t offset) {
  BatchShape shape;
  shape.base_offset = offset;
  shape.value_bytes = offset % 4 == 0 ? 9'000 : 300;
  shape.timestamp = 1000 + offset;
  shape.fill = static_cast<uint8_t>('a' + offset % 20);
  return make_batch(partition, shape);
}

AbortedTransaction aborted_at(int64_t offset) { return {offset % 5, offset - 2, offset, offset + 1}; }

class Store {
 public:
  explicit Store(uint64_t seed = 1) : sim(seed) {
    set_log_level(LogLevel::kError);
    for (const char* folder : {"/a", "/b", "/c"}) EXPECT_TRUE(sim.disk().create_directories(folder));
    EXPECT_TRUE(sim.disk().sync_directory("/"));
  }
  ~Store() { set_log_level(LogLevel::kInfo); }

  // Returns "", or why the store does not open.
  std::string open(const Extra& extra = {{"/b", kIdOfB}}) {
    store.reset();
    manifests.clear();
    auto opened = LocalSegmentStore::open(sim.disk(), sim.pool(), clock, {.log_dir = "/a"});
    if (!opened) return opened.error().message;
    store = std::move(*opened);
    if (auto done = store->use_directories(extra); !done) return done.error().message;
    auto loaded = store->load([](const PartitionId&) { return true; });  // if it has no row
    if (!loaded) return loaded.error().message;
    for (auto& one : *loaded) {
      if (one.has_row) manifests[one.manifest.partition] = one.manifest;
    }
    store->maintain_now();
    return "";
  }
  void die(Death death) {
    sim.disk().cut_at_write(0);
    sim.end_server(death);
    store.reset();
    sim.disk().clear_faults();
    sim.start_server();
  }

  bool checkpoint(const PartitionId& partition, int batches, int64_t log_start = 0) {
    CheckpointPartition checkpoint;
    checkpoint.partition = partition;
    checkpoint.epochs = {{0, 0}};
    checkpoint.segment_bytes = 20'000;
    checkpoint.log_start_offset = log_start;
    int64_t end = manifests.contains(partition) ? manifests[partition].end_offset : 0;
    for (int i = 0; i < batches; ++i, ++end) {
      if (end % 3 == 2) add_abort(checkpoint, batch_at(partition, end), aborted_at(end));
      else checkpoint.batches.push_back(batch_at(partition, end));
    }
    auto checkpointed = store->checkpoint_now({checkpoint});
    if (!checkpointed) return false;
    manifests[partition] = checkpointed->front();
    return true;
  }
  bool place(const PartitionId& partition, uint32_t directory) {
    auto placed = store->set_directory_now(partition, directory);
    if (placed) manifests[partition].place = *placed;
    return placed.has_value();
  }
  // Makes a store with a partition in the first directory. Returns "", or the trouble.
  std::string begin_at_home(const PartitionId& partition, int batches) {
    if (std::string refusal = open(); !refusal.empty()) return refusal;
    if (!place(partition, 0)) return "not placed";
    return checkpoint(partition, batches) ? "" : "not checkpointed";
  }
  static const SegmentInfo* misplaced(const PartitionManifest& manifest) {
    for (const SegmentInfo& segment : manifest.segments) {
      if (segment.directory != manifest.place.target) return &segment;
    }
    return nullptr;
  }
  // Copies a segment as LogDirMover does. Returns nothing if a step failed.
  std::optional<SegmentReplacement> copy(const PartitionId& partition) {
    const PartitionManifest& manifest = manifests[partition];
    const SegmentInfo source = *misplaced(manifest);
    auto generation = store->begin_rewrite(partition);
    if (!generation) return std::nullopt;
    SegmentReplacement outcome;
    outcome.partition = partition;
    outcome.move = true;
    outcome.file_delete_delay_ms = 1000;
    auto copy = store->copy_segment(partition, source, {manifest.place.target, *generation});
    if (!copy) return std::nullopt;
    outcome.groups = {{{source}, {(*copy)->info()}}};
    while (true) {
      auto done = (*copy)->step(4096);
      if (!done) {
        store->discard_now(outcome);
        return std::nullopt;
      }
      if (*done) return outcome;
    }
  }
  bool put(const SegmentReplacement& outcome) {
    auto replaced = store->replace_now(outcome);
    if (!replaced) {
      store->discard_now(outcome);
      return false;
    }
    manifests[outcome.partition] = *replaced;
    return true;
  }
  bool move_all(const PartitionId& partition) {
    while (misplaced(manifests[partition])) {
      auto outcome = copy(partition);
      if (!outcome || !put(*outcome)) return false;
    }
    return true;
  }

  void verify(const PartitionId& partition) {
    PartitionManifest manifest = manifests[partition];
    int64_t offset = manifest.segments.empty() ? manifest.end_offset : manifest.segments.front().base_offset;
    std::vector<uint8_t> expected, found;
    std::set<int64_t> aborted, found_aborted;  // markers
    for (int64_t at = offset; at < manifest.end_offset; ++at) {
      if (at % 3 == 2) aborted.insert(at);
      const auto batch = batch_at(partition, at);
      expected.insert(expected.end(), batch.bytes.data, batch.bytes.data + batch.bytes.size);
    }
    manifest.log_start_offset = 0;
    while (offset < manifest.end_offset) {
      auto read = store->read_now(manifest, offset, {8'000, INT64_MAX, true});
      ASSERT_TRUE(read) << read.error().message;
      const auto bytes = bytes_of(read->bytes);
      found.insert(found.end(), bytes.begin(), bytes.end());
      ASSERT_GT(read->next_offset, offset);
      offset = read->next_offset;
      for (const AbortedTransaction& each : read->aborted) {
        EXPECT_EQ(each, aborted_at(each.last_offset));
        found_aborted.insert(each.last_offset);
      }
    }
    EXPECT_EQ(found_aborted, aborted);
    ASSERT_TRUE(found == expected) << partition_folder_name(partition);
  }
  // The manifests name each file of a segment.
  void expect_no_other_files() {
    std::set<std::string> wanted, found;
    for (const auto& [id, manifest] : manifests) {
      for (const SegmentInfo& segment : manifest.segments) {
        const std::string folder = store->directories().path(segment.directory) + "/" + partition_folder_name(id) + "/";
        wanted.insert(folder + segment_file_name(segment.base_offset, segment.generation));
        if (segment.aborted > 0) wanted.insert(folder + aborted_index_file_name(segment.base_offset, segment.generation));
      }
    }
    for (const std::string& path : sim.disk().all_files()) {
      if (path.ends_with(".log") || path.ends_with(".txnindex")) found.insert(path);
    }
    EXPECT_EQ(found, wanted);
  }
  std::set<uint32_t> directories_of(const PartitionId& partition) {
    std::set<uint32_t> found;
    for (const SegmentInfo& segment : manifests[partition].segments) found.insert(segment.directory);
    return found;
  }

  SimRuntime sim;
  weir::testing::FakeClock clock;
  std::unique_ptr<LocalSegmentStore> store;
  std::map<PartitionId, PartitionManifest> manifests;
};

TEST(SegmentMoveTest, NewPartitionsGoWhereTheFewestAreAndStayThere) {
  Store world;
  ASSERT_EQ(world.open({{"/b", kIdOfB}, {"/c", kIdOfC}}), "");
  LogDirectories& directories = world.store->directories();
  std::map<PartitionId, PartitionPlace> places;
  for (uint64_t topic = 1; topic <= 6; ++topic) places[partition_id(topic)] = directories.place(partition_id(topic));
  std::map<uint32_t, int> count;
  for (const auto& [id, place] : places) ++count[place.directory];
  EXPECT_EQ(count, (std::map<uint32_t, int>{{0, 2}, {1, 2}, {2, 2}}));
  directories.prefer("wanted", 4, 1);
  directories.create("wanted", partition_id(50, 4));
  directories.create("other", partition_id(51, 4));
  EXPECT_EQ(directories.place(partition_id(50, 4)).directory, 1u);
  EXPECT_EQ(directories.place(partition_id(51, 4)).directory, 0u);
  for (uint64_t topic = 1; topic <= 3; ++topic) ASSERT_TRUE(world.checkpoint(partition_id(topic), 3));
  world.store->maintain_now();  // notes empty directories as well
  world.die(Death::kPowerCut);
  ASSERT_EQ(world.open({{"/c", kIdOfC}, {"/b", kIdOfB}}), "") << "in any order";
  for (const auto& [id, place] : places) EXPECT_EQ(world.store->directories().place(id), place);
  for (uint64_t topic = 1; topic <= 3; ++topic) {
    EXPECT_EQ(world.directories_of(partition_id(topic)), std::set{places[partition_id(topic)].directory});
    world.verify(partition_id(topic));
  }
}

TEST(SegmentMoveTest, SegmentsMoveAndReadersKeepTheOldFilesForAWhile) {
  Store world;
  const PartitionId id = partition_id(1);
  ASSERT_EQ(world.begin_at_home(id, 40), "");
  const PartitionManifest before = world.manifests[id];
  ASSERT_GT(before.segments.size(), 2u);
  ASSERT_TRUE(world.place(id, 1));
  EXPECT_EQ(world.manifests[id].place, (PartitionPlace{0, 1})) << "on its way";
  ASSERT_TRUE(world.checkpoint(id, 1));
  EXPECT_EQ(world.manifests[id].segments.back().directory, 1u) << "what is new goes there at once";
  EXPECT_EQ(world.manifests[id].segments.size(), before.segments.size() + 1);
  ASSERT_TRUE(world.move_all(id));
  EXPECT_EQ(world.manifests[id].place, (PartitionPlace{1, 1}));
  EXPECT_EQ(world.directories_of(id), std::set{1u});
  world.verify(id);
  EXPECT_TRUE(world.store->read_now(before, 3, 1000)) << "who began with the old manifest goes on";
  ASSERT_TRUE(world.checkpoint(id, 3)) << "goes on in the moved segment or a new one";
  world.clock.advance_ms(2000);
  world.store->maintain_now();
  world.expect_no_other_files();
  EXPECT_FALSE(*world.sim.disk().exists("/a/" + partition_folder_name(id)));
  world.verify(id);
  world.die(Death::kPowerCut);
  ASSERT_EQ(world.open(), "");
  EXPECT_EQ(world.manifests[id].place, (PartitionPlace{1, 1}));
  world.verify(id);
}

TEST(SegmentMoveTest, TheActiveSegmentMovesAndGrowsOn) {
  Store world;
  const PartitionId id = partition_id(1);
  ASSERT_EQ(world.begin_at_home(id, 2), "");
  ASSERT_TRUE(world.place(id, 1));
  ASSERT_TRUE(world.move_all(id));
  ASSERT_TRUE(world.checkpoint(id, 1));
  ASSERT_EQ(world.manifests[id].segments.size(), 1u);
  EXPECT_EQ(world.manifests[id].segments[0].directory, 1u);
  EXPECT_EQ(world.manifests[id].segments[0].next_offset, 3);
  world.verify(id);
}

TEST(SegmentMoveTest, ACopyOfWhatChangedMeanwhileIsNotTaken) {
  Store world;
  const PartitionId id = partition_id(1);
  ASSERT_EQ(world.begin_at_home(id, 2), "");
  ASSERT_TRUE(world.place(id, 1));
  const auto outcome = world.copy(id);
  ASSERT_TRUE(outcome);
  ASSERT_TRUE(world.place(id, 0)) << "back";
  EXPECT_EQ(world.manifests[id].place, (PartitionPlace{0, 0}));
  ASSERT_TRUE(world.checkpoint(id, 1));
  ASSERT_EQ(world.manifests[id].segments.size(), 1u) << "appended to";
  ASSERT_TRUE(world.place(id, 1)) << "and there again, before the copy is put in place";
  ASSERT_TRUE(world.put(*outcome));
  EXPECT_EQ(world.directories_of(id), std::set{0u});
  world.expect_no_other_files();
  world.verify(id);
  ASSERT_TRUE(world.move_all(id));
  world.verify(id);
}

TEST(SegmentMoveTest, WhatIsDroppedWhileItMovesIsGone) {
  Store world;
  const PartitionId id = partition_id(1);
  ASSERT_EQ(world.begin_at_home(id, 40), "");
  ASSERT_TRUE(world.place(id, 1));
  auto outcome = world.copy(id);
  ASSERT_TRUE(outcome && world.put(*outcome));
  outcome = world.copy(id);
  ASSERT_TRUE(outcome);
  ASSERT_TRUE(world.store->drop_now(id, 0));
  EXPECT_FALSE(world.put(*outcome));
  world.manifests.clear();
  world.store->maintain_now();
  world.expect_no_other_files();
  ASSERT_EQ(world.open(), "");
  EXPECT_TRUE(world.manifests.empty());
}

TEST(SegmentMoveTest, RetentionGoesOnInBothDirectories) {
  Store world;
  const PartitionId id = partition_id(1);
  ASSERT_EQ(world.begin_at_home(id, 40), "");
  ASSERT_TRUE(world.place(id, 1));
  auto outcome = world.copy(id);
  ASSERT_TRUE(outcome && world.put(*outcome));
  const int64_t start = world.manifests[id].segments[1].next_offset;
  ASSERT_TRUE(world.checkpoint(id, 0, start));
  EXPECT_EQ(world.manifests[id].segments.front().base_offset, start);
  world.clock.advance_ms(2000);
  world.store->maintain_now();
  world.expect_no_other_files();
  ASSERT_TRUE(world.move_all(id));
  world.verify(id);
}

TEST(SegmentMoveTest, ADirectoryThatHoldsSegmentsIsMissed) {
  Store world;
  const PartitionId id = partition_id(1);
  ASSERT_EQ(world.open(), "");
  ASSERT_TRUE(world.place(id, 1));
  ASSERT_TRUE(world.checkpoint(id, 3));
  EXPECT_THAT(world.open({}), HasSubstr("/b (directory.id " + kIdOfB.to_string() + ") holds 1 segment"));
  EXPECT_THAT(world.open({{"/b", kIdOfC, true}}), HasSubstr("is empty now"));
  EXPECT_THAT(world.open({{"/b", kIdOfC}}), HasSubstr("another directory.id"));
  EXPECT_THAT(world.open({{"/b", kIdOfB}, {"/c", kIdOfC}}), "") << "one more is fine";
  ASSERT_EQ(world.open(), "") << "and without it again, while it is empty";
  world.verify(id);
  ASSERT_TRUE(world.place(id, 0));
  ASSERT_TRUE(world.move_all(id));
  ASSERT_EQ(world.open({}), "");
  world.verify(id);
  EXPECT_TRUE(world.checkpoint(id, 1));
}

TEST(SegmentMoveTest, ADirectoryWithSegmentsOfOthersIsRefused) {
  Store world;
  ASSERT_TRUE(world.sim.disk().create_directories("/b/" + partition_folder_name(partition_id(9))));
  EXPECT_THAT(world.open(), HasSubstr("/b (directory.id"));
}

// Runs one life: checkpoints, moves there and back, drops. Ends where the disk dies or an operation fails.
bool live(Store& world, std::map<PartitionId, int64_t>& acknowledged) {
  const PartitionId moved = partition_id(1), other = partition_id(2);
  const auto checkpoint = [&](const PartitionId& id, int batches) {
    if (!world.checkpoint(id, batches)) return false;
    acknowledged[id] = world.manifests[id].end_offset;
    return true;
  };
  if (!world.place(moved, 0) || !checkpoint(moved, 6) || !checkpoint(other, 2)) return false;
  if (!world.place(moved, 1)) return false;
  auto first = world.copy(moved);
  if (!first || !checkpoint(moved, 3) || !world.put(*first)) return false;
  world.clock.advance_ms(2000);
  world.store->maintain_now();
  if (!world.move_all(moved) || !checkpoint(moved, 3)) return false;
  world.clock.advance_ms(2000);
  world.store->maintain_now();
  return world.place(moved, 0) && world.move_all(moved) && checkpoint(moved, 2);
}

void check_after(Store& world, const std::map<PartitionId, int64_t>& acknowledged) {
  ASSERT_EQ(world.open(), "");
  for (const auto& [id, end] : acknowledged) {
    ASSERT_TRUE(world.manifests.contains(id));
    ASSERT_GE(world.manifests[id].end_offset, end);
    world.verify(id);
  }
  world.expect_no_other_files();
  // The moves that were under way come to their end.
  for (auto& [id, manifest] : world.manifests) {
    ASSERT_TRUE(world.place(id, manifest.place.target));
    ASSERT_TRUE(world.move_all(id));
    EXPECT_EQ(world.manifests[id].place.directory, world.manifests[id].place.target);
    world.verify(id);
  }
}

TEST(SegmentMoveTest, SurvivesDeathAtEveryWrite) {
  for (const Death death : {Death::kPowerCut, Death::kKill}) {
    for (uint64_t cut = 1;; ++cut) {
      SCOPED_TRACE(::testing::Message() << "cut at write " << cut << (death == Death::kKill ? ", killed" : ""));
      Store world(cut % 7 + 1);
      std::map<PartitionId, int64_t> acknowledged;
      world.sim.disk().cut_at_write(cut);
      const bool whole = world.open().empty() && live(world, acknowledged);
      world.die(death);
      check_after(world, acknowledged);
      if (HasFailure()) return;
      if (whole) break;
    }
  }
}

TEST(SegmentMoveTest, SurvivesFailedOperationsFollowedByAPowerCut) {
  using weir::testing::DiskOperation;
  for (const auto operation : {DiskOperation::kSync, DiskOperation::kWrite, DiskOperation::kSyncDirectory, DiskOperation::kCreate,
                               DiskOperation::kRemove}) {
    for (uint64_t skip = 0; skip < 60; ++skip) {
      SCOPED_TRACE(::testing::Message() << "operation " << static_cast<int>(operation) << " skip " << skip);
      Store world(skip % 7 + 1);
      std::map<PartitionId, int64_t> acknowledged;
      ASSERT_EQ(world.open(), "");
      world.sim.disk().inject({.pattern = "*", .operation = operation, .skip = skip, .times = 1 + skip % 3});
      (void)live(world, acknowledged);
      world.die(Death::kPowerCut);
      check_after(world, acknowledged);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace weir::storage
