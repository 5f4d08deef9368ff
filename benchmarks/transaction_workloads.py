"""The workload of transactions; see workloads.py."""
import statistics

from turns import GB, Arena, Row, Settings, load, median_row
from workloads import probe, workload

PRODUCERS = 16


def gate_of_ratio(rows: list[Row], gate: float) -> None:
    """A gate that is a share of Kafka's cost. There is none without Kafka."""
    for row in rows:
        if row.kafka:
            row.gate, row.gate_says = row.kafka * gate, f"{gate:.3g} of Kafka"


def one_record(settings: Settings, arena: Arena) -> list[Row]:
    """From 16 producers at once the cost of a transaction of one record, and of one producer alone its time."""
    count = settings.scaled(500, 5_000)
    many = arena.in_turns(lambda broker, turn: load(settings, broker, "transactions", topic=f"one{turn}", partitions=1, warmup=100,
                                                    producers=PRODUCERS, transactions=count))
    cost = median_row(many, "transactions", "of one record, 16 producers", "µs each", lambda a: a["transactions"], 1e6)
    gate_of_ratio([cost], 0.2)
    raw_ms = probe(settings, 500)["p50_ms"]
    single = arena.in_turns(lambda broker, turn: load(settings, broker, "transactions", topic=f"single{turn}", partitions=1,
                                                      warmup=100, transactions=count))
    p50 = {name: statistics.median(answer["p50_ms"] for answer in given) for name, given in single.items()}
    return [cost, Row("transactions", "of one record, p50", "ms", p50["weir"], p50.get("kafka"), gate=4 * raw_ms,
                      gate_says=f"4 writes of the raw disk, {raw_ms:.2f} each")]


def commits(settings: Settings, arena: Arena) -> list[Row]:
    """10,000 records a second to 10 partitions, committed each 100 ms: what the commits add to the same requests without them."""
    work = {"partitions": 10, "requests": 10, "interval_ms": 10, "records": 10, "warmup": 10,
            "transactions": settings.scaled(100, 600)}

    def turn(broker, number):
        plain = load(settings, broker, "transactions", topic=f"plain{number}", plain=1, **work)
        with_commits = load(settings, broker, "transactions", topic=f"commits{number}", **work)
        return {key: with_commits[key] - plain[key] for key in ("broker_cpu_s", "others_s")} | {
            "commits": with_commits["transactions"]}

    row = median_row(arena.in_turns(turn), "transactions", "a commit of 10 partitions each 100 ms", "µs each", lambda a: a["commits"],
                     1e6)
    gate_of_ratio([row], 0.2)
    return [row]


def read_committed(settings: Settings, arena: Arena) -> list[Row]:
    """A topic of transactions read by both levels of isolation."""
    arena.once(lambda broker: load(settings, broker, "transactions", topic="read", partitions=6, requests=16, records=160,
                                   record_bytes=1_000, warmup=0, transactions=settings.scaled(40, 160)))

    def turn(broker, _number):
        return {level: load(settings, broker, "fetch", topic="read", read_committed=level) for level in (0, 1)}

    both = arena.in_turns(turn)
    rows = [median_row({name: [answer[level] for answer in given] for name, given in both.items()}, "transactions",
                       f"fetch of transactions, {says}", "cpu-s/GB", lambda a: a["bytes"], GB)
            for level, says in ((0, "read_uncommitted"), (1, "read_committed"))]
    rows[1].gate, rows[1].gate_says = rows[0].weir * 1.05, "1.05 x uncommitted"
    return rows


@workload("transactions")
def transactions(settings: Settings) -> list[Row]:
    """one-record transactions of 16 producers and of one, commits each 100 ms, read_committed beside read_uncommitted"""
    with Arena(settings) as arena:
        return [*one_record(settings, arena), *commits(settings, arena), *read_committed(settings, arena)]
