"""`weir log import` of a folder that Apache Kafka wrote, and Weir on what it made of it."""
import hashlib
import json
import pathlib
import subprocess
import time

from cases import Part, run
from harness import brokers
from java_part import tool, topics

part = Part("migration", "weir log import takes over what Apache Kafka wrote")

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def produce(broker, topic: str, lines: list[str], *options: str) -> None:
    run(["kcat", "-b", broker.address, "-t", topic, "-P", "-K:", *options], given="\n".join(lines), seconds=60)


def everything_in(broker, topic: str) -> list[str]:
    """A line for each record: partition, offset, timestamp, key, value."""
    said = run(["kcat", "-b", broker.address, "-t", topic, "-C", "-e", "-q", "-f", "%p %o %T %k %s\\n"], seconds=60)
    return sorted(said.splitlines())


def committed(broker, group: str) -> list[tuple[str, ...]]:
    said = tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", broker, "--describe", "--group", group)
    rows = [line.split() for line in said.splitlines() if line.startswith(group)]
    return sorted(tuple(row[1:6]) for row in rows)  # topic, partition, offset, end, lag


def offsets_at(broker, topic: str, when: str) -> list[str]:
    return sorted(tool("org.apache.kafka.tools.GetOffsetShell", broker, "--topic", topic, "--time", when).split())


def fingerprint(folder: pathlib.Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def import_log(source: pathlib.Path, target: pathlib.Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(brokers.WEIR), "log", "import", str(source), "--data-dir", str(target), "--json", *options],
                          capture_output=True, text=True, timeout=120)


def fill(kafka: brokers.Kafka, folder: pathlib.Path) -> None:
    topics(kafka, "--create", "--topic", "orders", "--partitions", "3", "--config", "segment.bytes=1048576", "--config",
           "retention.ms=-1")
    topics(kafka, "--create", "--topic", "users", "--partitions", "1", "--config", "cleanup.policy=compact", "--config",
           "segment.bytes=1048576", "--config", "min.cleanable.dirty.ratio=0.01")
    topics(kafka, "--create", "--topic", "empty", "--partitions", "2")
    topics(kafka, "--create", "--topic", "gone", "--partitions", "1")
    for codec in CODECS:
        produce(kafka, "orders", [f"k{i}:{codec}-{i}-{'x' * 200}" for i in range(5000)], "-z", codec, "-X",
                "enable.idempotence=true")
    for turn in range(6):
        produce(kafka, "users", [f"u{i}:{turn}-{i}-{'y' * 300}" for i in range(1000)])
    produce(kafka, "gone", ["k:v"])
    topics(kafka, "--delete", "--topic", "gone")
    wanted = folder / "delete.json"
    wanted.write_text(json.dumps({"version": 1, "partitions": [{"topic": "orders", "partition": 0, "offset": 50}]}))
    tool("org.apache.kafka.tools.DeleteRecordsCommand", kafka, "--offset-json-file", str(wanted))
    tool("kafka.admin.ConfigCommand", kafka, "--alter", "--topic", "orders", "--add-config", "max.message.bytes=2000000")
    tool("org.apache.kafka.tools.consumer.ConsoleConsumer", kafka, "--topic", "orders", "--from-beginning", "--group",
         "readers", "--max-messages", "1500", "--timeout-ms", "30000")


def wait_for_compaction(kafka: brokers.Kafka) -> None:
    deadline = time.monotonic() + 60
    while len(everything_in(kafka, "users")) == 6000:
        assert time.monotonic() < deadline, "Kafka did not compact the topic"


def what_clients_see(broker) -> dict:
    return {
        "orders": everything_in(broker, "orders"),
        "users": everything_in(broker, "users"),
        "committed": committed(broker, "readers"),
        "first": offsets_at(broker, "orders", "-2"),
        "last": offsets_at(broker, "users", "-1"),
    }


@part.case
def everything_is_there_after_the_import(_broker, folder):
    kafka = brokers.Kafka(folder, settings={"log.cleaner.backoff.ms": "500", "log.segment.delete.delay.ms": "1000"})
    try:
        kafka.start()
        source, weir = kafka.folder / "data", brokers.Weir(folder)
        target = weir.folder / "data"
        fill(kafka, folder)
        wait_for_compaction(kafka)
        before = what_clients_see(kafka)
        said = import_log(source, target)
        assert said.returncode == 1 and "is using" in said.stderr, said
        kafka.stop()

        files = fingerprint(source)
        dry = import_log(source, target, "--dry-run")
        assert dry.returncode == 0 and not target.exists(), dry
        said = import_log(source, target)
        assert said.returncode == 0, said.stderr
        report = json.loads(said.stdout)
        assert report["topics"] == 4 and report["partitions"] == 3 + 1 + 2 + 50, report
        assert report["linked_bytes"] > 0 and not report["cut"], report
        # What Kafka itself wrote is in doubt nowhere but where it compacted.
        assert all("between segments" in line for line in report["uncertain"]), report
        with weir.start():
            after = what_clients_see(weir)
            for what, expected in before.items():
                assert after[what] == expected, f"{what}: {len(after[what])} instead of {len(expected)}, or others"
            assert "max.message.bytes=2000000" in tool("kafka.admin.ConfigCommand", weir, "--describe", "--topic", "orders")
            produce(weir, "orders", ["k:new"])
            assert len(everything_in(weir, "orders")) == len(before["orders"]) + 1
            # The group goes on where it was.
            tool("org.apache.kafka.tools.consumer.ConsoleConsumer", weir, "--topic", "orders", "--group", "readers",
                 "--max-messages", "500", "--timeout-ms", "30000")
            total = sum(int(row[2]) for row in committed(weir, "readers") if row[0] == "orders")
            assert total == sum(int(row[2]) for row in before["committed"]) + 500, committed(weir, "readers")
        assert fingerprint(source) == files, "the import or Weir changed Kafka's files"
    finally:
        kafka.remove()


@part.case
def a_log_that_did_not_end_cleanly_is_refused_or_cut(_broker, folder):
    kafka = brokers.Kafka(folder)
    try:
        kafka.start()
        produce(kafka, "torn", [f"k{i}:{i}" for i in range(2000)])
        before = everything_in(kafka, "torn")
        kafka.kill()
        source, weir = kafka.folder / "data", brokers.Weir(folder)
        with open(next(source.glob("torn-0/*.log")), "ab") as log:
            log.write(b"\0" * 100)
        said = import_log(source, weir.folder / "data")
        assert said.returncode == 1 and "did not end cleanly" in said.stderr, said
        said = import_log(source, weir.folder / "data", "--accept-unclean")
        assert said.returncode == 0, said.stderr
        assert any("torn-0 was cut" in line for line in json.loads(said.stdout)["cut"]), said.stdout
        with weir.start():
            assert everything_in(weir, "torn") == before
    finally:
        kafka.remove()
