"""Apache Kafka's own tools and Java client."""
import os
import re
import shutil
import subprocess

from cases import Part, Skip, run, unserved, verdict_lines
from harness import maven

part = Part("java", "Apache Kafka's command line tools and Java client")

HERE = maven.ROOT / "tests/compatibility/java"


def class_path() -> str:
    try:
        return maven.class_path(HERE / "pom.xml")
    except maven.Unavailable as reason:
        raise Skip(str(reason)) from None


def tool(name: str, broker, *arguments, given: str = "", server_option: str = "--bootstrap-server") -> str:
    return run(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path(), name, server_option, broker.address,
                *arguments], given=given, seconds=90)


def topics(broker, *arguments) -> str:
    return tool("org.apache.kafka.tools.TopicCommand", broker, *arguments)


@part.case
def topics_are_created_described_altered_deleted(broker, _folder):
    topics(broker, "--create", "--topic", "t-tool", "--partitions", "2", "--config", "retention.ms=60000")
    said = topics(broker, "--describe", "--topic", "t-tool")
    assert "PartitionCount: 2" in said and "retention.ms=60000" in said, said
    topics(broker, "--alter", "--topic", "t-tool", "--partitions", "3")
    assert "PartitionCount: 3" in topics(broker, "--describe", "--topic", "t-tool")
    assert "t-tool" in topics(broker, "--list").split()
    topics(broker, "--delete", "--topic", "t-tool")
    assert "t-tool" not in topics(broker, "--list").split()


@part.case
def configs_are_altered(broker, _folder):
    topics(broker, "--create", "--topic", "t-config")
    name = "kafka.admin.ConfigCommand"
    tool(name, broker, "--alter", "--topic", "t-config", "--add-config", "max.message.bytes=2000")
    assert "max.message.bytes=2000" in tool(name, broker, "--describe", "--topic", "t-config")


@part.case
def the_console_produces_and_consumes(broker, _folder):
    topics(broker, "--create", "--topic", "t-console", "--partitions", "1")
    rows = [f"row {i}" for i in range(1000)]
    tool("org.apache.kafka.tools.ConsoleProducer", broker, "--topic", "t-console", given="\n".join(rows) + "\n")
    said = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", broker, "--topic", "t-console", "--from-beginning",
                "--max-messages", "1000", "--timeout-ms", "30000")
    assert said.splitlines() == rows, said[-300:]
    offsets = tool("org.apache.kafka.tools.GetOffsetShell", broker, "--topic", "t-console")
    assert offsets.strip() == "t-console:0:1000", offsets


@part.case
def groups_are_described_and_reset(broker, _folder):
    topics(broker, "--create", "--topic", "t-group", "--partitions", "1")
    tool("org.apache.kafka.tools.ConsoleProducer", broker, "--topic", "t-group", given="a\nb\nc\n")
    tool("org.apache.kafka.tools.consumer.ConsoleConsumer", broker, "--topic", "t-group", "--group", "t-readers",
         "--from-beginning", "--max-messages", "3", "--timeout-ms", "30000")
    name = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    assert "t-readers" in tool(name, broker, "--list").split()
    row = re.search(r"t-readers\s+t-group\s+0\s+(\d+)\s+(\d+)\s+(\d+)", tool(name, broker, "--describe", "--group", "t-readers"))
    assert row and row.groups() == ("3", "3", "0"), row
    tool(name, broker, "--reset-offsets", "--group", "t-readers", "--topic", "t-group", "--to-earliest", "--execute")
    row = re.search(r"t-readers\s+t-group\s+0\s+(\d+)\s+(\d+)\s+(\d+)", tool(name, broker, "--describe", "--group", "t-readers"))
    assert row and row.groups() == ("0", "3", "3"), row
    tool(name, broker, "--delete", "--group", "t-readers")


