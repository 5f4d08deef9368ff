// For tests: a socket before another one that changes every byte, after a handshake of two steps. To a connection it is like TLS.
//
// As TLS does, it sends within a read, for its part of the handshake. It keeps bytes that the other socket has not taken, and
// cannot send files.
#pragma once

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/loop.h"

namespace weir::broker {

class XorSocket final : public runtime::Socket, private runtime::Socket::Handler {
 public:
  static constexpr uint8_t kKey = 0x5a;
  // The peer sends the first and the last of these bytes, unchanged.
  static constexpr std::string_view kHello = "HELO";
  static constexpr std::string_view kReply = "OLEH";
  static constexpr std::string_view kDone = "DONE";

  explicit XorSocket(std::unique_ptr<runtime::Socket> under) : under_(std::move(under)) {}

  void set_handler(runtime::Socket::Handler* handler) override {
    handler_ = handler;
    under_->set_handler(this);
  }
  runtime::IoResult read(MutableBytes into) override {
    if (const runtime::IoResult shaken = shake_hands(); shaken.status != Status::kOk) return shaken;
    const runtime::IoResult result = under_->read(into);
    for (size_t i = 0; i < result.bytes; ++i) into[i] ^= kKey;
    return result;
  }
  runtime::IoResult write(std::span<const iovec> pieces) override {
    wants_to_write_ = true;
    if (step_ != Step::kOpen || keeps_bytes()) return {Status::kWouldBlock, 0, 0};
    size_t taken = 0, asked = 0;
    for (const iovec& piece : pieces) {
      asked += piece.iov_len;
      for (size_t at = 0; at < piece.iov_len && taken == asked - piece.iov_len + at;) {
        const size_t n = std::min(piece.iov_len - at, kRecordBytes - kept_.size());
        change(static_cast<const uint8_t*>(piece.iov_base) + at, n);
        at += n;
        taken += n;
        if (kept_.size() < kRecordBytes) continue;
        if (const auto sent = flush(); sent.status != Status::kOk) return sent;
        if (keeps_bytes()) break;
      }
    }
    if (const auto sent = flush(); sent.status != Status::kOk) return sent;
    wants_to_write_ = keeps_bytes();
    return {Status::kOk, taken, 0};
  }
  bool keeps_bytes() const override { return !kept_.empty(); }
  const runtime::Endpoint& local() const override { return under_->local(); }
  const runtime::Endpoint& peer() const override { return under_->peer(); }

 private:
  using Status = runtime::IoResult::Status;
  enum class Step : uint8_t { kHello, kReply, kDone, kOpen };
  static constexpr size_t kRecordBytes = 16 * 1024;
  static constexpr runtime::IoResult kFine{};

  void on_readable() override {
    if (shake_hands().status == Status::kWouldBlock) return;
    handler_->on_readable();
    tell_writable();
  }
  void on_writable() override {
    if (step_ != Step::kOpen) return on_readable();
    (void)flush();  // the next write sees an error
    tell_writable();
  }
  void tell_writable() {
    if (step_ == Step::kOpen && !keeps_bytes() && std::exchange(wants_to_write_, false)) handler_->on_writable();
  }

  runtime::IoResult shake_hands() {
    while (step_ != Step::kOpen) {
      if (step_ == Step::kReply) {
        if (const auto sent = flush(); sent.status != Status::kOk) return sent;
        if (keeps_bytes()) return {Status::kWouldBlock, 0, 0};
        step_ = Step::kDone;
        continue;
      }
      const std::string_view expected = step_ == Step::kHello ? kHello : kDone;
      if (const auto result = hear(expected.size()); result.status != Status::kOk) return result;
      if (heard_ != expected) return {Status::kError, 0, EPROTO};
      heard_.clear();
      if (step_ == Step::kHello) kept_ = kReply;
      step_ = step_ == Step::kHello ? Step::kReply : Step::kOpen;
    }
    return kFine;
  }
  runtime::IoResult hear(size_t size) {
    while (heard_.size() < size) {
      uint8_t bytes[8];
      const runtime::IoResult result = under_->read({bytes, size - heard_.size()});
      if (result.status != Status::kOk) return result;
      heard_.append(reinterpret_cast<const char*>(bytes), result.bytes);
    }
    return kFine;
  }
  void change(const uint8_t* data, size_t size) {
    for (size_t i = 0; i < size; ++i) kept_ += static_cast<char>(data[i] ^ kKey);
  }
  // Succeeds if the other socket is full, too.
  runtime::IoResult flush() {
    if (kept_.empty()) return kFine;
    const iovec piece{kept_.data(), kept_.size()};
    const runtime::IoResult result = under_->write({&piece, 1});
    kept_.erase(0, result.bytes);
    return result.status == Status::kWouldBlock ? kFine : result;
  }

  std::unique_ptr<runtime::Socket> under_;
  runtime::Socket::Handler* handler_ = nullptr;
  Step step_ = Step::kHello;
  std::string heard_;  // of the handshake
  std::string kept_;   // taken, not sent
  bool wants_to_write_ = false;
};

}  // namespace weir::broker
