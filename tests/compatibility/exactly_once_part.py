"""Kafka Streams with exactly_once_v2 while brokers and applications are killed. The cases start brokers of their own."""
import collections
import contextlib
import os
import pathlib
import random
import shutil
import signal
import time

from cases import Part, Skip, run
from harness import brokers, maven
from java_part import tool
from program import Program, class_path, java
from python_part import interpreter_with

part = Part("exactly-once", "Kafka Streams with exactly_once_v2, Kafka's smoke test and its test of exactly once, with kills")

HERE = maven.ROOT / "tests/compatibility/exactly_once"
WORD_COUNT = maven.ROOT / "tests/compatibility/ecosystem/WordCount.java"
KILLS = int(os.environ.get("EXACTLY_ONCE_KILLS", "10"))
SEED = int(os.environ.get("EXACTLY_ONCE_SEED", "1"))
# Members that were killed are missed soon. The aborts of transactions that ran out of time as well.
SETTINGS = {"group.min.session.timeout.ms": "1000", "group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "true",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}


@contextlib.contextmanager
def durable(broker, folder: pathlib.Path, partitions: int):
    """A broker of the same kind, which keeps its data when it is killed."""
    settings = SETTINGS | {"num.partitions": str(partitions)}
    if isinstance(broker, brokers.Kafka):
        fresh = brokers.Kafka(folder, settings=settings)
    else:
        fresh = brokers.Weir(folder, arguments=[word for key, value in settings.items() for word in ("--set", f"{key}={value}")])
    with fresh.start():
        yield fresh


def restart(broker) -> None:
    broker.kill()
    broker.start()


def compiled(path: str, source: pathlib.Path) -> str:
    """Returns the class path with the classes of the source file, which is compiled once."""
    if not shutil.which("javac"):
        raise Skip("there is no Java compiler")
    classes = maven.ROOT / "build/java/classes" / source.stem
    made = classes / f"{source.stem}.class"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        run(["javac", "-cp", path, "-d", classes, source], seconds=300)
    return f"{classes}:{path}"


def create(broker, *names: str) -> None:
    """Topics with as many partitions as the broker gives."""
    for name in names:
        run(["kcat", "-b", broker.address, "-L", "-t", name], seconds=60)


def records(broker, topic: str, isolation: str = "read_committed") -> list[list[str]]:
    """Partition, key and value of everything in the topic."""
    said = run(["kcat", "-b", broker.address, "-t", topic, "-C", "-e", "-q", "-X", f"isolation.level={isolation}", "-f", "%p %k %s\\n"],
               seconds=60)
    return [row.split(" ") for row in said.splitlines()]


def written(broker, topic: str, partitions: int) -> int:
    """Offsets in the topic, of which not all are of records. Does not wait for the end of what goes on."""
    wanted = [word for partition in range(partitions) for word in ("-t", f"{topic}:{partition}:-1")]
    late = time.monotonic() + 60
    while True:
        try:
            rows = run(["kcat", "-b", broker.address, "-Q", *wanted], seconds=30).splitlines()
            return sum(int(row.split()[-1]) for row in rows)
        except AssertionError:  # a broker that was begun again may not lead its partitions yet
            if time.monotonic() > late:
                raise


def broken_at(values: list[int]) -> str:
    place = next((i for i, value in enumerate(values) if value != i + 1), len(values))
    return f"{values[max(0, place - 3):place + 5]} at {place} of {len(values)}"


def all_counted(broker, topic: str, wanted: collections.Counter):
    """True if the last counts are these; else some that are not."""
    last = {key: int(value) for _, key, value in records(broker, topic)}
    return last == wanted or [f"{word}: {last.get(word)} of {count}" for word, count in wanted.items() if last.get(word) != count][:5]


def counted_once(broker, topic: str, wanted: collections.Counter, story) -> None:
    """Every count of a word is there once, in order, and the last is what a batch computation finds."""
    found = collections.defaultdict(list)
    for _, key, value in records(broker, topic):
        found[key].append(int(value))
    for word, count in wanted.items():
        assert found[word] == list(range(1, count + 1)), f"the counts of {word} go {broken_at(found[word])} for {count}, after {story}"
    assert set(found) == set(wanted), f"other words: {set(found) - set(wanted)}"
    with_java = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", broker, "--topic", topic, "--from-beginning",
                     "--isolation-level", "read_committed", "--max-messages", str(wanted.total()), "--timeout-ms", "60000")
    assert len(with_java.splitlines()) == wanted.total(), f"the Java consumer reads {len(with_java.splitlines())} of {wanted.total()}"


