#include "simulation/kafka_client.h"

namespace weir::simulation {

using runtime::IoResult;

void KafkaClient::send(std::string_view frame, Answer answer) {
  out_ += frame;
  waiting_.push_back({std::move(answer), loop_.clock().monotonic_ns()});
  if (timeout_ns_ > 0 && !watching_) watch();
  if (socket_) return on_writable();
  connect();
}

void KafkaClient::connect() {
  if (connecting_) return;
  connecting_ = true;
  loop_.connect({"127.0.0.1", port_}, [this, attempt = attempt_](Result<std::unique_ptr<runtime::Socket>> socket) {
    if (attempt != attempt_) return;
    connecting_ = false;
    if (!socket) return broken();
    socket_ = std::move(*socket);
    socket_->set_handler(this);
    on_writable();
  });
}

void KafkaClient::drop() {
  ++attempt_;
  connecting_ = false;
  broken();
}

void KafkaClient::broken() {
  socket_.reset();
  in_.clear();
  out_.clear();
  // A callback may call again: that request belongs to a new connection.
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    loop_.post([answer = std::move(waiting.answer)]() mutable { answer(nullptr); });
  }
}

void KafkaClient::watch() {
  watching_ = true;
  loop_.schedule_after(timeout_ns_ / 4, [this] {
    watching_ = false;
    if (waiting_.empty()) return;
    if (loop_.clock().monotonic_ns() - waiting_.front().sent_ns >= timeout_ns_) return drop();
    watch();
  });
}

void KafkaClient::on_writable() {
  while (socket_ && !out_.empty()) {
    const iovec piece{out_.data(), out_.size()};
    const IoResult sent = socket_->write({&piece, 1});
    if (sent.status == IoResult::Status::kWouldBlock) return;
    if (sent.status != IoResult::Status::kOk) return broken();
    const bool full = sent.bytes < out_.size();
    out_.erase(0, sent.bytes);
    if (full) return;
  }
}

void KafkaClient::on_readable() {
  if (pausing_) return;
  std::vector<uint8_t> chunk(slow_ ? 500 : 32 * 1024);
  while (socket_ && read_chunk(chunk)) {
    if (!slow_) continue;
    pausing_ = true;
    loop_.schedule_after(2 * runtime::kMillisecond, [this] {
      pausing_ = false;
      on_readable();
    });
    return;
  }
}

// False if there is nothing more to read now.
bool KafkaClient::read_chunk(std::vector<uint8_t>& chunk) {
  const IoResult got = socket_->read(chunk);
  if (got.status == IoResult::Status::kWouldBlock) return false;
  if (got.status != IoResult::Status::kOk) {
    broken();
    return false;
  }
  in_ += as_string(Bytes(chunk).first(got.bytes));
  while (in_.size() >= 4) {
    const auto size = static_cast<size_t>(load_be<int32_t>(reinterpret_cast<const uint8_t*>(in_.data())));
    if (in_.size() < 4 + size) break;
    const std::string frame = in_.substr(4, size);
    in_.erase(0, 4 + size);
    WEIR_CHECK(!waiting_.empty());
    Answer answer = std::move(waiting_.front().answer);
    waiting_.pop_front();
    answer(&frame);
  }
  return got.bytes == chunk.size();
}

}  // namespace weir::simulation
