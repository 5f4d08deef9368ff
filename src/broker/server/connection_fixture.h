// A Frontend on a simulated loop with peers in memory, and handlers that the test answers when it likes.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/server/fake_socket.h"
#include "broker/server/frontend.h"
#include "broker/server/xor_socket.h"
#include "protocol/messages/list_groups.h"
#include "protocol/messages/produce.h"
#include "testing/manual_loop.h"

namespace weir::broker {

class ConnectionTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kRequestsLimit = 1 << 20;
  static constexpr uint64_t kAnswersLimit = 1 << 20;

  void SetUp() override {
    listener_.name = listener_.security_protocol = "PLAINTEXT";
    // ListGroups answers when the test says so. Produce stands for requests with a large body.
    auto hold = [this](RequestContextPtr context) { held_.push_back(std::move(context)); };
    dispatcher_.add({.key = protocol::ApiKey::kListGroups}, [this](RequestContextPtr context) {
      if (answer_at_once_) return answer(std::move(context));
      held_.push_back(std::move(context));
    });
    dispatcher_.add({.key = protocol::ApiKey::kProduce, .min_version = 3, .max_version = 3, .carries_records = true}, hold);
    frontend_ = std::make_unique<Frontend>(world_.loop(), dispatcher_, budget_, limits_, metrics_, options_);
  }
  void TearDown() override {
    do {  // those that waited for the memory of others come then
      held_.clear();
      turn();
    } while (!held_.empty());
    frontend_.reset();
    turn();  // grants of the meantime go before the budget does
  }

  FakePeer& connect(const std::string& ip = "10.0.0.1") { return connect_to(*frontend_, ip); }
  FakePeer& connect_to(Frontend& frontend, const std::string& ip = "10.0.0.1") {
    FakePeer& peer = peers_.emplace_back();
    auto socket = std::make_unique<FakeSocket>(peer, ip);
    if (!changed_) {
      frontend.accept(std::move(socket), listener_);
      return peer;
    }
    frontend.accept(std::make_unique<XorSocket>(std::move(socket)), listener_);
    if (peer.closed) return peer;
    peer.send(std::string(XorSocket::kHello));
    EXPECT_EQ(peer.received, XorSocket::kReply);
    peer.send(std::string(XorSocket::kDone));
    peer.received.clear();
    peer.key = XorSocket::kKey;
    peer.writes = 0;
    return peer;
  }
  FakePeer& connect_from(int number) {
    return connect("10.1." + std::to_string(number / 200) + "." + std::to_string(number % 200));
  }
  void turn() { world_.advance(runtime::kMillisecond); }

  static std::string big_endian(uint64_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
    return out;
  }
  static std::string frame(int16_t key, int16_t version, int32_t correlation, const std::string& body = "") {
    const std::string content = big_endian(static_cast<uint16_t>(key), 2) + big_endian(static_cast<uint16_t>(version), 2) +
                                big_endian(static_cast<uint32_t>(correlation), 4) + big_endian(4, 2) + "test" + body;
    return big_endian(content.size(), 4) + content;
  }
  static std::string list_groups(int32_t correlation) { return frame(16, 0, correlation); }
  static std::string produce(int32_t correlation, size_t body) { return frame(0, 3, correlation, std::string(body, 'p')); }
  static void answer(RequestContextPtr context, const std::string& group = "") {
    protocol::ListGroupsResponse response;
    if (!group.empty()) {
      response.groups = context->arena().array<protocol::ListGroupsResponse::ListedGroup>(1);
      response.groups[0].group_id = group;
    }
    context->respond_as(response, 0);
  }
  // Returns the correlation ids of the whole responses in `bytes`.
  static std::vector<int32_t> correlations(const std::string& bytes) {
    std::vector<int32_t> result;
    const auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
    for (size_t i = 0; i + 8 <= bytes.size();) {
      const auto size = static_cast<size_t>(load_be<int32_t>(at + i));
      if (i + 4 + size > bytes.size()) break;
      result.push_back(load_be<int32_t>(at + i + 4));
      i += 4 + size;
    }
    return result;
  }
  int64_t closed(Connection::Reason reason) { return metrics_.closed[static_cast<size_t>(reason)]->total(); }

  testing::ManualLoop world_;
  MetricsRegistry registry_{1};
  MemoryBudget budget_{{1 << 20, kRequestsLimit, 1 << 20, 1 << 20, kAnswersLimit}};
  ConnectionLimits limits_{1000, 3};
  FrontendMetrics metrics_{registry_};
  Dispatcher dispatcher_{registry_};
  FrontendOptions options_;
  ListenerInfo listener_;
  bool answer_at_once_ = true;
  bool changed_ = false;  // an XorSocket stands before the sockets of peers that connect
  std::deque<FakePeer> peers_;
  std::unique_ptr<Frontend> frontend_;
  std::deque<RequestContextPtr> held_;  // destroyed before the frontend
};

// Cases that hold with and without a socket before the other one. The parameter: with an XorSocket.
class EitherSocketTest : public ConnectionTest, public ::testing::WithParamInterface<bool> {
 protected:
  EitherSocketTest() { changed_ = GetParam(); }
};

}  // namespace weir::broker
