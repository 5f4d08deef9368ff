"""Kafka's tools on Weir and on Apache Kafka, command by command: they must say the same and end the same."""
import base64
import re
import subprocess

import differential_admin
import differential_compaction
import differential_timestamps
import differential_transactions
from cases import Part, Skip
from harness import brokers, maven

part = Part("differential", "Kafka's tools on Weir and Apache Kafka side by side")

POM = maven.ROOT / "tests/compatibility/java/pom.xml"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
TOPICS = "org.apache.kafka.tools.TopicCommand"
PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"
VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"
ROWS = "".join(f"key{i}\tvalue{i}\n" for i in range(60))
DAY = "2020-01-01T00:00:00.000"

SCRIPT = [
    (TOPICS, ["--create", "--topic", "d-one", "--partitions", "3"]),
    (TOPICS, ["--create", "--topic", "d-two", "--partitions", "1"]),
    (PRODUCER, ["--topic", "d-one", "--reader-property", "parse.key=true"], ROWS),
    (PRODUCER, ["--topic", "d-two", "--reader-property", "parse.key=true"], ROWS),
    (GROUPS, ["--list"]),
    (GROUPS, ["--describe", "--group", "d-none"]),
    (GROUPS, ["--delete", "--group", "d-none"]),
    (GROUPS, ["--delete-offsets", "--group", "d-none", "--topic", "d-one"]),
    (CONSUMER, ["--topic", "d-one", "--group", "d-readers", "--from-beginning", "--max-messages", "60", "--timeout-ms", "30000"]),
    (CONSUMER, ["--topic", "d-two", "--group", "d-readers", "--from-beginning", "--max-messages", "60", "--timeout-ms", "30000"]),
    (CONSUMER, ["--topic", "d-two", "--group", "d-others", "--from-beginning", "--max-messages", "20", "--timeout-ms", "30000"]),
    (GROUPS, ["--list", "--state"]),
    (GROUPS, ["--list", "--type"]),
    (GROUPS, ["--describe", "--group", "d-readers"]),
    (GROUPS, ["--describe", "--group", "d-readers", "--state"]),
    (GROUPS, ["--describe", "--group", "d-readers", "--members", "--verbose"]),
    (GROUPS, ["--describe", "--all-groups", "--offsets"]),
    (GROUPS, ["--reset-offsets", "--group", "d-readers", "--topic", "d-one", "--to-earliest", "--dry-run"]),
    (GROUPS, ["--reset-offsets", "--group", "d-readers", "--topic", "d-one:1", "--shift-by", "-5", "--execute"]),
    (GROUPS, ["--reset-offsets", "--group", "d-readers", "--topic", "d-two", "--to-datetime", DAY, "--execute"]),
    (GROUPS, ["--reset-offsets", "--group", "d-others", "--topic", "d-two", "--to-offset", "1000", "--execute"]),
    (GROUPS, ["--reset-offsets", "--group", "d-new", "--topic", "d-two", "--to-latest", "--execute"]),
    (GROUPS, ["--reset-offsets", "--group", "d-readers", "--all-topics", "--to-current", "--dry-run", "--export"]),
    (GROUPS, ["--reset-offsets", "--group", "d-readers", "--topic", "d-missing", "--to-earliest", "--execute"]),
    (GROUPS, ["--describe", "--group", "d-readers"]),
    (CONSUMER, ["--topic", "d-one", "--group", "d-readers", "--max-messages", "5", "--timeout-ms", "30000"]),
    (GROUPS, ["--delete-offsets", "--group", "d-readers", "--topic", "d-one"]),
    (GROUPS, ["--delete-offsets", "--group", "d-readers", "--topic", "d-missing"]),
    (GROUPS, ["--describe", "--group", "d-readers"]),
    (GROUPS, ["--delete", "--group", "d-others", "--group", "d-new", "--group", "d-none"]),
    (TOPICS, ["--delete", "--topic", "d-two"]),
    (GROUPS, ["--describe", "--group", "d-readers"]),
    (GROUPS, ["--list"]),
    # One partition: without keys the producer chooses one at random.
    (TOPICS, ["--create", "--topic", "d-three", "--partitions", "1"]),
    (VERIFIABLE_PRODUCER, ["--topic", "d-three", "--max-messages", "50", "--acks", "-1"]),
    (VERIFIABLE_CONSUMER, ["--topic", "d-three", "--group-id", "d-verified", "--max-messages", "50", "--reset-policy", "earliest"]),
    (GROUPS, ["--describe", "--group", "d-verified"]),
]
# The same tools on groups of the consumer protocol (KIP-848).
NEXT = ["--command-property", "group.protocol=consumer", "--from-beginning", "--timeout-ms", "30000"]
CONSUMER_GROUP_SCRIPT = [
    (TOPICS, ["--create", "--topic", "e-one", "--partitions", "3"]),
    (PRODUCER, ["--topic", "e-one", "--reader-property", "parse.key=true"], ROWS),
    (CONSUMER, ["--topic", "e-one", "--group", "e-readers", "--max-messages", "60", *NEXT]),
    (CONSUMER, ["--include", "e-o.*", "--group", "e-pattern", "--max-messages", "60", *NEXT]),
    (CONSUMER, ["--topic", "e-one", "--group", "e-assignor", "--command-property", "group.remote.assignor=range", "--max-messages",
                "60", *NEXT]),
    (CONSUMER, ["--topic", "e-one", "--group", "e-static", "--command-property", "group.instance.id=one", "--max-messages", "60",
                *NEXT]),
    (GROUPS, ["--list"]),
    (GROUPS, ["--list", "--type", "consumer"]),
    (GROUPS, ["--list", "--type", "Classic"]),
    (GROUPS, ["--list", "--type"]),
    (GROUPS, ["--list", "--state", "empty"]),
    (GROUPS, ["--list", "--state"]),
    (GROUPS, ["--list", "--state", "--type"]),
    (GROUPS, ["--describe", "--group", "e-readers"]),
    (GROUPS, ["--describe", "--group", "e-readers", "--verbose"]),
    (GROUPS, ["--describe", "--group", "e-readers", "--state"]),
    (GROUPS, ["--describe", "--group", "e-readers", "--state", "--verbose"]),
    (GROUPS, ["--describe", "--group", "e-assignor", "--state", "--verbose"]),
    (GROUPS, ["--describe", "--group", "e-readers", "--members", "--verbose"]),
    (GROUPS, ["--describe", "--group", "e-pattern", "--offsets"]),
    (GROUPS, ["--reset-offsets", "--group", "e-readers", "--topic", "e-one:1", "--shift-by", "-5", "--execute"]),
    (GROUPS, ["--reset-offsets", "--group", "e-readers", "--all-topics", "--to-earliest", "--dry-run"]),
    (GROUPS, ["--describe", "--group", "e-readers"]),
    (GROUPS, ["--delete-offsets", "--group", "e-readers", "--topic", "e-one"]),
    (GROUPS, ["--describe", "--group", "e-readers"]),
    # A group changes its protocol when it has no members.
    (CONSUMER, ["--topic", "e-one", "--group", "e-pattern", "--command-property", "group.protocol=classic", "--timeout-ms", "5000"]),
    (GROUPS, ["--list", "--type"]),
    (CONSUMER, ["--topic", "e-one", "--group", "e-pattern", "--command-property", "group.protocol=consumer", "--timeout-ms", "5000"]),
    (GROUPS, ["--list", "--type"]),
    (GROUPS, ["--describe", "--group", "e-pattern"]),
    (CONSUMER, ["--topic", "e-one", "--group", "e-bad", "--command-property", "group.remote.assignor=none", "--max-messages", "1",
                *NEXT]),
    (GROUPS, ["--delete", "--group", "e-readers", "--group", "e-none"]),
    (GROUPS, ["--delete", "--group", "e-pattern", "--group", "e-assignor", "--group", "e-static"]),
    (GROUPS, ["--list"]),
]
# What differs from broker to broker and from run to run, and tells nothing.
NOISE = [
    (re.compile(r"^(Picked up|log4j|WARNING|SLF4J|\[\d{4}-).*"), ""),
    (re.compile(r"^\s*at .*|^.*\(org\.apache\.kafka[\w.]*\)$"), ""),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), "HOST:PORT"),
    (re.compile(r"\(\d+\)(?=\s)"), "(ID)"),
    (re.compile(r'"timestamp":\d+'), '"timestamp":T'),
    (re.compile(r'"avg_throughput":[\d.]+'), '"avg_throughput":X'),
    (re.compile(r"-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "-UUID"),
    (re.compile(r"\s+"), " "),
]


def normal(text: str) -> list[str]:
    lines = []
    for line in text.splitlines():
        for pattern, instead in differential_admin.NOISE + NOISE + differential_transactions.NOISE:
            line = pattern.sub(instead, line)
        line = differential_admin.quorum_only(line.strip())
        if line.strip():
            lines.append(line.strip())
    return sorted(lines)


def counted(lines: list[str]) -> list[str]:
    """The verifiable consumer reports in as many pieces as it polls: only what they add up to is the same everywhere."""
    total = 0
    kept = set()
    for line in lines:
        if '"records_consumed"' in line:
            total += int(re.search(r'"count":(\d+)', line)[1])
        elif '"offsets_committed"' not in line:
            kept.add(line)
    return sorted(kept) + [f"{total} records consumed"]


def run_tool(class_path: str, address: str, name: str, arguments: list[str], given: str = "") -> tuple[int, list[str]]:
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path, name, "--bootstrap-server", address, *arguments]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    lines = normal(done.stdout)
    return done.returncode, counted(lines) if name == VERIFIABLE_CONSUMER else lines


