"""What runs on top of Kafka's clients: Kafka Streams, Kafka Connect, MirrorMaker 2."""
import json
import pathlib
import shutil
import urllib.request

from cases import Part, run
from harness import brokers, maven
from java_part import topics
from migration_part import committed
from program import Program, class_path, java

part = Part("ecosystem", "Kafka Streams (at least once), Kafka Connect, MirrorMaker 2")

HERE = maven.ROOT / "tests/compatibility/ecosystem"


def start(folder: pathlib.Path, *words: str) -> Program:
    return Program(folder, java(class_path(HERE / "pom.xml"), *words))


def produce(broker, topic: str, lines: list[str]) -> None:
    run(["kcat", "-b", broker.address, "-t", topic, "-P"], given="\n".join(lines), seconds=60)


def consume(broker, topic: str, form: str = "%s\\n") -> list[str]:
    return run(["kcat", "-b", broker.address, "-t", topic, "-C", "-e", "-q", "-f", form], seconds=60).splitlines()


# --- Streams

WORDS = 50


def lines_of(times: int) -> list[str]:
    return [" ".join(f"w{i}" for i in range(WORDS))] * times


def counts(broker, topic: str) -> list[int]:
    """The last count of each word."""
    last = dict(line.split(" ") for line in consume(broker, topic, "%k %s\\n"))
    return [int(last.get(f"w{i}", 0)) for i in range(WORDS)]


def word_count(broker, folder: pathlib.Path, topic: str) -> Program:
    return start(folder, HERE / "WordCount.java", broker.address, folder / "state", topic, topic + "-out")


@part.case
def streams_counts_on_from_its_changelog(broker, folder):
    """Ended in order, begun again without its local state: every count is exact."""
    produce(broker, "s-exact", lines_of(40))
    with word_count(broker, folder, "s-exact") as program:
        program.until("first counts", lambda: counts(broker, "s-exact-out") == [40] * WORDS)
        program.process.stdin.close()
        assert program.process.wait(60) == 0, program.said()
    shutil.rmtree(folder / "state")
    produce(broker, "s-exact", lines_of(20))
    with word_count(broker, folder, "s-exact") as program:
        program.until("counts go on", lambda: counts(broker, "s-exact-out") == [60] * WORDS)


@part.case
def streams_loses_nothing_when_killed(broker, folder):
    """Killed in its work: every word is counted at least once."""
    produce(broker, "s-killed", lines_of(1000))
    with word_count(broker, folder, "s-killed") as program:
        program.until("it works", lambda: sum(counts(broker, "s-killed-out")) > 0)
    shutil.rmtree(folder / "state")
    produce(broker, "s-killed", lines_of(100))
    with word_count(broker, folder, "s-killed") as program:
        program.until("all are counted", lambda: min(counts(broker, "s-killed-out")) >= 1100)


# --- Connect

def worker(broker, folder: pathlib.Path, port: int) -> Program:
    settings = {
        "bootstrap.servers": broker.address, "group.id": "c-worker", "listeners": f"http://127.0.0.1:{port}",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "offset.flush.interval.ms": "500", "session.timeout.ms": "6000", "heartbeat.interval.ms": "1000",
    }
    for what in ("config", "offset", "status"):
        settings |= {f"{what}.storage.topic": f"c-{what}", f"{what}.storage.replication.factor": "1"}
    path = folder / "worker.properties"
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return start(folder, "org.apache.kafka.connect.cli.ConnectDistributed", path)


def ask(port: int, path: str, body: dict | None = None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode() if body else None,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@part.case
def connect_copies_a_file_through_a_topic(broker, folder):
    """A distributed worker with a source and a sink; killed, it goes on where its stored offsets say."""
    port, source, sink = brokers.free_port(), folder / "source.txt", folder / "sink.txt"
    rows = [f"row {i}" for i in range(2000)]
    source.write_text("".join(row + "\n" for row in rows[:1000]))
    connectors = {"c-source": {"connector.class": "FileStreamSource", "tasks.max": "1", "topic": "c-rows", "file": str(source)},
                  "c-sink": {"connector.class": "FileStreamSink", "tasks.max": "1", "topics": "c-rows", "file": str(sink)}}

    def arrived(number: int) -> bool:
        return sink.exists() and set(rows[:number]) <= set(sink.read_text().splitlines())

    with worker(broker, folder, port) as program:
        program.until("the worker is up", lambda: ask(port, "/connectors") == [])
        for name, config in connectors.items():
            ask(port, "/connectors", {"name": name, "config": config})
        program.until("rows arrive", lambda: arrived(1000))
    with source.open("a") as more:
        more.write("".join(row + "\n" for row in rows[1000:]))
    with worker(broker, folder, port) as program:
        program.until("the others arrive", lambda: arrived(2000))
        program.until("it knows its connectors", lambda: sorted(ask(port, "/connectors")) == sorted(connectors))
    stored = consume(broker, "c-rows")
    assert set(stored) == set(rows), f"{len(stored)} rows in the topic"


# --- MirrorMaker 2

@part.case
def mirror_maker_copies_records_configs_and_groups(broker, folder):
    target_folder = folder / "target"
    kafka = isinstance(broker, brokers.Kafka)
    with (brokers.Kafka(target_folder) if kafka else brokers.Weir(target_folder, ephemeral=True)).start() as target:
        rows = [f"row {i}" for i in range(1000)]
        topics(broker, "--create", "--topic", "m-orders", "--partitions", "2", "--config", "retention.ms=123456789")
        produce(broker, "m-orders", rows)
        run(["kcat", "-b", broker.address, "-G", "m-readers", "-c", "1000", "-q", "-X", "auto.offset.reset=earliest", "m-orders"],
            seconds=60)
        settings = {
            "clusters": "a, b", "a.bootstrap.servers": broker.address, "b.bootstrap.servers": target.address,
            "a->b.enabled": "true", "a->b.topics": "m-.*", "a->b.groups": "m-.*", "replication.factor": "1",
            "offset.lag.max": "0", "refresh.topics.interval.seconds": "1", "refresh.groups.interval.seconds": "1",
            "sync.group.offsets.enabled": "true", "sync.group.offsets.interval.seconds": "1",
            "emit.checkpoints.interval.seconds": "1",
        }
        settings |= {f"{what}.topic.replication.factor": "1" for what in ("checkpoints", "heartbeats", "offset-syncs")}
        settings |= {f"{what}.storage.replication.factor": "1" for what in ("offset", "status", "config")}
        path = folder / "mirror.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        with start(folder, "org.apache.kafka.connect.mirror.MirrorMaker", path) as program:
            program.until("the records", lambda: sorted(consume(target, "a.m-orders")) == sorted(rows))
            # Records after the group's commit let its offset be translated.
            produce(broker, "m-orders", ["later"])
            program.until("the later record", lambda: "later" in consume(target, "a.m-orders"))
            assert "retention.ms=123456789" in topics(target, "--describe", "--topic", "a.m-orders")
            program.until("the group's offsets", lambda: sum(int(row[2]) for row in committed(target, "m-readers")) > 0)