def nothing_is_open(broker) -> None:
    listed = tool("org.apache.kafka.tools.TransactionsCommand", broker, "list")
    unfinished = [row for row in listed.splitlines()[1:] if row.split()[-1] not in ("CompleteCommit", "CompleteAbort", "Empty")]
    assert not unfinished, f"transactions are left: {unfinished}"


# --- Words counted while everything is killed

WORDS = 40
PARTITIONS = 4


def line(number: int) -> str:
    """Four words, of which some are rare."""
    return " ".join(f"w{number * step % WORDS // (1 + number % 3)}" for step in (1, 7, 11, 13))


def expected_counts(lines: int) -> collections.Counter:
    return collections.Counter(word for number in range(lines) for word in line(number).split())


class WordCounters:
    """Two instances of the application and what happens to them."""

    def __init__(self, broker, folder: pathlib.Path, chance: random.Random):
        self.broker = broker
        self.folder = folder
        self.chance = chance
        self.path = compiled(class_path(HERE / "streams.xml"), WORD_COUNT)
        self.running: dict[str, Program] = {}
        self.lines = 0
        self.events: list[str] = []

    def __enter__(self) -> "WordCounters":
        for name in ("a", "b"):
            self.begin(name)
        return self

    def __exit__(self, *_) -> None:
        for program in self.running.values():
            program.kill()

    def begin(self, name: str) -> None:
        settings = {"processing.guarantee": "exactly_once_v2", "group.protocol": "classic", "statestore.cache.max.bytes": 0,
                    "num.stream.threads": 2, "commit.interval.ms": 150, "consumer.session.timeout.ms": 4000,
                    "consumer.heartbeat.interval.ms": 500, "producer.transaction.timeout.ms": 8000, "max.poll.records": 50, "pause.ms": 4}
        self.running[name] = Program(self.folder, java(
            self.path, "WordCount", self.broker.address, self.folder / f"state-{name}", "x-lines", "x-counts",
            *(f"{key}={value}" for key, value in settings.items())), name=name)

    def feed(self, count: int) -> None:
        """Lines into every partition in turn."""
        for partition in range(PARTITIONS):
            numbers = [number for number in range(self.lines, self.lines + count) if number % PARTITIONS == partition]
            run(["kcat", "-b", self.broker.address, "-t", "x-lines", "-p", str(partition), "-P", "-X", "enable.idempotence=true"],
                given="\n".join(line(number) for number in numbers), seconds=60)
        self.lines += count

    def kill_the_broker(self) -> None:
        self.broker.kill()
        time.sleep(self.chance.uniform(0, 0.5))
        self.broker.start()

    def kill_an_application(self) -> None:
        name = self.chance.choice(sorted(self.running))
        self.running[name].kill()
        self.begin(name)

    def kill_an_application_and_its_state(self) -> None:
        name = self.chance.choice(sorted(self.running))
        self.running[name].kill()
        shutil.rmtree(self.folder / f"state-{name}", ignore_errors=True)
        self.begin(name)

    def kill_all(self) -> None:
        self.broker.kill()
        for name in sorted(self.running):
            self.running[name].kill()
        self.broker.start()
        for name in sorted(self.running):
            self.begin(name)

    def freeze_an_application(self) -> None:
        """Longer than its session lives, and mostly than its transaction: it comes back as a zombie."""
        program = self.running[self.chance.choice(sorted(self.running))]
        program.process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(6, 11))
        program.process.send_signal(signal.SIGCONT)

    def step(self) -> None:
        """Something is killed at a random moment; mostly only after the work went on."""
        self.feed(2000)
        if self.chance.random() < 0.75:
            before = written(self.broker, "x-counts", PARTITIONS)
            self.anybody().until("the work goes on", lambda: written(self.broker, "x-counts", PARTITIONS) > before + 100)
        time.sleep(self.chance.uniform(0, 1))
        event = self.chance.choices([self.kill_the_broker, self.kill_an_application, self.kill_an_application_and_its_state, self.kill_all,
                                     self.freeze_an_application], [4, 3, 1, 1, 1])[0]
        self.events.append(event.__name__)
        for name, program in self.running.items():
            assert program.process.poll() is None, f"{name} ended by itself after {self.events}:\n{program.said()}"
        event()

    def anybody(self) -> Program:
        return self.running[min(self.running)]

    def verify(self) -> None:
        wanted = expected_counts(self.lines)
        self.anybody().until("all words are counted", lambda: all_counted(self.broker, "x-counts", wanted))
        for program in self.running.values():
            program.process.stdin.close()
            assert program.process.wait(60) == 0, program.said()
        counted_once(self.broker, "x-counts", wanted, self.events)
        nothing_is_open(self.broker)


