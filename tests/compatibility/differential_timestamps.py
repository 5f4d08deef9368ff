"""Times of records on Weir and Apache Kafka: batches whose headers say this or that about time go to both as raw frames. Error
codes, what is fetched, offsets by time, what retention deletes and what compaction leaves must be the same."""
import gzip
import pathlib
import struct
import time

from harness import brokers
from integration import wire

SETTINGS = {"log.cleaner.backoff.ms": "200", "log.retention.check.interval.ms": "500"}
LOG_APPEND_TIME = 8
MAX_TIMESTAMP = -3
YEARS_31 = 31 * 365 * 86_400_000
CODECS = {"none": (0, lambda records: records), "gzip": (1, gzip.compress)}
KINDS = ("CreateTime", "LogAppendTime")
SECONDS_MAX = 90

# Name: timestamps of the records and what the header says is the largest, both to be added to now unless they are below zero;
# attributes.
CASES = {
    "honest": ([0, 10, 5], 10, 0),
    "header -1": ([0, 10, 5], -1, 0),
    "header 0": ([0, 10, 5], "zero", 0),
    "header too low": ([0, 10, 5], 5, 0),
    "header too high": ([0, 10, 5], 2000, 0),
    "header 31 years ahead": ([0, 10, 5], YEARS_31, 0),
    "a record 31 years ahead": ([0, YEARS_31, 5], YEARS_31, 0),
    "a record 31 years ahead, header now": ([0, YEARS_31, 5], 0, 0),
    "records without time": ([-1, -1, -1], -1, 0),
    "records without time, header now": ([-1, -1, -1], 0, 0),
    "some without time": ([0, -1, 5], 5, 0),
    "some without time, header -1": ([0, -1, 5], -1, 0),
    "flag, header of the records": ([0, 10, 5], 10, LOG_APPEND_TIME),
    "flag, header -1": ([0, 10, 5], -1, LOG_APPEND_TIME),
    "flag, header too high": ([0, 10, 5], 500, LOG_APPEND_TIME),
    "flag, header 31 years ahead": ([0, 10, 5], YEARS_31, LOG_APPEND_TIME),
}
# With a producer's LogAppendTime on a topic without, Kafka leaves what the header says as the batch's largest time, though no record
# has it (and does not find it again); Weir takes the records'. Everything else must be the same.
KNOWN_OTHERWISE = {f"flag, header too high, {codec}, CreateTime" for codec in CODECS}


def batch(now: int, records: list[int], header: int | str, attributes: int, codec: str = "none", key: bytes = b"k") -> bytes:
    times = [at if at < 0 else now + at for at in records]
    largest = 0 if header == "zero" else header if header < 0 else now + header
    bits, compress = CODECS[codec]
    return wire.timed_batch(times, largest, attributes | bits, key, compress=compress)


class Client(wire.Client):
    def create(self, topic: str, configs: dict[str, str]) -> None:
        pairs = b"".join(wire.text(key) + wire.text(value) for key, value in configs.items())
        body = struct.pack(">i", 1) + wire.text(topic) + struct.pack(">ihii", 1, 1, 0, len(configs)) + pairs
        answer = self.ask(wire.request(wire.CREATE_TOPICS, 2, body + struct.pack(">ib", 30000, 0)))
        (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic))
        assert error == 0, f"CreateTopics of {topic}: error {error}"

    def produced(self, topic: str, records: bytes) -> tuple:
        """Error code, base offset, whether there is an append time, indexes of the records that are refused."""
        body = struct.pack(">hhi", -1, -1, 30000) + struct.pack(">i", 1) + wire.text(topic)
        body += struct.pack(">iii", 1, 0, len(records)) + records
        while True:
            answer = self.ask(wire.request(wire.PRODUCE, 8, body))
            at = 4 + 2 + len(topic) + 4 + 4
            error, base, append_time, _, refused = struct.unpack_from(">hqqqi", answer, at)
            if error in (3, 5, 6):  # the partition's leader is not known yet
                time.sleep(0.05)
                continue
            at, indexes = at + 30, []
            for _ in range(refused):
                index, size = struct.unpack_from(">ih", answer, at)
                indexes.append(index)
                at += 6 + max(size, 0)
            return error, base, append_time >= 0, indexes


def relative(now: int, timestamp: int) -> str:
    return str(timestamp) if timestamp <= 0 else f"now{timestamp - now:+}"


def found_at(client: Client, topic: str, timestamp: int, now: int, append_time: bool) -> tuple:
    error, offset, found = client.offset_for(topic, timestamp)
    return error, offset, "append time" if append_time and found >= 0 else relative(now, found)


