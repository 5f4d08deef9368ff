// A broker with clients on a stage (client_stage.h), under faults, in one life after the other. A scenario derives from it, and
// has the clients, the settings of the broker and the judgement.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/server.h"
#include "simulation/client_stage.h"
#include "simulation/crash_harness.h"
#include "simulation/drawn_options.h"
#include "simulation/oracle.h"
#include "simulation/server_faults.h"
#include "testing/history/history_checker.h"
#include "testing/sim_runtime.h"

namespace weir::simulation {

class StagedScenario : public Scenario {
 public:
  bool started() override { return ready_; }
  bool verified() override { return verified_; }
  void work() override;
  bool worked() override;
  void stop() override;
  bool stopped() override;
  std::string failure() override { return failure_; }

 protected:
  static constexpr int64_t kRetryNs = 50 * runtime::kMillisecond;
  using Settings = std::vector<std::pair<const char*, std::string>>;

  StagedScenario(testing::SimRuntime& sim, Oracle& oracle, DrawnOptions& options);

  virtual ClientStage& stage() = 0;
  virtual int64_t work_ns() const = 0;  // of each life
  // A request that a client gave up arrives within this time, or never.
  virtual int64_t lost_ns() const = 0;
  virtual void became_ready() {}

  // Begins a life. `settings`: besides those that every broker here has. No request to the last life may reach this one while it
  // is being judged, so the clients' connections are gone before.
  void start_server(const Settings& settings);
  // Ends it.
  void destroy_server();
  void fail_life(const std::string& why) {
    if (failure_.empty() && !sim_.server_died()) failure_ = why;
  }
  // Has something done in a while, unless this life is over by then.
  void later(int64_t delay_ns, std::function<void()> step);
  // Tells the oracle of what the clients' history has that must not be.
  testing::History check_history();

  testing::SimRuntime& sim_;
  Oracle& oracle_;
  ServerFaults faults_;

  // This life.
  uint64_t life_ = 0;
  bool watching_ = false;
  bool stable_ = false;  // all has come to its end
  bool verified_ = false;

 private:
  runtime::Runtime world_;
  std::unique_ptr<apps::Server> server_;
  std::string failure_;
  bool ready_ = false;
  bool working_ = false;
  bool work_over_ = false;
  bool calm_ = false;  // no request that a client gave up is under way any more
  bool calming_ = false;
  bool drained_ = false;
};

}  // namespace weir::simulation