@part.case
@part.needs(ConsumerGroupHeartbeat=68)
def members_of_a_consumer_group_are_described(broker, _folder):
    topics(broker, "--create", "--topic", "t-next", "--partitions", "3")
    tool("org.apache.kafka.tools.ConsoleProducer", broker, "--topic", "t-next", given="a\nb\nc\n")
    name = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    reader = subprocess.Popen(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path(),
                               "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker.address, "--topic",
                               "t-next", "--group", "t-next-readers", "--from-beginning", "--command-property",
                               "group.protocol=consumer", "--command-property", "auto.commit.interval.ms=100"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert sorted(reader.stdout.readline().strip() for _ in range(3)) == ["a", "b", "c"]
        said = tool(name, broker, "--describe", "--group", "t-next-readers", "--state", "--verbose")
        assert re.search(r"t-next-readers\s.*\suniform\s+Stable\s+1\s+1\s+1", said), said
        said = tool(name, broker, "--describe", "--group", "t-next-readers", "--members", "--verbose")
        assert re.search(r"t-next-readers\s.*\s3\s.*t-next[:(]", said), said
        said = tool(name, broker, "--list", "--state", "--type")
        assert re.search(r"t-next-readers\s+Consumer\s+Stable", said), said
        said = tool(name, broker, "--reset-offsets", "--group", "t-next-readers", "--topic", "t-next", "--to-earliest", "--execute")
        assert "inactive" in said, said
    finally:
        reader.terminate()
        reader.wait(30)
    said = tool(name, broker, "--describe", "--group", "t-next-readers")
    rows = re.findall(r"t-next-readers\s+t-next\s+\d\s+(\d+)\s+(\d+)\s+0", said)
    assert sum(int(committed) for committed, _ in rows) == 3, said
    tool(name, broker, "--delete", "--group", "t-next-readers")
    assert "t-next-readers" not in tool(name, broker, "--list").split()


@part.case
def the_performance_tools_run(broker, _folder):
    topics(broker, "--create", "--topic", "t-perf", "--partitions", "3")
    said = tool("org.apache.kafka.tools.ProducerPerformance", broker, "--topic", "t-perf", "--num-records", "20000",
                "--record-size", "500", "--throughput", "-1")
    assert "20000 records sent" in said, said
    said = tool("org.apache.kafka.tools.ConsumerPerformance", broker, "--topic", "t-perf", "--messages", "20000", "--timeout",
                "30000")
    assert re.search(r", 20\d\d\d, ", said), said


@part.case
@part.needs(transactions=24)
def the_performance_tool_produces_in_transactions(broker, _folder):
    topics(broker, "--create", "--topic", "t-perf-transactions", "--partitions", "2")
    said = tool("org.apache.kafka.tools.ProducerPerformance", broker, "--topic", "t-perf-transactions", "--num-records", "20000",
                "--record-size", "100", "--throughput", "-1", "--transaction-duration-ms", "50", "--transactional-id", "t-perf")
    assert "20000 records sent" in said, said
    said = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", broker, "--topic", "t-perf-transactions", "--from-beginning",
                "--isolation-level", "read_committed", "--max-messages", "20000", "--timeout-ms", "30000")
    assert len(said.splitlines()) == 20000, f"{len(said.splitlines())} records are committed"
    said = tool("org.apache.kafka.tools.TransactionsCommand", broker, "list", "--transactional-id-pattern", "t-perf.*")
    assert "CompleteCommit" in said, said


def compare_with_kafkas_code(script: str) -> None:
    done = subprocess.run([str(HERE.parent / script)], capture_output=True, text=True, timeout=300)
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


@part.case
def segments_are_read_by_its_dump_tool(_broker, _folder):
    compare_with_kafkas_code("dump_log.sh")


@part.case
def compaction_makes_the_same_batches(_broker, _folder):
    compare_with_kafkas_code("compaction.sh")


@part.case
def client(broker, _folder):
    """Each case of Clients.java, which runs as a source file."""
    if not shutil.which("javac"):
        raise Skip("there is no Java compiler")
    return verdict_lines(run(["java", "-Xmx512m", "-cp", class_path(), str(HERE / "Clients.java"), broker.address], seconds=300,
                             env=os.environ | unserved(broker)))