def observed(client: Client, topic: str, kind: str, now: int, sent: bytes) -> dict[str, object]:
    """What a client of one broker sees of a batch and of the honest one behind it."""
    client.create(topic, {"message.timestamp.type": kind})
    seen: dict[str, object] = {"produce": client.produced(topic, sent)}
    append_time = kind == "LogAppendTime"
    seen["ListOffsets the largest of the first"] = found_at(client, topic, MAX_TIMESTAMP, now, append_time)
    produced_at = time.time()
    while time.time() - produced_at < 0.005:  # another append time for the next
        pass
    seen["produce the next"] = client.produced(topic, batch(now, [1000], 1000, 0))
    seen["fetch"] = [(base, attributes, relative(now, first), "append time" if append_time else relative(now, largest), count)
                     for base, attributes, first, largest, count in client.batches(topic)]
    for name, at in {"now-1": now - 1, "now": now, "now+6": now + 6, "now+11": now + 11, "now+1000": now + 1000,
                     "now+1001": now + 1001, "the largest": MAX_TIMESTAMP}.items():
        if append_time and name not in ("now-1", "the largest"):
            continue
        seen[f"ListOffsets {name}"] = found_at(client, topic, at, now, append_time)
    return seen


def headers(ours: Client, theirs: Client, now: int) -> list[tuple[str, str, str]]:
    found = []
    for kind in KINDS:
        for codec in CODECS:
            for number, (name, (records, header, attributes)) in enumerate(CASES.items()):
                topic = f"t-{kind}-{codec}-{number}"
                here, there = (observed(one, topic, kind, now, batch(now, records, header, attributes, codec)) for one in (ours, theirs))
                said = f"{name}, {codec}, {kind}"
                other = [f"{what}: {here[what]} here, {there[what]} there" for what in there if here[what] != there[what]]
                if said in KNOWN_OTHERWISE:
                    found.append(("passed" if other else "failed", said + " (known to differ)", "" if other else "it does not"))
                    continue
                found.append(("failed" if other else "passed", said, "; ".join(other)))
    return found


def until(condition) -> bool:
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False


def retention(clients: list[Client], now: int) -> list[tuple[str, str, str]]:
    """What is old goes, whatever its header says; nothing else does."""
    topics = {"old": ([now - 7_200_000], now, 1), "header -1": ([now], -1, 0), "header 0": ([now], 0, 0), "without time": ([-1], -1, 0)}
    found = []
    for name, (times, header, _) in topics.items():
        topic = "r-" + name.replace(" ", "-")
        for client in clients:
            client.create(topic, {"retention.ms": "3600000"})
            assert client.produced(topic, batch(0, times, header, 0))[0] == 0, topic
    gone = all(until(lambda client=client: client.offset_for("r-old", -2)[1] == 1) for client in clients)
    found.append(("passed" if gone else "failed", "retention takes old records with a header that says now", ""))
    for name, (_, _, start) in topics.items():
        topic = "r-" + name.replace(" ", "-")
        starts = [client.offset_for(topic, -2)[1] for client in clients]
        found.append(("passed" if starts == [start, start] else "failed", f"retention: {name}", f"log starts here and there: {starts}"))
    return found


def compaction(clients: list[Client], now: int) -> list[tuple[str, str, str]]:
    """48 records of a slow topic, half a second apart, whose headers do not say when."""
    found = []
    for name, header in {"honest": None, "-1": -1, "0": 0}.items():
        topic = "c-" + name
        for client in clients:
            client.create(topic, {"cleanup.policy": "compact", "segment.ms": "2000", "min.cleanable.dirty.ratio": "0.01"})
            for i in range(48):
                at = now - 60_000 + 500 * i
                sent = batch(0, [at], at if header is None else header, 0, key=b"key%d" % (i % 5))
                assert client.produced(topic, sent)[0] == 0, topic
        left = lambda client: [base for base, _, _, _, count in client.batches(topic) if count > 0]  # noqa: E731
        done = all(until(lambda client=client: len(left(client)) <= 15) for client in clients)
        here, there = (left(client) for client in clients)
        same = done and here == there
        found.append(("passed" if same else "failed", f"compaction, header {name}", "" if same else f"left {here} here, {there} there"))
    return found


def findings(folder: pathlib.Path) -> list[tuple[str, str, str]]:
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    kafka = brokers.Kafka(folder, settings=SETTINGS | {"log.initial.task.delay.ms": "500"})
    now = int(time.time() * 1000)
    with kafka.start(), brokers.Weir(folder, arguments=settings, ephemeral=True).start() as weir:
        with Client(weir.port, 60) as ours, Client(kafka.port, 60) as theirs:
            return headers(ours, theirs, now) + retention([ours, theirs], now) + compaction([ours, theirs], now)
