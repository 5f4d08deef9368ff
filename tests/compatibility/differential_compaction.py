"""Consumers of compacted topics on Weir and Apache Kafka: the same records go in, both compact, and the Java client, its tools
and librdkafka must find the same."""
import pathlib
import shutil
import time

from cases import run
from harness import brokers

HERE = pathlib.Path(__file__).resolve().parent
SETTINGS = {"log.cleaner.backoff.ms": "200", "group.initial.rebalance.delay.ms": "0"}
TOPICS = ["c-none", "c-zstd", "c-lz4", "c-forgets"]
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def tool_script(start_ms: int) -> list:
    """Commands of Kafka's tools, for after CompactedTopics.java has run."""
    properties = [word for what in ("offset", "timestamp", "key") for word in ("--formatter-property", f"print.{what}=true")]
    script = []
    for topic in ("c-none", "c-forgets"):
        script += [(CONSOLE, ["--topic", topic, "--from-beginning", "--timeout-ms", "4000", *properties]),
                   (CONSOLE, ["--topic", topic, "--partition", "0", "--offset", "950", "--max-messages", "5", "--timeout-ms", "4000",
                              *properties]),
                   (OFFSETS, ["--topic", topic, "--time", "earliest"]), (OFFSETS, ["--topic", topic, "--time", "latest"]),
                   (OFFSETS, ["--topic", topic, "--time", "max-timestamp"]),
                   (OFFSETS, ["--topic", topic, "--time", str(start_ms + 950)]),
                   (GROUPS, ["--describe", "--group", f"{topic}-earliest"]),
                   (GROUPS, ["--reset-offsets", "--group", f"{topic}-earliest", "--topic", topic, "--to-offset", "933", "--execute"]),
                   (GROUPS, ["--describe", "--group", f"{topic}-earliest"])]
    return script


def java_findings(class_path: str, broker: brokers.Broker, start_ms: int) -> dict[str, list[str]]:
    """What CompactedTopics.java prints, by topic."""
    output = run(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path, str(HERE / "java/CompactedTopics.java"),
                  broker.address, str(start_ms)], seconds=500)
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith("topic\t"):
            lines = found.setdefault(line.split("\t")[1], [])
        lines.append(line)
    assert output.rstrip().endswith("END"), output[-500:]
    return found


def kcat_findings(broker: brokers.Broker, topic: str) -> list[str]:
    """What Debian's librdkafka reads: all of it, and from an offset that compaction took away."""
    style = ["-e", "-q", "-Z", "-f", "%o %T %k=%s\\n"]
    found = []
    for offset in ("beginning", "950", "-3"):
        found += [f"from {offset}"] + run(["kcat", "-b", broker.address, "-C", "-t", topic, "-p", "0", "-o", offset, *style]).splitlines()
    return found


def difference(ours: list[str], theirs: list[str]) -> str:
    return f"only here: {[line for line in ours if line not in theirs][:8]}; only there: {[line for line in theirs if line not in ours][:8]}"


def findings(folder: pathlib.Path, class_path: str, compare_tools) -> list[tuple[str, str, str]]:
    """`compare_tools(ours, theirs, script)` runs a script of tools on both."""
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    start_ms = int(time.time() * 1000) - 3_600_000
    kafka = brokers.Kafka(folder, settings=SETTINGS)
    found = []
    with kafka.start(), brokers.Weir(folder, arguments=settings, ephemeral=True).start() as weir:
        theirs, ours = (java_findings(class_path, broker, start_ms) for broker in (kafka, weir))
        for topic in TOPICS:
            assert "compacted\ttrue" in theirs[topic] and "compacted\tfalse" not in theirs[topic], "Kafka did not compact: " + topic
            same = ours[topic] == theirs[topic]
            found.append(("passed" if same else "failed", f"the Java client on {topic}", "" if same else difference(ours[topic], theirs[topic])))
            if shutil.which("kcat") is None:
                found.append(("skipped", f"kcat on {topic}", "it is not installed"))
                continue
            read, reference = kcat_findings(weir, topic), kcat_findings(kafka, topic)
            found.append(("passed" if read == reference else "failed", f"kcat on {topic}", "" if read == reference else difference(read, reference)))
        found += compare_tools(weir, kafka, tool_script(start_ms))
    return found
