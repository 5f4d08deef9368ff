// A client of the simulated server: one connection on the client loop, with requests of Kafka's protocol and answers in order.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "protocol/api.h"
#include "protocol/arena.h"
#include "protocol/wire.h"
#include "testing/sim_runtime.h"

namespace weir::simulation {

class KafkaClient final : public runtime::Socket::Handler {
 public:
  explicit KafkaClient(runtime::Loop& loop, uint16_t port = 9092) : loop_(loop), port_(port) {}

  // The client gives up a connection whose oldest request waits longer. 0: never.
  void set_timeout(int64_t timeout_ns) { timeout_ns_ = timeout_ns; }
  // True: the client reads a few bytes at a time, with pauses.
  void read_slowly(bool slowly) { slow_ = slowly; }

  // Sends a request. Connects first if need be. `done` gets the answer, or null if the connection broke: then nobody knows
  // whether the server carried out the request. `done` is called on the client loop, never inline. Loop only, or between
  // events.
  template <typename Response, typename Request>
  void call(int16_t version, const Request& request, Function<void(const Response*)> done) {
    protocol::Writer writer;
    static constexpr auto key = static_cast<protocol::ApiKey>(Request::kApiKey);
    const size_t frame = writer.begin_frame();
    protocol::RequestHeader header;
    header.api_key = Request::kApiKey;
    header.api_version = version;
    header.correlation_id = ++correlation_;
    header.client_id = "simulation";
    header.encode(writer, protocol::request_header_version(key, version));
    request.encode(writer, version);
    writer.end_frame(frame);
    WEIR_CHECK(writer.ok());
    send(as_string(writer.bytes()),
         [version, expected = correlation_, done = std::move(done)](const std::string* frame_bytes) mutable {
           if (!frame_bytes) return done(nullptr);
           protocol::Arena arena;
           protocol::Reader reader(as_bytes(*frame_bytes), arena);
           protocol::ResponseHeader answered;
           answered.decode(reader, protocol::response_header_version(key, version));
           Response response;
           response.decode(reader, version);
           WEIR_CHECK(reader.ok() && reader.remaining().empty() && answered.correlation_id == expected);
           done(&response);
         });
  }

  // Gives up the connection with all bytes that wait to be sent, as if the client were gone.
  void drop();

  void on_readable() override;
  void on_writable() override;

 private:
  using Answer = Function<void(const std::string*)>;
  void send(std::string_view frame, Answer answer);
  void connect();
  void broken();
  void watch();
  bool read_chunk(std::vector<uint8_t>& chunk);

  struct Waiting {
    Answer answer;
    int64_t sent_ns = 0;
  };
  runtime::Loop& loop_;
  const uint16_t port_;
  int64_t timeout_ns_ = 0;
  bool slow_ = false;
  bool watching_ = false;
  bool pausing_ = false;
  std::unique_ptr<runtime::Socket> socket_;
  bool connecting_ = false;
  uint64_t attempt_ = 0;  // drop() makes the running attempt void
  std::string out_;
  std::string in_;
  std::deque<Waiting> waiting_;  // one per request sent, oldest first
  int32_t correlation_ = 0;
};

}  // namespace weir::simulation
