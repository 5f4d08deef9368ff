"""Kafka's tools for transactions on Weir and Apache Kafka, after the same history: committed, aborted, open, hanging."""
import pathlib
import re
import struct
import time

from cases import run
from harness import brokers
from integration import wire

HERE = pathlib.Path(__file__).resolve().parent
TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand"
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
# Without the verification a transaction can begin in a partition that no coordinator knows of, as before Kafka 3.6.
SETTINGS = {"transaction.partition.verification.enable": "false", "num.partitions": "2"}
INIT_PRODUCER_ID = 22
TRANSACTIONAL = 16

# Producer ids, times, durations, and where a client's patience ends; partitions in no order.
NOISE = [
    (re.compile(r"\s+$"), ""),
    (re.compile(r"(on leader: ).*[Tt]imed out.*"), r"\1it took too long"),
    (re.compile(r"\b1[789]\d{11}\b"), "TIME"),
    (re.compile(r"^(x-\S+ \d+) \d+ (\w+)$"), r"\1 PID \2"),
    (re.compile(r"^(\d+ x-\S+) \d+ (-?\d+ \w+ \d+) TIME \d+\b"), r"\1 PID \2 TIME MS"),
    (re.compile(r"^(\d+ x-\S+) \d+ (-?\d+ \w+ \d+ None)"), r"\1 PID \2"),
    (re.compile(r"^\d+ (-?\d+ -?\d+ -?\d+ TIME )"), r"PID \1"),
    (re.compile(r"^(x-\S+ \d+) \d+ (-?\d+ -?\d+ \d+ TIME) \d+$"), r"\1 PID \2 MINUTES"),
    (re.compile(r"\S+-\d+(,\S+-\d+)+$"), lambda found: ",".join(sorted(found[0].split(",")))),
]


class Client(wire.Client):
    def hang(self, topic: str) -> int:
        """Begins a transaction of which only the partition knows. Returns its first offset."""
        answer = self.ask(wire.request(INIT_PRODUCER_ID, 0, struct.pack(">hi", -1, 60000)))
        error, producer, epoch = struct.unpack_from(">hqh", answer, 4)
        assert error == 0, f"InitProducerId: error {error}"
        now = int(time.time() * 1000)
        plain = wire.timed_batch([now], now, TRANSACTIONAL)
        rest = plain[21:43] + struct.pack(">qhi", producer, epoch, 0) + plain[57:]
        records = plain[:17] + struct.pack(">I", wire.crc32c(rest)) + rest
        body = wire.text("x-hanging") + struct.pack(">hii", -1, 30000, 1) + wire.text(topic)
        answer = self.ask(wire.request(wire.PRODUCE, 7, body + struct.pack(">iii", 1, 0, len(records)) + records))
        error, offset = struct.unpack_from(">hq", answer, 4 + 2 + len(topic) + 4 + 4)
        assert error == 0, f"Produce: error {error}"
        return offset


def history(class_path: str, broker: brokers.Broker) -> None:
    run(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path, HERE / "java/Transactions.java", broker.address], seconds=90)
    with Client(broker.port) as client:
        client.produce("x-two", wire.batch(b"before"))
        assert client.hang("x-two") == 1
        client.produce("x-two", wire.batch(b"behind"))


def script(folder: pathlib.Path) -> list:
    impatient = folder / "impatient.properties"
    impatient.write_text("default.api.timeout.ms=3000\nrequest.timeout.ms=2000\n")

    def listed(*words: str):
        return TRANSACTIONS, ["list", *words]

    def described(name: str):
        return TRANSACTIONS, ["describe", "--transactional-id", name]

    def producers(topic: str, partition: int, *words: str):
        return TRANSACTIONS, ["describe-producers", "--topic", topic, "--partition", str(partition), *words]

    def hanging(*words: str):
        return TRANSACTIONS, ["find-hanging", *words]

    def aborted(*words: str):
        return TRANSACTIONS, ["abort", "--topic", "x-two", "--partition", "0", *words]

    def consumed(topic: str, isolation: str):
        return CONSOLE, ["--topic", topic, "--from-beginning", "--isolation-level", isolation, "--timeout-ms", "3000",
                         "--formatter-property", "print.offset=true"]

    names = ("x-committed", "x-aborted", "x-initialized", "x-taken-over", "x-open", "x-none")
    ended = [described("x-open"), producers("x-one", 0), producers("x-one", 1), producers("x-two", 0),
             hanging("--broker-id", "1", "--max-transaction-timeout", "0"),
             (GROUPS, ["--describe", "--group", "x-readers"])]
    readings = [consumed(topic, isolation) for topic in ("x-one", "x-two") for isolation in ("read_committed", "read_uncommitted")]
    return [
        listed(), listed("--duration-filter", "-1"), listed("--duration-filter", "0"), listed("--duration-filter", "3600000"),
        listed("--transactional-id-pattern", "x-(open|aborted)"), listed("--transactional-id-pattern", "open"),
        listed("--transactional-id-pattern", "x-.*", "--duration-filter", "1"), listed("--transactional-id-pattern", "x-["),
        listed("--transactional-id-pattern", ""), *map(described, names), *ended,
        *[(TRANSACTIONS, ["--command-config", str(impatient), *words]) for _, words in (producers("x-one", 9), producers("x-none", 0))],
        producers("x-one", 0, "--broker-id", "1"),
        hanging(), hanging("--partition", "0"), hanging("--topic", "x-two"), hanging("--topic", "x-none"),
        *[hanging("--topic", topic, "--max-transaction-timeout", "0") for topic in ("x-one", "x-two")],
        hanging("--topic", "x-two", "--partition", "0", "--max-transaction-timeout", "0"),
        (OFFSETS, ["--topic-partitions", "x-one:0-2,x-two:0"]), *readings,
        aborted(), aborted("--start-offset", "0"), aborted("--producer-id", "5"), aborted("--producer-id", "5", "--producer-epoch", "0"),
        aborted("--start-offset", "1"), aborted("--start-offset", "1"),
        *[(TRANSACTIONS, ["forceTerminateTransaction", "--transactionalId", name]) for name in ("x-open", "x-open", "x-none")],
        listed(), *ended, (OFFSETS, ["--topic-partitions", "x-one:0-2,x-two:0"]), *readings,
        (TRANSACTIONS, ["describe"]), (TRANSACTIONS, ["nothing"]),
    ]


def findings(folder: pathlib.Path, class_path: str, compare_tools) -> list[tuple[str, str, str]]:
    """`compare_tools(ours, theirs, script)` runs a script of tools on both."""
    settings = SETTINGS | {"weir.transaction.abort.orphans": "false"}
    arguments = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    with brokers.Kafka(folder, settings=SETTINGS).start() as kafka, brokers.Weir(folder, arguments=arguments, ephemeral=True).start() as weir:
        for broker in (kafka, weir):
            history(class_path, broker)
        return compare_tools(weir, kafka, script(folder))
