// Queue from any thread to one: lock-free for producers, taken as a whole by the consumer.
#pragma once

#include <atomic>
#include <utility>

#include "runtime/loop.h"

namespace weir::runtime {

class TaskInbox {
 public:
  struct Node {
    Task task;
    Node* next = nullptr;
  };
  ~TaskInbox() { destroy(take_all()); }

  // Thread-safe. Sequentially consistent with empty(): the sleeping consumer's last look must not miss a
  // push.
  void push(Task task) {
    Node* node = new Node{std::move(task), newest_.load(std::memory_order_relaxed)};
    while (!newest_.compare_exchange_weak(node->next, node, std::memory_order_seq_cst)) {
    }
  }
  bool empty() const { return newest_.load(std::memory_order_seq_cst) == nullptr; }

  // Everything pushed so far, oldest first. Consumer only; the caller deletes the nodes.
  Node* take_all() {
    if (newest_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    Node* node = newest_.exchange(nullptr, std::memory_order_acquire);
    Node* oldest = nullptr;
    while (node != nullptr) {
      Node* const older = node->next;
      node->next = oldest;
      oldest = node;
      node = older;
    }
    return oldest;
  }
  static void destroy(Node* node) {
    while (node != nullptr) delete std::exchange(node, node->next);
  }

 private:
  std::atomic<Node*> newest_{nullptr};
};

}  // namespace weir::runtime
