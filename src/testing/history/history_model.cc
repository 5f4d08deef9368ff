#include "testing/history/history_model.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace weir::testing {

namespace {

class HistoryModel {
 public:
  explicit HistoryModel(const ModelOptions& options)
      : options_(options), random_(options.seed, 1), broker_(SeededRandom(options.seed, 2), options.fault) {
    for (uint32_t i = 0; i < options.partitions; ++i) {
      inputs_.push_back(recorder_.partition("in", static_cast<int32_t>(i)));
      outputs_.push_back(recorder_.partition("out", static_cast<int32_t>(i)));
    }
  }

  History run() {
    for (uint32_t i = 0; i < options_.plain_producers; ++i) send_plain(next_client_++);
    for (uint32_t i = 0; i < options_.producers; ++i) initialize(new_producer("producer-" + std::to_string(i)));
    for (uint32_t i = 0; i < options_.processors; ++i) {
      const WorkerPtr worker = new_producer("processor-" + std::to_string(next_client_));
      worker->group = group("processing", i);
      worker->input = inputs_[i % inputs_.size()];
      initialize(worker);
    }
    for (uint32_t i = 0; i < options_.members; ++i) {
      const auto worker = std::make_shared<Worker>();
      worker->group = group("members", i);
      worker->input = inputs_[i % inputs_.size()];
      start_member(worker);
    }
    for (uint32_t i = 0; i < options_.consumers; ++i) {
      const auto isolation = i % 2 == 0 ? Isolation::kReadCommitted : Isolation::kReadUncommitted;
      consume(std::make_shared<Consumer>(next_client_++, isolation));
    }
    if (!groups_.empty()) look_at_offsets(next_client_++);
    work_of_broker();
    while (!tasks_.empty()) {
      const auto first = tasks_.begin();
      now_ = first->first;
      const std::function<void()> task = std::move(first->second);
      tasks_.erase(first);
      task();
    }
    broker_.settle();
    read_all();
    return recorder_.history();
  }

 private:
  // A transactional producer, a processor of records, or a member of a group without transactions.
  struct Worker {
    uint32_t client = 0;
    NameId id = kNoName;
    NameId group = kNoName;
    NameId input = kNoName;
    OperationId init = kNoOperation;
    int32_t epoch = -1;
    OperationId transaction = kNoOperation;
    int32_t generation = -1;
    int64_t position = 0;
    bool replaced = false;  // another client has its place
    ModelProducer producer() const { return {id, epoch, transaction}; }
  };
  using WorkerPtr = std::shared_ptr<Worker>;
  struct Consumer {
    Consumer(uint32_t number, Isolation level) : client(number), isolation(level) {}
    uint32_t client;
    Isolation isolation;
    std::map<NameId, int64_t> positions = {};
  };

  NameId group(const char* kind, uint32_t number) { return groups_.emplace_back(recorder_.name(kind + std::to_string(number))); }
  void after(uint64_t delay, std::function<void()> task) { tasks_.emplace(now_ + delay, std::move(task)); }
  bool over() const { return recorder_.size() >= options_.operations; }

  // `effect` is what the broker does, `done` what the client does next. Nobody answers some requests; the broker meets some of
  // these late or never.
  template <typename Body>
  OperationId request(uint32_t client, Body body, std::function<Outcome(Body&)> effect,
                      std::function<void(Outcome, const Body&)> done) {
    const OperationId id = recorder_.invoke(client, body);
    const auto shared = std::make_shared<Body>(std::move(body));
    const uint64_t trouble = random_.below(60), there = random_.between(1, 20), back = random_.between(1, 20);
    if (trouble < 3) {
      const uint64_t met = trouble == 0 ? 0 : trouble == 1 ? there : random_.between(40, 300);
      if (met != 0) after(met, [effect, shared] { effect(*shared); });
      after(60, [done, shared] { done(Outcome::kUnknown, *shared); });
      return id;
    }
    after(there, [this, id, effect, done, shared, back] {
      const Outcome outcome = effect(*shared);
      after(back, [this, id, outcome, done, shared] {
        outcome == Outcome::kOk ? recorder_.ok(id, *shared) : recorder_.fail(id);
        done(outcome, *shared);
      });
    });
    return id;
  }
  template <typename Body>
  OperationId at_once(uint32_t client, Body body) {
    const OperationId id = recorder_.invoke(client, std::move(body));
    recorder_.ok(id);
    return id;
  }

