#include "protocol/api.h"

#include <gtest/gtest.h>

#include "protocol/catalog/message_catalog.h"
#include "protocol/errors.h"

namespace weir::protocol {
namespace {

TEST(Api, TableAgreesWithTheMessages) {
  int requests = 0;
  for (const MessageType& type : message_catalog()) {
    if (type.kind != MessageKind::kRequest && type.kind != MessageKind::kResponse) continue;
    const Api* found = find_api(type.api_key);
    ASSERT_NE(found, nullptr) << type.name;
    EXPECT_TRUE(found->served);
    EXPECT_EQ(std::string(found->name) + (type.kind == MessageKind::kRequest ? "Request" : "Response"), type.name);
    EXPECT_EQ(found->min_version, type.min_version);
    EXPECT_EQ(found->max_version, type.max_version);
    requests += type.kind == MessageKind::kRequest;
  }
  EXPECT_EQ(requests, 77);
}

TEST(Api, NamesAndUnknownKeys) {
  EXPECT_EQ(api_name(ApiKey::kProduce), "Produce");
  EXPECT_EQ(api_name(ApiKey::kConsumerGroupHeartbeat), "ConsumerGroupHeartbeat");
  EXPECT_EQ(find_api(-1), nullptr);
  EXPECT_EQ(find_api(kLastApiKey + 1), nullptr);
  EXPECT_EQ(find_api(52), nullptr);  // Vote, between controllers
  EXPECT_EQ(api_key_from(1), ApiKey::kFetch);
  EXPECT_EQ(api_key_from(1000), std::nullopt);
  EXPECT_FALSE(api(ApiKey::kLeaderAndIsr).served);
  EXPECT_FALSE(api(ApiKey::kLeaderAndIsr).supports(0));
  EXPECT_EQ(api(ApiKey::kInitProducerId).max_stable_version, api(ApiKey::kInitProducerId).max_version - 1);
}

TEST(Api, HeaderVersions) {
  EXPECT_EQ(request_header_version(ApiKey::kProduce, 8), 1);
  EXPECT_EQ(request_header_version(ApiKey::kProduce, 9), 2);
  EXPECT_EQ(response_header_version(ApiKey::kProduce, 8), 0);
  EXPECT_EQ(response_header_version(ApiKey::kProduce, 9), 1);
  EXPECT_EQ(request_header_version(ApiKey::kApiVersions, 3), 2);
  EXPECT_EQ(response_header_version(ApiKey::kApiVersions, 3), 0);
  EXPECT_EQ(request_header_version(ApiKey::kSaslHandshake, 1), 1);
}

TEST(Api, RequestHeaderIsReadByItsOwnVersion) {
  for (const int16_t version : {int16_t{8}, int16_t{9}}) {
    RequestHeader header;
    header.api_key = 0;
    header.api_version = version;
    header.correlation_id = 42;
    header.client_id = "producer-1";
    Writer writer;
    header.encode(writer, request_header_version(ApiKey::kProduce, version));
    writer.i32(7);
    Arena arena;
    Reader reader(writer.bytes(), arena);
    RequestHeader read;
    ASSERT_TRUE(decode_request_header(reader, read));
    EXPECT_EQ(read.correlation_id, 42);
    EXPECT_EQ(read.client_id, "producer-1");
    EXPECT_EQ(reader.i32(), 7);
  }
}

TEST(Api, HeaderOfAnUnknownVersionStillGivesTheCorrelationId) {
  const uint8_t raw[] = {0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff, 1, 2, 3};
  Arena arena;
  Reader reader(raw, arena);
  RequestHeader header;
  ASSERT_TRUE(decode_request_header(reader, header));
  EXPECT_EQ(header.api_version, 99);
  EXPECT_EQ(header.correlation_id, 5);
  Reader short_reader(Bytes(raw, 7), arena);
  EXPECT_FALSE(decode_request_header(short_reader, header));
}

TEST(Errors, NamesAndKinds) {
  EXPECT_EQ(error_name(ErrorCode::kUnknownTopicOrPartition), "UNKNOWN_TOPIC_OR_PARTITION");
  EXPECT_EQ(code(ErrorCode::kUnknownTopicOrPartition), 3);
  EXPECT_TRUE(is_retriable(ErrorCode::kNotLeaderOrFollower));
  EXPECT_TRUE(refreshes_metadata(ErrorCode::kNotLeaderOrFollower));
  EXPECT_FALSE(is_retriable(ErrorCode::kInvalidTopicException));
  EXPECT_TRUE(is_retriable(ErrorCode::kCoordinatorLoadInProgress));
  EXPECT_FALSE(refreshes_metadata(ErrorCode::kCoordinatorLoadInProgress));
  EXPECT_EQ(error_from_code(-1), ErrorCode::kUnknownServerError);
  EXPECT_EQ(error_from_code(0), ErrorCode::kNone);
  EXPECT_EQ(error_from_code(-2), std::nullopt);
  EXPECT_EQ(error_from_code(30000), std::nullopt);
}

}  // namespace
}  // namespace weir::protocol