@part.case
def words_are_counted_exactly_while_all_is_killed(broker, folder):
    """EXACTLY_ONCE_KILLS kills, by the seed EXACTLY_ONCE_SEED."""
    with durable(broker, folder, PARTITIONS) as fresh:
        create(fresh, "x-lines", "x-counts")
        with WordCounters(fresh, folder, random.Random(SEED)) as counters:
            for _ in range(KILLS):
                counters.step()
            counters.verify()


# --- quixstreams

@part.case
def quixstreams_counts_exactly_when_killed(broker, folder):
    """Its transactional id is another after each start: what it left open has to run out of time."""
    python = interpreter_with("quixstreams", "3.28.1", maven.ROOT / "build/python-quixstreams")
    words = [f"w{number * 7 % 13}" for number in range(3000)]
    with durable(broker, folder, 4) as fresh:
        create(fresh, "q-words", "q-counts")
        command = [python, HERE.parent / "quixstreams_words.py", fresh.address, folder / "state", "q-words", "q-counts"]
        for turn in range(4):
            run(["kcat", "-b", fresh.address, "-t", "q-words", "-P", "-K:", "-X", "enable.idempotence=true"],
                given="\n".join(f"{word}:{word}" for word in words), seconds=60)
            with Program(folder, command, name="quixstreams") as program:
                before = written(fresh, "q-counts", 4)
                program.until("it works", lambda: written(fresh, "q-counts", 4) > before)
                if turn == 1:
                    restart(fresh)
                elif turn == 3:
                    wanted = collections.Counter(words * 4)
                    program.until("all words are counted", lambda: all_counted(fresh, "q-counts", wanted))
                    program.stop()
            if turn == 0:
                shutil.rmtree(folder / "state")
        counted_once(fresh, "q-counts", wanted, "three kills")


# --- Kafka's own tests

def properties(folder: pathlib.Path, name: str, **settings) -> pathlib.Path:
    path = folder / f"{name}.properties"
    path.write_text("".join(f"{key.replace('_', '.')}={value}\n" for key, value in settings.items()))
    return path


@part.case
def the_smoke_test_of_kafka_passes(broker, folder):
    """As tests/kafkatest/tests/streams/streams_smoke_test.py with crashes; the broker is killed as well."""
    with durable(broker, folder, 5) as fresh:
        path = class_path(HERE / "streams.xml")
        create(fresh, *"echo data fk min min-suppressed min-raw max sum sws-raw sws-suppressed dif cnt avg tagg".split())
        classes = compiled(path, HERE / "SmokeTest.java")

        def processor(name: str) -> Program:
            return Program(folder, java(path, "org.apache.kafka.streams.tests.StreamsSmokeTest", properties(
                folder, name, bootstrap_servers=fresh.address, processing_guarantee="exactly_once_v2", group_protocol="classic",
                num_stream_threads=2, replication_factor=1, num_standby_replicas=1, buffered_records_per_partition=100,
                commit_interval_ms=1000, auto_offset_reset="earliest", acks="all", acceptable_recovery_lag=2**63 - 1,
                session_timeout_ms=3000, heartbeat_interval_ms=1000, state_dir=folder / name), "process"), name=name)

        with Program(folder, java(classes, "SmokeTest", fresh.address), name="driver") as driver:
            for turn in range(3):
                with processor(f"processor-{turn}") as working:
                    place = working.until_said("REBALANCING -> RUNNING")
                    working.until_said("processed [0-9]+ records from topic", place)
                    assert driver.process.poll() is None and "Result Verification" not in driver.output(), "too fast: " + driver.said()
                    restart(fresh)
                    if turn < 2:
                        working.until_said("processed [0-9]+ records from topic", len(working.output()))
                        continue
                    driver.process.wait(150)
                    working.stop()
                    assert "SMOKE-TEST-CLIENT-EXCEPTION" not in working.output(), working.said()
            assert "SUCCESS" in driver.output() and driver.process.returncode == 0, driver.said()


