// The parts of a response that wait for the controller. Each is filled in from the outcome of its own call.
#pragma once

#include <optional>
#include <vector>

#include "broker/metadata/controller.h"
#include "protocol/arena.h"
#include "protocol/errors.h"

namespace weir::broker {

// Part: has error_code and error_message. Parts and arena outlive the answers.
template <typename Part>
class ControllerAnswers {
 public:
  explicit ControllerAnswers(protocol::Arena& arena) : arena_(arena) {}

  // The next thing asked of the controller is for this part.
  void expect(Part& part) { asked_.push_back(&part); }
  void tell(Part& part, const Controller::Outcome& outcome) {
    part.error_code = protocol::code(outcome.error);
    if (!outcome.message.empty()) part.error_message = arena_.copy(outcome.message);
  }
  void tell_all(const Controller::Outcomes& outcomes) {
    for (size_t i = 0; i < outcomes.size(); ++i) tell(*asked_[i], outcomes[i]);
  }

 private:
  protocol::Arena& arena_;
  std::vector<Part*> asked_;
};

}  // namespace weir::broker