  void work_of_broker() {
    if (over()) return;
    if (!random_.one_in(3)) broker_.write_markers();
    if (random_.one_in(60)) broker_.time_out();
    after(random_.between(1, 10), [this] { work_of_broker(); });
  }

  // --- Producers without transactions

  void send_plain(uint32_t client) {
    if (over()) return;
    Send send{.partition = inputs_[random_.below(inputs_.size())], .key = random_.below(5), .value = ++last_value_};
    request<Send>(
        client, send, [this](Send& body) { return broker_.send({}, body); },
        [this, client](Outcome outcome, const Send&) { send_plain(outcome == Outcome::kUnknown ? next_client_++ : client); });
  }

  // --- Transactions

  WorkerPtr new_producer(const std::string& name) {
    const auto worker = std::make_shared<Worker>();
    worker->client = next_client_++;
    worker->id = recorder_.name(name);
    return worker;
  }

  // Another client with the same tasks.
  void replace(const WorkerPtr& worker) {
    if (std::exchange(worker->replaced, true)) return;
    const auto other = std::make_shared<Worker>();
    other->client = next_client_++;
    other->id = worker->id;
    // Of processors the generation alone may tell a zombie from the present one.
    const bool processor = worker->id != kNoName && worker->group != kNoName;
    if (processor && random_.one_in(2)) other->id = recorder_.name("processor-" + std::to_string(other->client));
    other->group = worker->group;
    other->input = worker->input;
    after(random_.between(1, 40), [this, other] { other->id == kNoName ? join(other) : initialize(other); });
  }

  // Before each step: now and then the client stops for long, and another one takes its place.
  void go_on(const WorkerPtr& worker, std::function<void()> step) {
    if (!random_.one_in(50)) return step();
    replace(worker);
    after(random_.between(20, 400), std::move(step));
  }

  void initialize(const WorkerPtr& worker) {
    if (over()) return;
    const auto epoch = std::make_shared<int32_t>(-1);
    worker->init = request<InitProducer>(
        worker->client, {worker->id},
        [this, id = worker->id, epoch](InitProducer&) {
          *epoch = broker_.init(id);
          return Outcome::kOk;
        },
        [this, worker, epoch](Outcome outcome, const InitProducer&) {
          if (outcome != Outcome::kOk) return initialize(worker);
          worker->epoch = *epoch;
          worker->group == kNoName ? transact(worker) : join(worker);
        });
  }

  void transact(const WorkerPtr& worker) {
    if (over()) return;
    worker->transaction = at_once(worker->client, Begin{worker->init, worker->group});
    if (worker->group != kNoName) return go_on(worker, [this, worker] { process(worker); });
    std::vector<Send> sends;
    for (uint64_t i = random_.below(4); i > 0; --i) {
      const auto& partitions = random_.one_in(2) ? inputs_ : outputs_;
      sends.push_back({.partition = partitions[random_.below(partitions.size())],
                       .key = random_.below(5),
                       .value = ++last_value_,
                       .transaction = worker->transaction});
    }
    send_next(worker, std::move(sends));
  }

  void process(const WorkerPtr& worker) {
    const auto records = static_cast<int64_t>(random_.between(1, 5));
    Poll poll{.transaction = worker->transaction,
              .ranges = {{.partition = worker->input, .from = worker->position, .to = worker->position}}};
    request<Poll>(
        worker->client, poll,
        [this, records](Poll& body) {
          body.ranges[0] = broker_.poll(body.ranges[0].partition, body.ranges[0].from, body.isolation, records);
          return Outcome::kOk;
        },
        [this, worker](Outcome outcome, const Poll& body) {
          if (outcome != Outcome::kOk || body.ranges[0].to == worker->position) return transact(worker);
          worker->position = body.ranges[0].to;
          std::vector<Send> sends;
          for (const PolledRecord& record : body.ranges[0].records) {
            sends.push_back({.partition = outputs_[record.value % outputs_.size()],
                             .key = record.key,
                             .value = ++last_value_,
                             .transaction = worker->transaction,
                             .cause = record.value});
          }
          send_next(worker, std::move(sends));
        });
  }