@part.case
def the_message_copier_of_kafka_copies_exactly_once(broker, folder):
    """As Kafka's transactions_test.py: it aborts at random, and it and the broker are killed."""
    path = class_path(maven.ROOT / "tests/compatibility/java/pom.xml")
    count, partitions = 8000, 2
    with durable(broker, folder, partitions) as fresh, contextlib.ExitStack() as programs:
        create(fresh, "m-source", "m-target")
        for partition in range(partitions):
            run(["kcat", "-b", fresh.address, "-t", "m-source", "-p", str(partition), "-P", "-K:"],
                given="\n".join(f"k{i}:{partition}-{i}" for i in range(count)), seconds=60)

        def copier(partition: int) -> Program:
            return programs.enter_context(Program(folder, java(
                path, "org.apache.kafka.tools.TransactionalMessageCopier", "--broker-list", fresh.address, "--input-topic", "m-source",
                "--input-partition", str(partition), "--output-topic", "m-target", "--consumer-group", f"m-copiers-{partition}",
                "--transaction-size", "8", "--transaction-timeout", "10000", "--transactional-id", f"m-copier-{partition}",
                "--enable-random-aborts", "--use-group-metadata"), name=f"copier-{partition}"))

        copiers = [copier(partition) for partition in range(partitions)]
        for turn in range(4):
            before = written(fresh, "m-target", partitions)
            copiers[0].until("it copies", lambda: written(fresh, "m-target", partitions) > before + 500)
            if turn % 2:
                restart(fresh)
            else:
                copiers[0].kill()
                copiers[0] = copier(0)
        for one in copiers:
            assert one.process.wait(120) == 0, one.said()
        found = collections.Counter(value for _, _, value in records(fresh, "m-target"))
        wanted = collections.Counter(f"{partition}-{i}" for partition in range(partitions) for i in range(count))
        assert found == wanted, f"missing: {list((wanted - found).elements())[:5]}; again: {list((found - wanted).elements())[:5]}"
        nothing_is_open(fresh)


@part.case
def the_test_of_exactly_once_of_kafka_passes(broker, folder):
    """As test_failure_and_recovery_complex of Kafka's streams_eos_test.py, with fewer turns; the broker is killed as well."""
    path = class_path(HERE / "eos_test.xml")
    with durable(broker, folder, 5) as fresh:
        # The test asks for three replicas of what it creates. One broker has room for one: these are there before.
        create(fresh, *"data echo min sum repartition max cnt".split(), *(
            f"EosTest-KSTREAM-AGGREGATE-STATE-STORE-{store}-changelog"
            for store in ("0000000003", "0000000007", "0000000014", "0000000018")))

        def program(command: str, name: str) -> Program:
            return Program(folder, java(path, "org.apache.kafka.streams.tests.StreamsEosTest", properties(
                folder, name, bootstrap_servers=fresh.address, processing_guarantee="exactly_once_v2", group_protocol="classic",
                acceptable_recovery_lag=2**63 - 1, session_timeout_ms=3000, heartbeat_interval_ms=1000, state_dir=folder / name), command), name=name)

        def works(one: Program, place: int = 0) -> None:
            place = one.until_said("StateChange: REBALANCING -> RUNNING", place)
            one.until_said("processed [0-9]+ records from topic", place)

        with contextlib.ExitStack() as programs:
            driver = programs.enter_context(program("run", "driver"))
            processors = {}

            def add(name: str) -> None:
                processors[name] = programs.enter_context(program("process-complex", name))
                works(processors[name])

            for name in ("one", "two", "three"):
                add(name)
            for killed, kept in (("three", "one"), ("one", "two"), ("two", "three")):
                place = len(processors[kept].output())
                processors[killed].kill()
                restart(fresh)
                works(processors[kept], place)
                add(killed)
            for one in processors.values():
                one.stop()
                assert "EOS-TEST-CLIENT-CLOSED" in one.output() and "EOS-TEST-CLIENT-EXCEPTION" not in one.output(), one.said()
            driver.stop()
        with program("verify-complex", "verifier") as verifier:
            verifier.process.wait(120)
            assert "ALL-RECORDS-DELIVERED" in verifier.output(), verifier.said()
