#include "protocol/wire.h"

#include <gtest/gtest.h>

#include <string>

#include "protocol/messages/fetch.h"
#include "protocol/messages/group_records.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"

namespace weir::protocol {
namespace {

using Raw = std::vector<uint8_t>;

TEST(Reader, PointsIntoTheInput) {
  const Raw in = {0, 3, 'a', 'b', 'c', 0, 0, 0, 2, 9, 8};
  Arena arena;
  Reader reader(in, arena);
  EXPECT_EQ(reader.string(false).data(), reinterpret_cast<const char*>(in.data() + 2));
  EXPECT_EQ(reader.bytes(false).data(), in.data() + 9);
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.remaining().empty());
}

TEST(Reader, KeepsTheFirstErrorAndReadsNothingMore) {
  const Raw in = {0, 5, 'a', 'b'};
  Arena arena;
  Reader reader(in, arena);
  EXPECT_EQ(reader.string(false), "");
  EXPECT_STREQ(reader.error(), "message ends early");
  EXPECT_EQ(reader.i64(), 0);
  reader.fail("another");
  EXPECT_STREQ(reader.error(), "message ends early");
  EXPECT_TRUE(reader.remaining().empty());
}

TEST(Reader, NullIsNotEmpty) {
  const Raw in = {0xff, 0xff, 0, 0, 0, 1};
  Arena arena;
  Reader reader(in, arena);
  EXPECT_FALSE(reader.nullable_string(false).has_value());
  EXPECT_EQ(reader.nullable_string(false), std::string_view{});
  EXPECT_FALSE(reader.nullable_string(true).has_value());
  EXPECT_EQ(reader.nullable_string(true), std::string_view{});
  EXPECT_TRUE(reader.ok());
}

TEST(Reader, RefusesNullWhereAValueMustBe) {
  for (const Raw& in : {Raw{0xff, 0xff}, Raw{0xff, 0xfe}}) {
    Arena arena;
    Reader reader(in, arena);
    reader.string(false);
    EXPECT_FALSE(reader.ok());
  }
}

// A count is believed only as far as there are bytes for its elements, before memory is taken.
TEST(Reader, ChecksCountsBeforeAllocating) {
  const Raw in = {0x7f, 0xff, 0xff, 0xff, 1, 2, 3};
  Arena arena;
  Reader reader(in, arena);
  EXPECT_TRUE(reader.values<int32_t>(false).empty());
  EXPECT_STREQ(reader.error(), "array longer than its message");
  EXPECT_EQ(arena.held_bytes(), 0u);
}

TEST(Reader, ArenaLimitIsACleanError) {
  Raw in(4 + 4096);
  store_be<int32_t>(in.data(), 4096);
  Arena arena(1024);
  Reader reader(in, arena);
  EXPECT_TRUE(reader.values<bool>(false).empty());
  EXPECT_STREQ(reader.error(), "message needs more memory than a request may take");
}

// One topic costs 26 bytes on the wire and more than that in memory; the factor is what the limit guards.
TEST(Reader, ManySmallElementsStayWithinTheLimit) {
  MetadataRequest request;
  Arena source;
  auto topics = source.array<MetadataRequest::MetadataRequestTopic>(100'000);
  for (auto& topic : topics) topic.name = "t";
  request.topics = topics;
  Writer writer;
  request.encode(writer, 12);
  ASSERT_TRUE(writer.ok());
  Arena arena(64 << 10);
  Reader reader(writer.bytes(), arena);
  MetadataRequest read;
  EXPECT_FALSE(read.decode(reader, 12));
  EXPECT_LE(arena.held_bytes(), size_t{128} << 10);
}

TEST(Reader, CountsElementsAndStopsAtTheLimit) {
  Writer writer;
  for (int array = 0; array < 2; ++array) {
    writer.i32(3);
    for (int32_t i = 0; i < 3; ++i) writer.i32(i);
  }
  Arena arena;
  Reader reader(writer.bytes(), arena);
  reader.limit_elements(5);
  EXPECT_EQ(reader.values<int32_t>(false).size(), 3u);
  EXPECT_EQ(reader.elements(), 3u);
  const size_t used = arena.used_bytes();
  EXPECT_TRUE(reader.values<int32_t>(false).empty());
  EXPECT_TRUE(reader.too_many_elements());
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(arena.used_bytes(), used) << "nothing is taken for them";
}

TEST(Reader, BadVariableLengthIntegers) {
  for (const Raw& in : {Raw{0x80}, Raw{0xff, 0xff, 0xff, 0xff, 0x7f}, Raw{0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, Raw{}}) {
    Arena arena;
    Reader reader(in, arena);
    reader.uvarint();
    EXPECT_FALSE(reader.ok());
  }
}

// Sets up `tags` behind the fields of a response header 1 (correlation id only).
const char* decode_tags(Raw tags) {
  Raw in = {0, 0, 0, 0};
  in.insert(in.end(), tags.begin(), tags.end());
  Arena arena;
  Reader reader(in, arena);
  reader.i32();
  for (TagReader all(reader); all.next();) {
    if (all.tag() == 1) reader.i16();
    else all.skip();
  }
  if (reader.ok() && !reader.remaining().empty()) return "left over";
  return reader.error();
}

TEST(TagReader, SkipsUnknownAndChecksKnown) {
  EXPECT_EQ(decode_tags({0}), nullptr);
  EXPECT_EQ(decode_tags({3, 0, 1, 'x', 1, 2, 0, 7, 200, 1, 0}), nullptr);
  EXPECT_STREQ(decode_tags({1, 1, 3, 0, 7, 9}), "tagged field is longer than its value");
  EXPECT_STREQ(decode_tags({1, 1, 1, 0}), "message ends early");
  EXPECT_STREQ(decode_tags({2, 1, 2, 0, 7, 1, 2, 0, 7}), "tagged fields out of order");
  EXPECT_STREQ(decode_tags({2, 4, 0, 3, 0}), "tagged fields out of order");
  EXPECT_STREQ(decode_tags({1, 5, 9, 1}), "message ends early");
  EXPECT_STREQ(decode_tags({2, 5, 0}), "message ends early");
}

TEST(Writer, SteadyStateDoesNotAllocate) {
  Writer writer;
  for (int i = 0; i < 5; ++i) {
    writer.append(Raw(3000));
    const size_t capacity = writer.capacity();
    writer.clear();
    EXPECT_EQ(writer.capacity(), capacity);
    EXPECT_EQ(writer.size(), 0u);
  }
  writer.release();
  EXPECT_EQ(writer.capacity(), 0u);
}

TEST(Writer, TaggedFieldsOfAnyLength) {
  for (const size_t size : {0, 5, 126, 127, 128, 20'000}) {
    Writer writer;
    writer.uvarint(1);
    const size_t tag = writer.begin_tag(3);
    writer.bytes(Raw(size, 0xab), true);
    writer.end_tag(tag);
    Arena arena;
    Reader reader(writer.bytes(), arena);
    TagReader tags(reader);
    ASSERT_TRUE(tags.next());
    EXPECT_EQ(tags.tag(), 3u);
    EXPECT_EQ(reader.bytes(true).size(), size);
    EXPECT_FALSE(tags.next());
    EXPECT_TRUE(reader.ok());
    EXPECT_TRUE(reader.remaining().empty());
  }
}

// A response with records sent from elsewhere, put together, is the response with the same records inside.
TEST(Writer, ExternalRecordsAreInsertedWhereTheyBelong) {
  const Raw first(300, 1);
  const Raw second(5, 2);
  FetchResponse response;
  FetchResponse::PartitionData partitions[3];
  FetchResponse::FetchableTopicResponse topic;
  topic.partitions = partitions;
  response.responses = {&topic, 1};
  for (int16_t version = FetchResponse::kMinVersion; version <= FetchResponse::kMaxVersion; ++version) {
    partitions[0].records = Records{.data = first};
    partitions[1].records = Records{.null = true};
    partitions[2].records = Records{.data = second};
    Writer whole;
    const size_t whole_frame = whole.begin_frame();
    response.encode(whole, version);
    whole.end_frame(whole_frame);

    partitions[0].records = Records{.external_size = first.size(), .external_id = 7};
    partitions[2].records = Records{.external_size = second.size(), .external_id = 8};
    Writer split;
    const size_t split_frame = split.begin_frame();
    response.encode(split, version);
    split.end_frame(split_frame);
    ASSERT_EQ(split.insertions().size(), 2u);
    EXPECT_EQ(split.external_bytes(), first.size() + second.size());
    EXPECT_EQ(split.insertions()[0].external_id, 7u);
    EXPECT_EQ(split.insertions()[1].external_id, 8u);

    Raw together(split.bytes().begin(), split.bytes().end());
    together.insert(together.begin() + static_cast<ptrdiff_t>(split.insertions()[1].position), second.begin(), second.end());
    together.insert(together.begin() + static_cast<ptrdiff_t>(split.insertions()[0].position), first.begin(), first.end());
    EXPECT_EQ(as_string(together), as_string(whole.bytes())) << version;
  }
}

TEST(Messages, ValuesThatAVersionCannotExpressAreErrors) {
  FetchRequest fetch;
  fetch.replica_state.replica_id = 1;
  Writer writer;
  fetch.encode(writer, 14);
  EXPECT_STREQ(writer.error(), "FetchRequest: FetchRequest.replica_state is not in this version");
  writer.clear();
  fetch.encode(writer, 15);
  EXPECT_TRUE(writer.ok());

  fetch = {};
  fetch.replica_id = 5;  // only up to version 14
  writer.clear();
  fetch.encode(writer, 15);
  EXPECT_FALSE(writer.ok());

  InitProducerIdRequest init;
  init.producer_id = 1;
  writer.clear();
  init.encode(writer, 2);
  EXPECT_FALSE(writer.ok());
}

TEST(Messages, IgnorableValuesAreDropped) {
  FetchRequest fetch;
  fetch.rack_id = "rack";
  fetch.session_id = 3;
  Writer writer;
  fetch.encode(writer, 4);
  EXPECT_TRUE(writer.ok());
  Arena arena;
  Reader reader(writer.bytes(), arena);
  FetchRequest read;
  EXPECT_TRUE(read.decode(reader, 4));
  EXPECT_EQ(read.rack_id, "");
  EXPECT_EQ(read.session_id, 0);
  EXPECT_EQ(read.session_epoch, -1);
  EXPECT_EQ(read.max_bytes, fetch.max_bytes);
}

TEST(Messages, NullWhereTheVersionDoesNotAllowIt) {
  MetadataRequest request;
  request.topics.reset();
  Writer writer;
  request.encode(writer, 0);
  EXPECT_STREQ(writer.error(), "MetadataRequest: MetadataRequest.topics must not be null in this version");
  writer.clear();
  request.encode(writer, 1);
  EXPECT_TRUE(writer.ok());
  Arena arena;
  Reader all(writer.bytes(), arena);
  EXPECT_TRUE(request.decode(all, 1));
  EXPECT_FALSE(request.topics.has_value());
  Reader none(writer.bytes(), arena);
  EXPECT_FALSE(request.decode(none, 0));
}

TEST(Messages, LongStringsAreErrors) {
  const std::string text(40'000, 'x');
  ProduceRequest request;
  request.transactional_id = text;
  Writer writer;
  request.encode(writer, 9);
  EXPECT_STREQ(writer.error(), "string too long");
}

TEST(Messages, DecodeForgetsWhatWasThereBefore) {
  FetchRequest request;
  request.max_wait_ms = 9;
  request.rack_id = "old";
  Writer writer;
  FetchRequest{}.encode(writer, 4);
  Arena arena;
  Reader reader(writer.bytes(), arena);
  EXPECT_TRUE(request.decode(reader, 4));
  EXPECT_EQ(request.max_wait_ms, 0);
  EXPECT_EQ(request.rack_id, "");
}

TEST(Messages, TellWhoObservesOfFieldsThatAllShare) {
  class Noting final : public FieldObserver {
   public:
    void error_code(int16_t code) override { codes.push_back(code); }
    void throttle_time_ms(size_t position) override { positions.push_back(position); }
    std::vector<int16_t> codes;
    std::vector<size_t> positions;
  };
  ProduceResponse::PartitionProduceResponse partitions[2];
  partitions[1].error_code = 3;
  ProduceResponse::TopicProduceResponse topic;
  topic.partition_responses = partitions;
  ProduceResponse response;
  response.responses = {&topic, 1};
  Noting noting;
  Writer writer;
  writer.observe(&noting);
  response.encode(writer, 9);
  EXPECT_EQ(noting.codes, (std::vector<int16_t>{0, 3}));
  ASSERT_EQ(noting.positions.size(), 1u);
  writer.patch_i32(noting.positions[0], 250);
  Arena arena;
  Reader reader(writer.bytes(), arena);
  ProduceResponse again;
  ASSERT_TRUE(again.decode(reader, 9));
  EXPECT_EQ(again.throttle_time_ms, 250);
}

// The one tagged structure that may be null and does not default to it: null is written, an absent one is
// empty.
TEST(Messages, ClassicMemberMetadataKeepsNullAndAbsentApart) {
  ConsumerGroupMemberMetadataValue value;
  Writer writer;
  value.encode(writer, 0);
  Arena arena;
  Reader null(writer.bytes(), arena);
  ASSERT_TRUE(value.decode(null, 0));
  EXPECT_EQ(value.classic_member_metadata, nullptr);

  const ConsumerGroupMemberMetadataValue::ClassicMemberMetadata empty;
  value.classic_member_metadata = &empty;
  writer.clear();
  value.encode(writer, 0);
  EXPECT_EQ(writer.bytes().back(), 0);  // no tagged field
  Reader absent(writer.bytes(), arena);
  ASSERT_TRUE(value.decode(absent, 0));
  ASSERT_NE(value.classic_member_metadata, nullptr);
  EXPECT_EQ(value.classic_member_metadata->session_timeout_ms, 0);
}

}  // namespace
}  // namespace weir::protocol
