#include "load/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <utility>

namespace load {
namespace {

constexpr int16_t kListOffsets = 2;
constexpr int16_t kMetadata = 3;
constexpr int16_t kApiVersions = 18;
constexpr int16_t kCreateTopics = 19;
constexpr int16_t kFindCoordinator = 10;
constexpr int16_t kInitProducerId = 22;
constexpr int16_t kEndTxn = 26;
constexpr int16_t kTopicAlreadyExists = 36;
// A broker that has just started, or created a topic, may need a moment until it serves it.
constexpr int kTriesMax = 1000;
constexpr unsigned kPauseUs = 20'000;

uint32_t frame_size(const uint8_t* at) {
  uint32_t size;
  memcpy(&size, at, 4);
  return ntohl(size);
}

}  // namespace

Connection::Connection(const std::string& address) : buffer_(64 << 10) {
  auto colon = address.rfind(':');
  if (colon == std::string::npos) die("not host:port: " + address);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  if (inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) die("not an IPv4 address: " + address);
  descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor_ < 0) die(std::string("socket: ") + strerror(errno));
  if (::connect(descriptor_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    die("connect to " + address + ": " + strerror(errno));
  }
  int on = 1;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Connection::Connection(Connection&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      correlation_id_(other.correlation_id_),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      end_(other.end_) {}

Connection::~Connection() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Connection::send(int16_t api, int16_t version, bool flexible, std::span<const std::span<const uint8_t>> parts) {
  Writer header;
  header.i32(0);
  header.i16(api);
  header.i16(version);
  header.i32(++correlation_id_);
  header.string("weir_load");
  if (flexible) header.i8(0);
  iovec pieces[64];
  if (parts.size() >= std::size(pieces)) die("a request of too many pieces");
  int count = 0;
  size_t total = header.size();
  pieces[count++] = {header.bytes().data(), header.size()};
  for (auto part : parts) {
    pieces[count++] = {const_cast<uint8_t*>(part.data()), part.size()};
    total += part.size();
  }
  header.patch_i32(0, static_cast<int32_t>(total - 4));
  iovec* next = pieces;
  while (total > 0) {
    ssize_t sent = ::writev(descriptor_, next, count);
    if (sent < 0) die(std::string("send: ") + strerror(errno));
    total -= static_cast<size_t>(sent);
    while (count > 0 && static_cast<size_t>(sent) >= next->iov_len) {
      sent -= static_cast<ssize_t>(next->iov_len);
      ++next;
      --count;
    }
    if (count > 0) {
      next->iov_base = static_cast<uint8_t*>(next->iov_base) + sent;
      next->iov_len -= static_cast<size_t>(sent);
    }
  }
}

void Connection::send_raw(std::span<const uint8_t> bytes) {
  if (::send(descriptor_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) die("send was cut short");
}

bool Connection::has_buffered_response() const {
  return end_ - begin_ >= 4 && end_ - begin_ - 4 >= frame_size(buffer_.data() + begin_);
}

std::span<const uint8_t> Connection::receive(bool flexible) {
  if (begin_ == end_) begin_ = end_ = 0;
  while (!has_buffered_response()) {
    size_t wanted = end_ - begin_ >= 4 ? frame_size(buffer_.data() + begin_) + 4 : 4;
    if (begin_ + wanted > buffer_.size()) {
      memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      if (wanted > buffer_.size()) buffer_.resize(wanted * 2);
    }
    ssize_t got = ::recv(descriptor_, buffer_.data() + end_, buffer_.size() - end_, 0);
    if (got == 0) die("the broker closed the connection");
    if (got < 0) die(std::string("receive: ") + strerror(errno));
    end_ += static_cast<size_t>(got);
  }
  size_t size = frame_size(buffer_.data() + begin_);
  Reader response(std::span<const uint8_t>(buffer_).subspan(begin_ + 4, size));
  begin_ += size + 4;
  response.i32();
  if (flexible) response.skip_tags();
  return response.take(response.left());
}

int api_versions(Connection& connection) {
  connection.send(kApiVersions, 0, false, {});
  Reader in(connection.receive(false));
  if (int16_t error = in.i16()) die("ApiVersions: error " + std::to_string(error));
  return in.i32();
}

namespace {

bool all_partitions_lead(Connection& connection, const std::string& topic, int32_t partitions) {
  Writer body;
  body.i32(1);
  body.string(topic);
  body.i8(0);  // no automatic creation
  body.i8(0);
  body.i8(0);
  connection.send(kMetadata, 8, false, {body.bytes()});
  Reader in(connection.receive(false));
  in.i32();
  for (int32_t brokers = in.i32(); brokers > 0; --brokers) {
    in.i32();
    in.string();
    in.i32();
    in.string();
  }
  in.string();
  in.i32();
  in.i32();  // one topic
  int16_t error = in.i16();
  in.string();
  in.i8();
  int32_t leading = 0;
  for (int32_t left = in.i32(); left > 0; --left) {
    int16_t partition_error = in.i16();
    in.i32();
    int32_t leader = in.i32();
    in.i32();
    for (int list = 0; list < 3; ++list) in.take(4 * static_cast<size_t>(in.i32()));
    leading += partition_error == 0 && leader >= 0;
  }
  return error == 0 && leading >= partitions;
}

std::pair<int16_t, int64_t> try_list_offset(Connection& connection, const TopicPartition& where, int64_t timestamp) {
  Writer body;
  body.i32(-1);
  body.i32(1);
  body.string(where.topic);
  body.i32(1);
  body.i32(where.partition);
  body.i64(timestamp);
  connection.send(kListOffsets, 1, false, {body.bytes()});
  Reader in(connection.receive(false));
  in.i32();
  in.string();
  in.i32();
  in.i32();
  int16_t error = in.i16();
  in.i64();
  return {error, in.i64()};
}

}  // namespace

void create_topic(Connection& connection, const std::string& topic, int32_t partitions,
                  const std::map<std::string, std::string>& configs) {
  Writer body;
  body.i32(1);
  body.string(topic);
  body.i32(partitions);
  body.i16(1);
  body.i32(0);  // no assignments
  body.i32(static_cast<int32_t>(configs.size()));
  for (const auto& [name, value] : configs) {
    body.string(name);
    body.string(value);
  }
  body.i32(60'000);
  body.i8(0);
  connection.send(kCreateTopics, 4, false, {body.bytes()});
  Reader in(connection.receive(false));
  in.i32();
  in.i32();
  in.string();
  int16_t error = in.i16();
  if (error != 0 && error != kTopicAlreadyExists) die("CreateTopics " + topic + ": error " + std::to_string(error));
  for (int tries = 0; !all_partitions_lead(connection, topic, partitions); ++tries) {
    if (tries == kTriesMax) die("no leader for all partitions of " + topic);
    ::usleep(kPauseUs);
  }
  // The metadata may name a leader that does not know the partition yet. A leader that answers here takes records.
  for (int32_t i = 0; i < partitions; ++i) list_offset(connection, {topic, i}, -1);
}

int64_t list_offset(Connection& connection, const TopicPartition& where, int64_t timestamp) {
  for (int tries = 0;; ++tries) {
    auto [error, offset] = try_list_offset(connection, where, timestamp);
    if (error == 0) return offset;
    if (tries == kTriesMax) die("ListOffsets " + where.topic + ": error " + std::to_string(error));
    ::usleep(kPauseUs);
  }
}

namespace {

// The identity at the end of an answer, or an error.
std::pair<int16_t, ProducerIdentity> read_identity(std::span<const uint8_t> response) {
  Reader in(response);
  in.i32();
  const int16_t error = in.i16();
  const int64_t id = in.i64();
  return {error, {id, in.i16()}};
}

}  // namespace

ProducerIdentity init_producer_id(Connection& connection, const std::string& transactional_id) {
  for (int tries = 0;; ++tries) {
    if (!transactional_id.empty()) {  // the question creates the coordinators' topic
      Writer question;
      question.string(transactional_id);
      question.i8(1);
      connection.send(kFindCoordinator, 1, false, {question.bytes()});
      connection.receive(false);
    }
    Writer body;
    if (transactional_id.empty()) body.unsigned_varint(0);
    else body.compact_string(transactional_id);
    body.i32(60'000);
    body.i64(-1);
    body.i16(-1);
    body.i8(0);
    connection.send(kInitProducerId, 4, true, {body.bytes()});
    const auto [error, identity] = read_identity(connection.receive(true));
    if (error == 0) return identity;
    if (tries == kTriesMax) die("InitProducerId: error " + std::to_string(error));
    ::usleep(kPauseUs);
  }
}

ProducerIdentity commit(Connection& connection, const std::string& transactional_id, ProducerIdentity producer) {
  Writer body;
  body.compact_string(transactional_id);
  body.i64(producer.id);
  body.i16(producer.epoch);
  body.i8(1);
  body.i8(0);
  connection.send(kEndTxn, 5, true, {body.bytes()});
  const auto [error, identity] = read_identity(connection.receive(true));
  if (error != 0) die("EndTxn of " + transactional_id + ": error " + std::to_string(error));
  return identity;
}

ProduceFrame::ProduceFrame(const TopicPartition& where, int16_t acks, size_t records_bytes, size_t partitions,
                           const std::string& transactional_id) {
  Writer head;
  if (transactional_id.empty()) head.unsigned_varint(0);
  else head.compact_string(transactional_id);
  head.i16(acks);
  head.i32(30'000);
  head.unsigned_varint(2);  // one topic
  head.compact_string(where.topic);
  head.unsigned_varint(partitions + 1);
  head.i32(where.partition);
  head.unsigned_varint(records_bytes + 1);
  before = std::move(head.bytes());
  after = {0, 0, 0};  // no tagged fields in partition, topic and request
}

std::vector<uint8_t> ProduceFrame::between(int32_t partition, size_t records_bytes) {
  Writer out;
  out.unsigned_varint(0);  // no tagged fields in the partition before
  out.i32(partition);
  out.unsigned_varint(records_bytes + 1);
  return std::move(out.bytes());
}

namespace {

struct Produced {
  int64_t last_offset = -1;
  bool concurrent = false;
};

Produced read_produce_response(std::span<const uint8_t> response) {
  Reader in(response);
  in.unsigned_varint();
  auto topic = in.compact_string();
  Produced produced;
  for (uint64_t left = in.unsigned_varint() - 1; left > 0; --left) {
    int32_t partition = in.i32();
    int16_t error = in.i16();
    produced.concurrent |= error == kConcurrentTransactions;
    if (error != 0 && error != kConcurrentTransactions) {
      die("Produce to " + std::string(topic) + "-" + std::to_string(partition) + ": error " + std::to_string(error));
    }
    produced.last_offset = in.i64();
    in.i64();              // log append time
    in.i64();              // log start offset
    in.unsigned_varint();  // no record errors
    in.compact_string();   // message
    in.skip_tags();
  }
  return produced;
}

}  // namespace

bool accepted(std::span<const uint8_t> produce_response) { return !read_produce_response(produce_response).concurrent; }

int64_t check_produce_response(std::span<const uint8_t> response) {
  const Produced produced = read_produce_response(response);
  if (produced.concurrent) die("Produce: another transaction of the producer is being ended");
  return produced.last_offset;
}

void send_fetch(Connection& connection, const std::vector<FetchPosition>& positions, const FetchLimits& limits) {
  Writer body;
  body.i32(-1);
  body.i32(limits.wait_ms);
  body.i32(limits.bytes_min);
  body.i32(limits.bytes_max);
  body.i8(limits.read_committed ? 1 : 0);
  body.i32(0);
  body.i32(-1);
  body.unsigned_varint(2);  // all positions are of one topic
  body.compact_string(positions.front().where.topic);
  body.unsigned_varint(positions.size() + 1);
  for (const auto& position : positions) {
    body.i32(position.where.partition);
    body.i32(-1);
    body.i64(position.offset);
    body.i32(-1);
    body.i64(-1);
    body.i32(limits.partition_bytes_max);
    body.i8(0);
  }
  body.i8(0);
  body.unsigned_varint(1);
  body.compact_string("");
  body.i8(0);
  connection.send(kFetch, kFetchVersion, true, {body.bytes()});
}

FetchCount read_fetch(std::span<const uint8_t> response, std::vector<FetchPosition>& positions,
                      const std::function<void(const BatchView&)>& callback) {
  FetchCount count;
  Reader in(response);
  in.i32();
  if (int16_t error = in.i16()) die("Fetch: error " + std::to_string(error));
  in.i32();
  for (uint64_t topics = in.unsigned_varint(); topics > 1; --topics) {
    in.compact_string();
    for (uint64_t partitions = in.unsigned_varint(); partitions > 1; --partitions) {
      int32_t index = in.i32();
      if (int16_t error = in.i16()) die("Fetch of partition " + std::to_string(index) + ": error " + std::to_string(error));
      in.take(8 + 8 + 8);
      for (uint64_t aborted = in.unsigned_varint(); aborted > 1; --aborted) {
        in.take(16);
        in.skip_tags();
      }
      in.i32();
      uint64_t size = in.unsigned_varint();
      auto records = in.take(size == 0 ? 0 : size - 1);
      in.skip_tags();
      for (auto& position : positions) {
        if (position.where.partition != index) continue;
        for_each_batch(records, [&](const BatchView& batch) {
          position.offset = batch.next_offset;
          count.records += static_cast<uint64_t>(batch.record_count);
          count.bytes += batch.bytes;
          if (callback) callback(batch);
        });
      }
    }
    in.skip_tags();
  }
  return count;
}

}  // namespace load
