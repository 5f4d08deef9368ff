#include "simulation/kafka_client.h"

namespace weir::simulation {

using runtime::IoResult;

void KafkaClient::send(std::string_view frame, Answer answer) {
  out_ += frame;
  waiting_.push_back(std::move(answer));
  if (socket_) return on_writable();
  connect();
}

void KafkaClient::connect() {
  if (connecting_) return;
  connecting_ = true;
  loop_.connect({"127.0.0.1", 9092}, [this, attempt = attempt_](Result<std::unique_ptr<runtime::Socket>> socket) {
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
  // Those who ask again during this are a new connection's business.
  for (Answer& answer : std::exchange(waiting_, {})) {
    loop_.post([answer = std::move(answer)]() mutable { answer(nullptr); });
  }
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
  std::vector<uint8_t> chunk(32 * 1024);
  while (socket_) {
    const IoResult got = socket_->read(chunk);
    if (got.status == IoResult::Status::kWouldBlock) return;
    if (got.status != IoResult::Status::kOk) return broken();
    in_ += as_string(Bytes(chunk).first(got.bytes));
    while (in_.size() >= 4) {
      const auto size = static_cast<size_t>(load_be<int32_t>(reinterpret_cast<const uint8_t*>(in_.data())));
      if (in_.size() < 4 + size) break;
      const std::string frame = in_.substr(4, size);
      in_.erase(0, 4 + size);
      WEIR_CHECK(!waiting_.empty());
      Answer answer = std::move(waiting_.front());
      waiting_.pop_front();
      answer(&frame);
    }
    if (got.bytes < chunk.size()) return;
  }
}

}  // namespace weir::simulation
