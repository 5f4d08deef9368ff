// A socket in memory for tests. The test chooses the incoming bytes, and how much the peer takes.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "runtime/file.h"
#include "runtime/loop.h"

namespace weir::broker {

// The peer's side; lives longer than the socket.
struct FakePeer {
  std::string to_read;             // not read yet by the server
  bool finished = false;           // end of stream after to_read
  std::string received;            // bytes that the server sent
  size_t room = SIZE_MAX;          // bytes that the server may still send
  size_t read_at_most = SIZE_MAX;  // per call
  int reads = 0, writes = 0, file_sends = 0;
  uint8_t key = 0;      // not 0: changes all bytes on the way, as XorSocket does
  bool closed = false;  // by the server
  bool broken = false;  // reads and writes fail
  runtime::Socket::Handler* handler = nullptr;

  void send(const std::string& bytes) {
    for (const char c : bytes) to_read += static_cast<char>(c ^ key);
    if (!closed && handler) handler->on_readable();
  }
  void take_in(const uint8_t* data, size_t size) {
    for (size_t i = 0; i < size; ++i) received += static_cast<char>(data[i] ^ key);
  }
  void finish() {
    finished = true;
    if (!closed && handler) handler->on_readable();
  }
  void reset() {
    broken = true;
    if (!closed && handler) handler->on_readable();
  }
  void take(size_t bytes) {
    room = bytes;
    if (!closed && handler) handler->on_writable();
  }
};

class FakeSocket final : public runtime::Socket {
 public:
  FakeSocket(FakePeer& peer, std::string ip) : peer_(peer), address_{std::move(ip), 4711} {}
  ~FakeSocket() override { peer_.closed = true; }

  void set_handler(Handler* handler) override { peer_.handler = handler; }
  runtime::IoResult read(MutableBytes into) override {
    ++peer_.reads;
    if (peer_.broken) return kReset;
    if (peer_.to_read.empty()) {
      return {peer_.finished ? runtime::IoResult::Status::kClosed : runtime::IoResult::Status::kWouldBlock, 0, 0};
    }
    const size_t n = std::min({into.size(), peer_.to_read.size(), peer_.read_at_most});
    std::memcpy(into.data(), peer_.to_read.data(), n);
    peer_.to_read.erase(0, n);
    return {runtime::IoResult::Status::kOk, n, 0};
  }
  runtime::IoResult write(std::span<const iovec> pieces) override {
    ++peer_.writes;
    if (peer_.broken) return kReset;
    size_t written = 0;
    for (const iovec& piece : pieces) {
      const size_t n = std::min(piece.iov_len, peer_.room);
      peer_.take_in(static_cast<const uint8_t*>(piece.iov_base), n);
      if (peer_.room != SIZE_MAX) peer_.room -= n;
      written += n;
    }
    return outcome(written);
  }
  bool sends_files() const override { return true; }
  runtime::IoResult send_file(runtime::File& file, uint64_t offset, size_t length) override {
    ++peer_.file_sends;
    if (peer_.broken) return kReset;
    std::string bytes(std::min(length, peer_.room), '\0');
    const auto n = file.read_at(offset, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
    if (!n) return {runtime::IoResult::Status::kError, 0, 5};
    bytes.resize(*n);
    peer_.received += bytes;
    if (peer_.room != SIZE_MAX) peer_.room -= *n;
    return outcome(*n);
  }
  const runtime::Endpoint& local() const override { return address_; }
  const runtime::Endpoint& peer() const override { return address_; }

 private:
  static constexpr runtime::IoResult kReset{runtime::IoResult::Status::kError, 0, ECONNRESET};
  static runtime::IoResult outcome(size_t bytes) {
    return {bytes ? runtime::IoResult::Status::kOk : runtime::IoResult::Status::kWouldBlock, bytes, 0};
  }
  FakePeer& peer_;
  runtime::Endpoint address_;
};

}  // namespace weir::broker