  void send_next(const WorkerPtr& worker, std::vector<Send> sends) {
    if (sends.empty()) {
      return go_on(worker, [this, worker] { worker->group == kNoName ? end(worker) : send_offsets(worker); });
    }
    const Send send = sends.back();
    sends.pop_back();
    go_on(worker, [this, worker, send, sends] {
      request<Send>(
          worker->client, send, [this, producer = worker->producer()](Send& body) { return broker_.send(producer, body); },
          [this, worker, sends](Outcome outcome, const Send&) {
            if (outcome == Outcome::kOk) return send_next(worker, sends);
            outcome == Outcome::kFail ? stop(worker) : initialize(worker);
          });
    });
  }

  void send_offsets(const WorkerPtr& worker) {
    const SendOffsets sent{worker->transaction, worker->group, worker->generation, {{worker->input, worker->position}}};
    request<SendOffsets>(
        worker->client, sent,
        [this, producer = worker->producer()](SendOffsets& body) { return broker_.send_offsets(producer, body); },
        [this, worker](Outcome outcome, const SendOffsets&) {
          if (outcome == Outcome::kOk) return go_on(worker, [this, worker] { end(worker); });
          outcome == Outcome::kFail ? stop(worker) : initialize(worker);
        });
  }

  void end(const WorkerPtr& worker) {
    const bool commit = !random_.one_in(5);
    request<EndTransaction>(
        worker->client, {worker->transaction, commit},
        [this, producer = worker->producer(), commit](EndTransaction&) { return broker_.end(producer, commit); },
        [this, worker, commit](Outcome outcome, const EndTransaction&) {
          if (outcome == Outcome::kFail) return stop(worker);
          if (outcome == Outcome::kUnknown) return initialize(worker);
          // An aborted transaction has consumed nothing.
          commit || worker->group == kNoName ? transact(worker) : join(worker);
        });
  }

  // The client was fenced.
  void stop(const WorkerPtr& worker) {
    if (worker->generation >= 0) {
      recorder_.fail(recorder_.invoke(worker->client, Revoked{worker->group, worker->generation, {worker->input}}));
    }
    replace(worker);
  }

  // --- Groups

  void start_member(const WorkerPtr& worker) {
    worker->client = next_client_++;
    join(worker);
  }

  void join(const WorkerPtr& worker) {
    if (over()) return;
    request<Assigned>(
        worker->client, {worker->group, -1, {worker->input}},
        [this](Assigned& body) {
          body.generation = broker_.join(body.group);
          return Outcome::kOk;
        },
        [this, worker](Outcome outcome, const Assigned& body) {
          if (outcome != Outcome::kOk) return join(worker);
          worker->generation = body.generation;
          find_position(worker);
        });
  }

  void find_position(const WorkerPtr& worker) {
    if (over()) return;
    const FetchOffsets fetch{worker->group, worker->id != kNoName, {{worker->input, -1}}};
    request<FetchOffsets>(
        worker->client, fetch, [this](FetchOffsets& body) { return broker_.fetch(body); },
        [this, worker](Outcome outcome, const FetchOffsets& body) {
          if (outcome != Outcome::kOk) return find_position(worker);
          worker->position = std::max<int64_t>(0, body.offsets[0].offset);
          worker->id == kNoName ? read(worker) : transact(worker);
        });
  }

  void read(const WorkerPtr& worker) {
    if (over()) return;
    Poll poll{.ranges = {{.partition = worker->input, .from = worker->position, .to = worker->position}}};
    const auto records = static_cast<int64_t>(random_.between(1, 5));
    request<Poll>(
        worker->client, poll,
        [this, records](Poll& body) {
          body.ranges[0] = broker_.poll(body.ranges[0].partition, body.ranges[0].from, body.isolation, records);
          return Outcome::kOk;
        },
        [this, worker](Outcome outcome, const Poll& body) {
          if (outcome == Outcome::kOk) worker->position = body.ranges[0].to;
          go_on(worker, [this, worker] { random_.one_in(2) ? read(worker) : commit(worker); });
        });
  }