class ToolProcess:
    """Runs tools one after the other in one Java process (Tools.java): seconds less for each. Not those that end by a signal
    or keep threads."""

    def __init__(self, class_path: str):
        self.process = subprocess.Popen(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path,
                                         str(POM.parent / "Tools.java")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def __enter__(self) -> "ToolProcess":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __call__(self, _class_path: str, address: str, name: str, arguments: list[str], given: str = "") -> tuple[int, list[str]]:
        words = [name, given, "--bootstrap-server", address, *arguments]
        self.process.stdin.write(" ".join(base64.b64encode(word.encode()).decode() for word in words) + "\n")
        self.process.stdin.flush()
        status, _, said = self.process.stdout.readline().strip().partition(" ")
        if not status:
            raise AssertionError(f"the process of the tools ended at {name} {' '.join(arguments)}")
        return int(status), normal(base64.b64decode(said).decode())


def side_by_side(broker, folder, script: list, settings: dict[str, str], in_one_process: bool) -> list[tuple[str, str, str]]:
    try:
        class_path = maven.class_path(POM)
        kafka = brokers.Kafka(folder, settings=settings)
    except maven.Unavailable as reason:
        raise Skip(str(reason)) from None
    with kafka.start():
        if not in_one_process:
            return compare(run_tool, class_path, broker, kafka, script)
        with ToolProcess(class_path) as tool:
            return compare(tool, class_path, broker, kafka, script)


def compare(tool, class_path: str, broker, kafka, script: list) -> list[tuple[str, str, str]]:
    found = []
    for name, arguments, *given in script:
        said = f"{name.rsplit('.', 1)[1]} {' '.join(arguments)}"
        theirs, ours = (tool(class_path, one.address, name, arguments, *given) for one in (kafka, broker))
        if ours == theirs:
            found.append(("passed", said, ""))
            continue
        only_ours = [line for line in ours[1] if line not in theirs[1]]
        only_theirs = [line for line in theirs[1] if line not in ours[1]]
        found.append(("failed", said, f"status {ours[0]} here and {theirs[0]} there; only here: {only_ours}; only there: "
                                      f"{only_theirs}"))
    return found


@part.case
def group_tools(broker, folder):
    return side_by_side(broker, folder, SCRIPT, {"auto.create.topics.enable": "true", "num.partitions": "4"}, False)


@part.case
@part.needs(ConsumerGroupHeartbeat=68)
def consumer_group_tools(broker, folder):
    return side_by_side(broker, folder, CONSUMER_GROUP_SCRIPT, {"num.partitions": "4"}, False)


@part.case
def admin_tools(_broker, folder):
    """On a broker of its own: the tools list everything that is there."""
    settings = {"num.partitions": "4"}
    arguments = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    with brokers.Weir(folder, arguments=arguments, ephemeral=True).start() as weir:
        return side_by_side(weir, folder, differential_admin.script(folder), settings, True)


@part.case
def compacted_topics(_broker, folder):
    """On brokers of its own, which look often for something to clean."""
    try:
        class_path = maven.class_path(POM)
        return differential_compaction.findings(
            folder, class_path, lambda ours, theirs, script: compare(run_tool, class_path, ours, theirs, script))
    except maven.Unavailable as reason:
        raise Skip(str(reason)) from None


@part.case
def times_of_records(_broker, folder):
    """On brokers of its own, with raw frames."""
    try:
        return differential_timestamps.findings(folder)
    except maven.Unavailable as reason:
        raise Skip(str(reason)) from None


@part.case
def transactions(_broker, folder):
    """On brokers of its own, which do not verify where transactions begin."""
    try:
        class_path = maven.class_path(POM)
        with ToolProcess(class_path) as tool:
            return differential_transactions.findings(
                folder, class_path, lambda ours, theirs, script: compare(tool, class_path, ours, theirs, script))
    except maven.Unavailable as reason:
        raise Skip(str(reason)) from None
