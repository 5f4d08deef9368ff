"""Debian's kcat, and with it Debian's librdkafka."""
import json
import time

from cases import Part, run

part = Part("kcat", "kcat on librdkafka as Debian has them")


def kcat(broker, *arguments, **options) -> str:
    return run(["kcat", "-b", broker.address, *arguments], **options)


def lines(count: int, prefix: str = "value") -> list[str]:
    return [f"{prefix} {i}" for i in range(count)]


def produce(broker, topic: str, values: list[str], *arguments) -> None:
    kcat(broker, "-P", "-t", topic, *arguments, given="\n".join(values) + "\n")


def consume(broker, topic: str, *arguments) -> list[str]:
    return kcat(broker, "-C", "-t", topic, "-e", "-q", *arguments).splitlines()


@part.case
def lists_brokers_and_topics(broker, _folder):
    produce(broker, "listed", ["x"])
    metadata = json.loads(kcat(broker, "-L", "-J"))
    assert [b["name"] for b in metadata["brokers"]] == [broker.address], metadata["brokers"]
    topics = {topic["topic"]: topic for topic in metadata["topics"]}
    assert "listed" in topics, list(topics)
    for partition in topics["listed"]["partitions"]:
        assert partition["leader"] == metadata["brokers"][0]["id"], partition


@part.case
def returns_what_was_produced(broker, _folder):
    values = lines(10_000)
    produce(broker, "plain", values)
    assert sorted(consume(broker, "plain")) == sorted(values)


@part.case
def keeps_the_order_of_a_partition(broker, _folder):
    values = lines(5_000)
    produce(broker, "ordered", values, "-p", "0")
    assert consume(broker, "ordered", "-p", "0") == values


@part.case
def keeps_keys_headers_and_nulls(broker, _folder):
    kcat(broker, "-P", "-t", "shaped", "-p", "0", "-K:", "-H", "colour=red", "-H", "empty=", given="key:value\n")
    kcat(broker, "-P", "-t", "shaped", "-p", "0", "-K:", "-Z", given="gone:\n")
    rows = consume(broker, "shaped", "-p", "0", "-f", "%k|%s|%S|%h\n")
    assert rows == ["key|value|5|colour=red,empty=", "gone||-1|"], rows


def returns_compressed(codec: str):
    def case(broker, _folder):
        values = lines(3_000, "a line that repeats itself and compresses well")
        produce(broker, f"codec-{codec}", values, "-p", "0", "-z", codec)
        assert consume(broker, f"codec-{codec}", "-p", "0") == values
    case.__name__ = f"returns_{codec}"
    return case


for name in ("gzip", "snappy", "lz4", "zstd"):
    part.case(returns_compressed(name))


def returns_with_acks(acks: str):
    def case(broker, _folder):
        values = lines(1_000)
        produce(broker, f"acks{acks}", values, "-p", "0", "-X", f"acks={acks}")
        deadline = time.monotonic() + 10  # acks=0 has no answer to wait for
        while (got := consume(broker, f"acks{acks}", "-p", "0")) != values and time.monotonic() < deadline:
            pass
        assert got == values, f"{len(got)} of {len(values)}"
    case.__name__ = f"returns_acks_{acks}"
    return case


for name in ("0", "1", "all"):
    part.case(returns_with_acks(name))


@part.case
@part.needs(InitProducerId=22)
def takes_an_idempotent_producer(broker, _folder):
    values = lines(20_000)
    produce(broker, "idempotent", values, "-p", "0", "-X", "enable.idempotence=true", "-X", "batch.num.messages=100")
    assert consume(broker, "idempotent", "-p", "0") == values


@part.case
def takes_large_records(broker, _folder):
    value = "x" * 900_000
    produce(broker, "large", [value, "small", value], "-p", "0")
    assert consume(broker, "large", "-p", "0") == [value, "small", value]


@part.case
def refuses_too_large_records(broker, _folder):
    produce(broker, "too-large", ["fits"], "-p", "0")
    try:
        produce(broker, "too-large", ["x" * 3_000_000], "-p", "0", "-X", "message.max.bytes=4000000")
    except AssertionError as refused:
        assert "too large" in str(refused).lower(), refused
    else:
        raise AssertionError("a record above max.message.bytes was taken")
    assert consume(broker, "too-large", "-p", "0") == ["fits"]


@part.case
def starts_where_it_is_told(broker, _folder):
    values = lines(100)
    produce(broker, "offsets", values, "-p", "0")
    assert consume(broker, "offsets", "-p", "0", "-o", "40") == values[40:]
    assert consume(broker, "offsets", "-p", "0", "-o", "-5") == values[-5:]
    assert consume(broker, "offsets", "-p", "0", "-o", "end") == []
    assert consume(broker, "offsets", "-p", "0", "-o", "10", "-c", "3") == values[10:13]


@part.case
def finds_offsets_by_time(broker, _folder):
    produce(broker, "timed", lines(50), "-p", "0")
    stamps = [int(row) for row in consume(broker, "timed", "-p", "0", "-f", "%T\n")]
    time.sleep(0.05)
    middle = int(time.time() * 1000)
    time.sleep(0.05)
    produce(broker, "timed", lines(50, "later"), "-p", "0")

    def offset_at(timestamp: int) -> int:
        return int(kcat(broker, "-Q", "-t", f"timed:0:{timestamp}").split()[-1])

    assert offset_at(stamps[0] - 1) == 0
    assert offset_at(middle) == 50
    assert offset_at(middle + 3_600_000) in (-1, 100), offset_at(middle + 3_600_000)
    assert consume(broker, "timed", "-p", "0", "-o", f"s@{middle}") == lines(50, "later")


@part.case
def searches_time_inside_a_batch(broker, _folder):
    # One batch: the records share it, yet each has its own timestamp only if the client gives them; kcat stamps on input.
    produce(broker, "batched", lines(20_000), "-p", "0", "-X", "linger.ms=200")
    rows = [tuple(map(int, row.split())) for row in consume(broker, "batched", "-p", "0", "-f", "%o %T\n")]
    for wanted in {rows[0][1], rows[-1][1], rows[len(rows) // 2][1]}:
        expected = next(offset for offset, stamp in rows if stamp >= wanted)
        assert int(kcat(broker, "-Q", "-t", f"batched:0:{wanted}").split()[-1]) == expected


@part.case
@part.needs(FindCoordinator=10, JoinGroup=11, OffsetCommit=8)
def a_group_goes_on_where_it_committed(broker, _folder):
    produce(broker, "grouped", lines(200, "first"))

    def group_reads(count: int) -> list[str]:
        return sorted(kcat(broker, "-G", "readers", "-q", "-c", str(count), "-X", "auto.offset.reset=earliest", "grouped",
                           seconds=60).splitlines())

    assert group_reads(200) == sorted(lines(200, "first"))
    produce(broker, "grouped", lines(50, "second"))
    assert group_reads(50) == sorted(lines(50, "second"))


@part.case
@part.needs(AddPartitionsToTxn=24, EndTxn=26)
def commits_a_transaction(broker, _folder):
    values = lines(500)
    produce(broker, "transactional", values, "-p", "0", "-X", "transactional.id=kcat-transaction")
    assert consume(broker, "transactional", "-p", "0", "-X", "isolation.level=read_committed") == values