  void commit(const WorkerPtr& worker) {
    const CommitOffsets commit{worker->group, worker->generation, {{worker->input, worker->position}}};
    request<CommitOffsets>(
        worker->client, commit, [this](CommitOffsets& body) { return broker_.commit(body); },
        [this, worker](Outcome outcome, const CommitOffsets&) {
          if (outcome == Outcome::kOk) return random_.one_in(15) ? leave(worker) : read(worker);
          outcome == Outcome::kFail ? stop(worker) : start_member(worker);
        });
  }

  void leave(const WorkerPtr& worker) {
    request<Revoked>(
        worker->client, {worker->group, worker->generation, {worker->input}},
        [this](Revoked& body) { return broker_.leave(body); }, [this, worker](Outcome, const Revoked&) { replace(worker); });
  }

  // --- Consumers

  void look_at_offsets(uint32_t client) {
    if (over()) return;
    FetchOffsets fetch{groups_[random_.below(groups_.size())], !random_.one_in(3), {}};
    for (const NameId partition : inputs_) fetch.offsets.push_back({partition, -1});
    request<FetchOffsets>(
        client, std::move(fetch), [this](FetchOffsets& body) { return broker_.fetch(body); },
        [this, client](Outcome, const FetchOffsets&) { after(40, [this, client] { look_at_offsets(client); }); });
  }

  void consume(const std::shared_ptr<Consumer>& consumer) {
    if (over()) return;
    const auto& partitions = random_.one_in(2) ? inputs_ : outputs_;
    const NameId partition = partitions[random_.below(partitions.size())];
    if (random_.one_in(30)) {
      at_once(consumer->client, Assigned{kNoName, -1, {partition}});
      consumer->positions[partition] = 0;
    }
    const int64_t from = consumer->positions[partition];
    const auto records = static_cast<int64_t>(random_.between(1, 8));
    request<Poll>(
        consumer->client, Poll{.isolation = consumer->isolation, .ranges = {{.partition = partition, .from = from, .to = from}}},
        [this, records](Poll& body) {
          body.ranges[0] = broker_.poll(body.ranges[0].partition, body.ranges[0].from, body.isolation, records);
          return Outcome::kOk;
        },
        [this, consumer, partition](Outcome outcome, const Poll& body) {
          if (outcome == Outcome::kOk) consumer->positions[partition] = body.ranges[0].to;
          consume(consumer);
        });
  }

  // Once nothing is under way.
  void read_all() {
    const uint32_t client = next_client_++;
    for (const Isolation isolation : {Isolation::kReadCommitted, Isolation::kReadUncommitted}) {
      Poll poll{.isolation = isolation, .complete = true, .ranges = {}};
      const OperationId id = recorder_.invoke(client, poll);
      for (const auto* partitions : {&inputs_, &outputs_}) {
        for (const NameId partition : *partitions) {
          poll.ranges.push_back(broker_.poll(partition, 0, isolation, broker_.end_of(partition, isolation)));
        }
      }
      recorder_.ok(id, std::move(poll));
    }
    for (const NameId each : groups_) {
      FetchOffsets fetch{each, true, {}};
      for (const NameId partition : inputs_) fetch.offsets.push_back({partition, -1});
      const OperationId id = recorder_.invoke(client, fetch);
      broker_.fetch(fetch);
      recorder_.ok(id, std::move(fetch));
    }
  }

  const ModelOptions options_;
  SeededRandom random_;
  ModelBroker broker_;
  HistoryRecorder recorder_;
  std::vector<NameId> inputs_, outputs_, groups_;
  std::multimap<uint64_t, std::function<void()>> tasks_;
  uint64_t now_ = 0;
  uint32_t next_client_ = 0;
  uint64_t last_value_ = 0;
};

}  // namespace

History model_history(const ModelOptions& options) { return HistoryModel(options).run(); }

}  // namespace weir::testing
