#include "http/http_server.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <utility>

#include "base/ascii_case.h"
#include "base/log.h"
#include "http/host_name.h"

namespace weir::http {

namespace {

namespace beast = boost::beast;
using Parser = beast::http::request_parser<beast::http::empty_body>;

constexpr size_t kReadBytes = 4096;
// Sent at a time; then others on the loop have their turn.
constexpr size_t kSendBytes = 256 * 1024;

std::string_view reason_of(int status) {
  const auto text = beast::http::obsolete_reason(static_cast<beast::http::status>(status));
  return {text.data(), text.size()};
}

// A request's target, which may be as a proxy's client sends it: whole, with the host in it (RFC 9112, 3.2.2).
struct Target {
  std::optional<std::string_view> host;
  std::string_view path;
};
Target parse_target(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  Target parsed;
  if (equal_ignoring_case(target.substr(0, kScheme.size()), kScheme)) {
    target.remove_prefix(kScheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    parsed.host = target.substr(0, end);
    target.remove_prefix(end);
    if (target.empty() || target.front() == '?') target = "/";
  }
  parsed.path = target.substr(0, target.find('?'));
  return parsed;
}

}  // namespace

// One request at a time: the next one is parsed when the answer to this one is written to out_.
class HttpServer::Connection final : public runtime::Socket::Handler,
                                     public std::enable_shared_from_this<HttpServer::Connection> {
 public:
  Connection(HttpServer& server, std::unique_ptr<runtime::Socket> socket) : server_(server), socket_(std::move(socket)) {
    touch();
    settled_ms_ = last_activity_ms_;
  }
  void start() {
    socket_->set_handler(this);
    on_readable();
  }

  void on_readable() override {
    if (peer_finished_) return end_if_settled();
    while (!closed_) {
      uint8_t bytes[kReadBytes];
      if (in_.size() > server_.options_.max_header_bytes) {
        // Pipelined requests wait in the kernel while one is being answered.
        if (answering_ || body_) return;
        return close();
      }
      const runtime::IoResult result = socket_->read(bytes);
      if (result.status == runtime::IoResult::Status::kWouldBlock) return;
      using Status = runtime::IoResult::Status;
      if (result.status == Status::kClosed || (result.status == Status::kOk && result.bytes == 0)) {
        peer_finished_ = true;
        return end_if_settled();
      }
      if (result.status != Status::kOk) return close();
      touch();
      if (request_begin_ms_ == 0) request_begin_ms_ = last_activity_ms_;
      in_.append(reinterpret_cast<const char*>(bytes), result.bytes);
      parse();
      if (result.bytes < sizeof bytes) return;
    }
  }
  void on_writable() override { flush(); }

  bool overdue(int64_t now_ms) const {
    const Options& options = server_.options_;
    if (now_ms - last_activity_ms_ >= options.idle_ms) return true;
    return !owes_answer() && request_begin_ms_ != 0 && now_ms - request_begin_ms_ >= options.header_ms;
  }
  // A whole request came and its answer is not sent yet.
  bool owes_answer() const { return answering_ || sent_ < out_.size() || body_; }
  // When it was accepted, or the last answer was sent.
  int64_t settled_ms() const { return settled_ms_; }
  bool closed() const { return closed_; }
  void close() {
    if (closed_) return;
    closed_ = true;
    server_.remove_later(*this);
  }
  void release_socket() { socket_.reset(); }

 private:
  int64_t now_ms() const { return server_.loop_.clock().monotonic_ns() / runtime::kMillisecond; }
  void touch() { last_activity_ms_ = now_ms(); }

  void parse() {
    if (parsing_) return;
    parsing_ = true;
    while (!closed_ && !answering_ && !body_ && !close_when_sent_ && !in_.empty()) {
      if (!parser_) {
        parser_.emplace();
        parser_->header_limit(server_.options_.max_header_bytes);
        parser_->body_limit(0);
      }
      beast::error_code error;
      const size_t used = parser_->put(beast::net::const_buffer(in_.data(), in_.size()), error);
      in_.erase(0, used);
      if (error == beast::http::error::need_more) break;
      if (error) {
        answer_and_close(400);
      } else if (parser_->is_done()) {
        handle();
      }
    }
    parsing_ = false;
    end_if_settled();
  }

  // A client that has closed its side waits for its answers, and sends nothing more.
  void end_if_settled() {
    if (peer_finished_ && !parsing_ && !owes_answer()) close();
  }

  void handle() {
    const auto& request = parser_->get();
    keep_alive_ = request.keep_alive();
    const bool is_get = request.method() == beast::http::verb::get;
    head_only_ = request.method() == beast::http::verb::head;
    // The header of the next request has its own time.
    request_begin_ms_ = in_.empty() ? 0 : now_ms();
    const auto header = request.find(beast::http::field::host);
    const size_t headers = request.count(beast::http::field::host);
    const Target target = parse_target({request.target().data(), request.target().size()});
    // A host in the target counts, whatever the header says. None has a user in front.
    std::optional<std::string_view> host = target.host;
    if (!host && headers > 0) host = std::string_view(header->value().data(), header->value().size());
    const bool host_wrong = headers > 1 || (headers == 0 && request.version() >= 11) || (target.host && target.host->empty()) ||
                            (host && host->find('@') != std::string_view::npos);
    const bool host_fits = !host || may_be_host(*host, server_.options_.host_names);
    const auto route = server_.handlers_.find(target.path);
    const bool found = route != server_.handlers_.end();
    parser_.reset();  // the target above is not used any more
    if (host_wrong) return answer_and_close(400);
    if (!host_fits) {
      return answer({421,
                     "This broker is not known by the name in the Host header. Ask it by its address, or add the name to "
                     "weir.http.host.names\n",
                     "text/plain; charset=utf-8"});
    }
    if (!is_get && !head_only_) return answer({405, "only GET is served here\n", "text/plain; charset=utf-8"});
    if (!found) return answer({404, "not found\n", "text/plain; charset=utf-8"});
    answering_ = true;
    route->second([weak = weak_from_this()](Response response) {
      const auto self = weak.lock();
      if (!self || self->closed_) return;
      self->answering_ = false;
      self->answer(std::move(response));
      if (self->parsing_) return;  // the loop that called the handler goes on
      self->parse();
      self->on_readable();
    });
  }

  void answer_and_close(int status) {
    keep_alive_ = false;
    answer({status, std::string(reason_of(status)) + "\n", "text/plain; charset=utf-8"});
  }

  void answer(Response response) {
    out_ += "HTTP/1.1 " + std::to_string(response.status) + " ";
    out_ += reason_of(response.status);
    out_ += "\r\nContent-Type: " + response.content_type;
    const std::string& body = response.shared_body ? *response.shared_body : response.body;
    out_ += "\r\nContent-Length: " + std::to_string(body.size());
    if (response.status == 405) out_ += "\r\nAllow: GET, HEAD";
    if (!keep_alive_) out_ += "\r\nConnection: close";
    out_ += "\r\n\r\n";
    if (!head_only_ && response.shared_body) body_ = std::move(response.shared_body);
    else if (!head_only_) out_ += body;
    if (!keep_alive_) close_when_sent_ = true;
    flush();
  }

  // What is to be sent next: the rest of out_, then the large body that follows it.
  std::string_view unsent() const {
    if (sent_ < out_.size()) return std::string_view(out_).substr(sent_);
    return body_ ? std::string_view(*body_).substr(sent_ - out_.size()) : std::string_view();
  }

  void flush() {
    size_t left = kSendBytes;
    for (std::string_view next = unsent(); !closed_ && !next.empty(); next = unsent()) {
      if (left == 0) return flush_later();
      const iovec piece{const_cast<char*>(next.data()), std::min(next.size(), left)};
      const runtime::IoResult result = socket_->write({&piece, 1});
      if (result.status == runtime::IoResult::Status::kWouldBlock) break;
      if (result.status != runtime::IoResult::Status::kOk) return close();
      touch();
      sent_ += result.bytes;
      left -= result.bytes;
    }
    if (closed_) return;
    if (unsent().empty()) {
      out_.clear();
      sent_ = 0;
      settled_ms_ = now_ms();
      const bool more_may_come = std::exchange(body_, nullptr) != nullptr;
      if (close_when_sent_) return close();
      if (more_may_come && !parsing_) {
        parse();
        on_readable();
      } else if (in_.empty()) {
        end_if_settled();
      }
    } else if (out_.size() > sent_ + server_.options_.max_waiting_bytes) {
      close();
    }
  }
  void flush_later() {
    if (std::exchange(flush_posted_, true)) return;
    server_.loop_.post([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->flush_posted_ = false;
      if (!self->closed_) self->flush();
    });
  }

  HttpServer& server_;
  std::unique_ptr<runtime::Socket> socket_;
  std::optional<Parser> parser_;
  std::string in_;
  std::string out_;
  std::shared_ptr<const std::string> body_;  // behind out_; nothing else is answered before it is sent
  size_t sent_ = 0;                          // of both
  bool flush_posted_ = false;
  int64_t last_activity_ms_ = 0;
  int64_t settled_ms_ = 0;
  int64_t request_begin_ms_ = 0;  // 0: none has begun
  bool peer_finished_ = false;
  bool parsing_ = false;
  bool answering_ = false;
  bool keep_alive_ = true;
  bool head_only_ = false;
  bool close_when_sent_ = false;
  bool closed_ = false;
};

HttpServer::HttpServer(runtime::Loop& loop, Options options) : loop_(loop), options_(options) {}

HttpServer::~HttpServer() {
  if (sweep_timer_) loop_.cancel(sweep_timer_);
}

Result<runtime::Endpoint> HttpServer::listen(const runtime::Endpoint& address) {
  auto listener = loop_.listen(address, [this](std::unique_ptr<runtime::Socket> socket) { accept(std::move(socket)); });
  if (!listener) return std::unexpected(listener.error());
  listener_ = std::move(*listener);
  return listener_->address();
}

void HttpServer::accept(std::unique_ptr<runtime::Socket> socket) {
  make_room();
  auto connection = std::make_shared<Connection>(*this, std::move(socket));
  connections_.push_back(connection);
  if (!sweep_timer_) sweep();
  connection->start();
}

// Connections that ask nothing, or do not take their answers, must not keep a probe away.
void HttpServer::make_room() {
  size_t open = 0;
  Connection* oldest = nullptr;
  for (const auto& connection : connections_) {
    if (connection->closed()) continue;
    ++open;
    const auto rank = [](const Connection& c) { return std::pair(c.owes_answer(), c.settled_ms()); };
    if (!oldest || rank(*connection) < rank(*oldest)) oldest = connection.get();
  }
  if (open < options_.max_connections || !oldest) return;
  log_debug("http", "{} connections are open: the one that waited longest makes room", open);
  oldest->close();
}

void HttpServer::remove_later(Connection& connection) {
  loop_.at_turn_end(lifetime_.guard([this, gone = connection.weak_from_this()] {
    const auto self = gone.lock();
    if (!self) return;
    self->release_socket();
    std::erase(connections_, self);
  }));
}

// Closes connections that are overdue; runs while there are connections.
void HttpServer::sweep() {
  const int64_t now_ms = loop_.clock().monotonic_ns() / runtime::kMillisecond;
  for (const auto& connection : connections_) {
    if (connection->overdue(now_ms)) connection->close();
  }
  const int64_t interval_ms = std::min(options_.idle_ms, options_.header_ms) / 4;
  sweep_timer_ =
      connections_.empty() ? runtime::TimerId{} : loop_.schedule_after(interval_ms * runtime::kMillisecond, [this] { sweep(); });
}

}  // namespace weir::http
