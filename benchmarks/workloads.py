"""The workloads, by name. Each returns the lines that it adds to the table. README.md explains the gates."""
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from harness import brokers
from turns import GB, LOAD, MB, Arena, Row, Settings, load, median_row

WORKLOADS: dict[str, tuple] = {}


def workload(name: str):
    """Registers a function. `--list` shows its first line of documentation."""
    def register(function):
        WORKLOADS[name] = (function, function.__doc__.splitlines()[0])
        return function
    return register


# --- throughput: processor time for fixed work -----------------------------------------------------------------------


def produce(settings: Settings, name: str, work_bytes: int, gate: float | None, **options) -> list[Row]:
    with Arena(settings) as arena:
        answers = arena.in_turns(lambda broker, turn: load(settings, broker, "produce", topic=f"p{turn}", bytes=work_bytes,
                                                           **options))
        return [median_row(answers, name, "broker", "cpu-s/GB", lambda a: a["bytes"], GB, gate), arena.peak_rss_mb(name)]


@workload("produce-1m")
def produce_1m(settings: Settings) -> list[Row]:
    """1 KB records in batches of 1 MB, 6 partitions, 5 requests in flight"""
    return produce(settings, "produce-1m", settings.scaled(GB, 2 * GB), 0.6)


@workload("produce-16k")
def produce_16k(settings: Settings) -> list[Row]:
    """1 KB records in batches of 16 KB, a request carries one of each of 6 partitions as the Java client sends them"""
    return produce(settings, "produce-16k", settings.scaled(GB // 2, 2 * GB), 1.0, batch_bytes=16 << 10,
                   batches_per_request=6)


@workload("produce-16k-single")
def produce_16k_single(settings: Settings) -> list[Row]:
    """the same with one batch a request, 5 in flight"""
    return produce(settings, "produce-16k-single", settings.scaled(GB // 4, 2 * GB), None, batch_bytes=16 << 10)


@workload("produce-100b")
def produce_100b(settings: Settings) -> list[Row]:
    """100 B records in batches of 1 MB"""
    return produce(settings, "produce-100b", settings.scaled(GB, 2 * GB), 0.6, record_bytes=100)


@workload("produce-idempotent")
def produce_idempotent(settings: Settings) -> list[Row]:
    """as produce-1m with sequence numbers"""
    return produce(settings, "produce-idempotent", settings.scaled(GB, 2 * GB), 0.6, idempotent=1)


@workload("produce-unpinned")
def produce_unpinned(settings: Settings) -> list[Row]:
    """as produce-1m with the broker on all cores, where Weir runs one shard on each"""
    with Arena(settings, pinned=False) as arena:
        answers = arena.in_turns(lambda broker, turn: load(settings, broker, "produce", topic=f"p{turn}", connections=4,
                                                           bytes=settings.scaled(GB, 2 * GB)))
        return [median_row(answers, "produce-unpinned", "broker", "cpu-s/GB", lambda a: a["bytes"], GB)]


def tiny(settings: Settings, name: str, connections: int, gate: float) -> list[Row]:
    with Arena(settings) as arena:
        answers = arena.in_turns(lambda broker, turn: load(
            settings, broker, "produce", topic="tiny", partitions=100, record_bytes=100, batch_bytes=0,
            connections=connections, warmup_requests=settings.scaled(10_000, 100_000),
            requests=settings.scaled(40_000, 300_000)))
        return [median_row(answers, name, "broker", "µs/request", lambda a: a["requests"], 1e6, gate)]


@workload("tiny")
def tiny_1(settings: Settings) -> list[Row]:
    """one record of 100 B a request over 100 partitions, one client with 5 requests in flight"""
    return tiny(settings, "tiny", 1, 20)


@workload("tiny-16")
def tiny_16(settings: Settings) -> list[Row]:
    """the same from 16 clients"""
    return tiny(settings, "tiny-16", 16, 10)


@workload("tiny-calls")
def tiny_calls(settings: Settings) -> list[Row]:
    """system calls and allocations of the same, and of the 16 clients"""
    if not shutil.which("strace"):
        raise RuntimeError("strace is not installed (apt-get install strace)")
    requests = settings.scaled(20_000, 100_000)
    count_file = settings.folder / "allocations"
    rows = []
    for says, connections in (("one client", 1), ("16 clients", 16)):
        settings.folder.mkdir(parents=True, exist_ok=True)
        count_file.write_bytes(bytes(8))
        environment = {"LD_PRELOAD": str(LOAD.parent / "weir_allocation_count.so"), "WEIR_ALLOCATION_COUNT": str(count_file)}

        def allocations() -> int:
            return int.from_bytes(count_file.read_bytes(), "little")

        with brokers.Weir(settings.folder, settings.broker_cores, environment=environment) as broker:
            broker.start()

            def produce():
                load(settings, broker, "produce", topic="tiny", partitions=100, record_bytes=100, batch_bytes=0,
                     connections=connections, warmup_requests=requests // 2, requests=requests)

            produce()
            before = allocations()
            produce()
            allocated = (allocations() - before) / (requests * 1.5)
            trace = settings.folder / "calls"
            tracer = subprocess.Popen(["strace", "-f", "-c", "-q", "-o", str(trace), "-p", str(broker.pid)])
            time.sleep(1)
            produce()
            tracer.send_signal(2)
            tracer.wait()
            calls = sum(int(line.split()[3]) for line in trace.read_text().splitlines()[2:]
                        if len(line.split()) > 4 and line.split()[-1] != "total" and line.split()[3].isdigit())
        rows.append(Row("tiny-calls", f"system calls, {says}", "a request", calls / (requests * 1.5)))
        rows.append(Row("tiny-calls", f"allocations, {says}", "a request", allocated))
    return rows


def forget_pages(folder: pathlib.Path) -> None:
    """Drops the pages of all files in the folder from the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def fetch(settings: Settings, name: str, gate: float, from_disk: bool) -> list[Row]:
    with Arena(settings) as arena:
        def fill(broker):
            load(settings, broker, "produce", topic="backlog", bytes=settings.scaled(2 * GB, 4 * GB))
            load(settings, broker, "fetch", topic="backlog")

        def read(broker, _turn):
            if from_disk:
                forget_pages(broker.folder)
            return load(settings, broker, "fetch", topic="backlog")

        arena.once(fill)
        answers = arena.in_turns(read)
        row = median_row(answers, name, "broker", "cpu-s/GB", lambda a: a["bytes"], GB, gate)
        read_share = statistics.median(a["disk_read_bytes"] / a["bytes"] for a in answers["weir"])
        return [row, Row(name, "read from disk by Weir", "of the bytes", read_share)]


@workload("fetch-cache")
def fetch_cache(settings: Settings) -> list[Row]:
    """a backlog read from its start, its pages in the page cache"""
    return fetch(settings, "fetch-cache", 0.25, from_disk=False)


@workload("fetch-disk")
def fetch_disk(settings: Settings) -> list[Row]:
    """a backlog read from its start, its pages dropped before each turn"""
    return fetch(settings, "fetch-disk", 0.30, from_disk=True)


@workload("fetch-tail")
def fetch_tail(settings: Settings) -> list[Row]:
    """what each of three tailing consumers adds to producing 1 KB records at 100 MB/s"""
    consumers = 3

    def turn(broker, number):
        def run(count):
            return load(settings, broker, "fanout", topic=f"tail{number}", consumers=count, bytes_per_second=100 * MB,
                        bytes=settings.scaled(GB // 2, 2 * GB))
        alone, followed = run(0), run(consumers)
        return {key: followed[key] - alone[key] for key in ("broker_cpu_s", "others_s")} | {"bytes": followed["read_bytes"]}

    with Arena(settings) as arena:
        answers = arena.in_turns(turn)
        return [median_row(answers, "fetch-tail", "broker", "cpu-s/GB read", lambda a: a["bytes"], GB, 0.35)]


# --- latency at a fixed rate -----------------------------------------------------------------------------------------


def probe(settings: Settings, rate: int) -> dict:
    settings.folder.mkdir(parents=True, exist_ok=True)
    return load(settings, None, "disk-probe", dir=settings.folder, rate=rate, records=rate * settings.scaled(5, 20))


def latency(settings: Settings, name: str, rate: int, gates) -> list[Row]:
    """`gates` computes the gates of quantiles from the raw quantiles."""
    # One writer writes at most some 10,000 blocks of 4 KB a second. Nearer to that the probe would measure its own queue.
    raw_rate = min(rate, 2_000)
    seconds = settings.scaled(10, 60)
    with Arena(settings) as arena:
        before = probe(settings, raw_rate)
        answers = arena.once(lambda broker: load(settings, broker, "latency", topic="e2e", rate=rate,
                                                 warmup_records=rate * 2, records=rate * seconds))
        after = probe(settings, raw_rate)
    low, high = sorted((before["p999_ms"], after["p999_ms"]))
    discarded = "the disk itself varied by more than 2x" if high > 2 * low else ""
    raw = {key: (before[key] + after[key]) / 2 for key in ("p50_ms", "p99_ms", "p999_ms")}
    kafka = answers.get("kafka", {})
    limits = gates(raw)
    rows = []
    for key, says in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9")):
        rows.append(Row(name, says, "ms", answers["weir"][key], kafka.get(key), gate=limits.get(key), discarded=discarded,
                        gate_says=f"raw disk {raw[key]:.2f}"))
    return rows


@workload("latency-1k")
def latency_1k(settings: Settings) -> list[Row]:
    """produced until fetched, 1,000 records/s, no linger"""
    return latency(settings, "latency-1k", 1_000,
                   lambda raw: {"p50_ms": raw["p50_ms"] + 0.2, "p999_ms": 1.5 * raw["p999_ms"] + 1})


@workload("latency-10k")
def latency_10k(settings: Settings) -> list[Row]:
    """the same at 10,000 records/s"""
    return latency(settings, "latency-10k", 10_000, lambda raw: {"p99_ms": 2 * raw["p99_ms"] + 2})


@workload("latency-50k")
def latency_50k(settings: Settings) -> list[Row]:
    """the same at 50,000 records/s"""
    return latency(settings, "latency-50k", 50_000, lambda raw: {"p99_ms": 2 * raw["p99_ms"] + 2})


@workload("latency-catch-up")
def latency_catch_up(settings: Settings) -> list[Row]:
    """1,000 records/s while another client reads a backlog from disk: p99 beside it against p99 alone"""
    rate, seconds = 1_000, settings.scaled(10, 60)
    with Arena(settings, with_kafka=settings.full) as arena:
        def compare(broker):
            def run():
                return load(settings, broker, "latency", topic="e2e", rate=rate, warmup_records=rate, records=rate * seconds)
            load(settings, broker, "produce", topic="backlog", bytes=settings.scaled(3 * GB, 24 * GB))
            alone = run()
            forget_pages(broker.folder)
            reader = subprocess.Popen(["bash", "-c", "while \"$@\" >/dev/null; do :; done", "reader", "taskset", "-c",
                                       settings.client_cores, str(LOAD), "fetch", "--broker", broker.address,
                                       "--topic", "backlog"], start_new_session=True)
            try:
                return run()["p99_ms"] / alone["p99_ms"]
            finally:
                os.killpg(reader.pid, 15)
                reader.wait()
        ratios = arena.once(compare)
        return [Row("latency-catch-up", "p99 beside a catch-up read", "x alone", ratios["weir"], ratios.get("kafka"), gate=3)]


# --- compaction ------------------------------------------------------------------------------------------------------


def segment_bytes(folder: pathlib.Path) -> int:
    """Bytes of the segments of the largest partition. Kafka renames segments that it will remove."""
    partitions: dict[pathlib.Path, int] = {}
    for path in folder.rglob("*.log"):
        try:
            partitions[path.parent] = partitions.get(path.parent, 0) + path.stat().st_size
        except FileNotFoundError:
            pass
    return max(partitions.values(), default=0)


@workload("latency-background")
def latency_background(settings: Settings) -> list[Row]:
    """1,000 records/s alone, beside checkpoints of 60 MB/s, and beside the compaction of a GB; held back and not"""
    rate, seconds = 1_000, settings.scaled(8, 30)

    def small(broker, for_seconds=seconds):
        return load(settings, broker, "latency", topic="e2e", rate=rate, warmup_records=rate // 2, records=rate * for_seconds)

    def beside(command: list[str], broker) -> dict:
        other = subprocess.Popen(["taskset", "-c", settings.client_cores, str(LOAD), *command, "--broker", broker.address],
                                 stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)  # until the writer is at work
            return small(broker)
        finally:
            other.terminate()
            other.wait()

    def compacting(broker) -> dict:
        # A rewritten segment has its generation in its name.
        while not any(path.name.count(".") == 2 for path in (broker.folder / "data").rglob("*.log")):
            time.sleep(0.05)
        return small(broker, seconds // 2)  # compaction takes less time when nothing holds it back

    rows = []
    for says, percent in (("held back", 25), ("not held back", 100)):
        # Compaction begins when all records are there.
        arguments = ["--set", f"weir.background.io.percent={percent}", "--set", f"log.cleaner.backoff.ms={settings.scaled(45_000, 150_000)}"]
        broker = brokers.Weir(settings.folder, None, arguments)
        try:
            broker.start()
            load(settings, broker, "produce", topic="warm", bytes=settings.warm_bytes)
            answers = {"alone": small(broker)}
            answers["beside checkpoints"] = beside(["produce", "--topic", "bulk", "--bytes-per-second", str(60 * MB), "--bytes",
                                               str(100 * GB)], broker)
            load(settings, broker, "compact", topic="compacted", records=settings.scaled(1_000_000, 3_000_000), keys=100_000,
                 value_bytes=1000, segment_bytes=64 << 20)
            answers["beside compaction"] = compacting(broker)
        finally:
            broker.remove()
        for beside_what, answer in answers.items():
            for key, quantile in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9")):
                rows.append(Row("latency-background", f"{quantile} {beside_what}, {says}", "ms", answer[key]))
    return rows


@workload("compaction")
def compaction(settings: Settings) -> list[Row]:
    """1 million (10 with --full) records of 100 B, nine in ten of them old: processor time until the log is small again"""
    records = settings.scaled(1_000_000, 10_000_000)
    often = {"log.cleaner.backoff.ms": "1000"}
    arguments = [word for key, value in often.items() for word in ("--set", f"{key}={value}")]
    makers = [lambda: brokers.Weir(settings.folder, settings.broker_cores, arguments)]
    if settings.with_kafka:
        makers.append(lambda: brokers.Kafka(settings.folder, settings.broker_cores, often, settings.kafka_flush))
    figures = {}
    for make in makers:
        broker = make()
        try:
            broker.start()
            answer = load(settings, broker, "compact", topic="compacted", records=records, keys=records // 10)
            started, cpu = time.monotonic(), broker_cpu_s(broker)
            # The active segment of 16 MiB stays as it is.
            goal = answer["bytes"] * 0.15 + (16 << 20)
            while (left := segment_bytes(broker.folder / "data")) > goal:
                if time.monotonic() - started > settings.scaled(120, 900):
                    raise RuntimeError(f"{broker.name} did not compact: {left} of {answer['bytes']} bytes are left")
                time.sleep(0.2)
            gigabytes = answer["bytes"] / GB
            spent = answer["broker_cpu_s"] + broker_cpu_s(broker) - cpu
            figures[broker.name] = (spent / gigabytes, time.monotonic() - started, broker.status_kb("VmHWM") / 1024)
        finally:
            broker.remove()
    # Compaction begins while the records still come, so the two are measured as one.
    says = [("produced and compacted", "cpu-s/GB"), ("from the last record until it is small", "s"),
            ("peak resident memory", "MiB")]
    kafka = figures.get("kafka", [None] * len(says))
    return [Row("compaction", figure, unit, figures["weir"][i], kafka[i]) for i, (figure, unit) in enumerate(says)]


def broker_cpu_s(broker) -> float:
    fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- starting, holding, coming back ----------------------------------------------------------------------------------


@workload("start")
def start(settings: Settings) -> list[Row]:
    """from the spawn until the first answer with an empty data folder, and the memory then"""
    def measure(make, rounds):
        times, memory = [], []
        for _ in range(rounds):
            with make() as broker:
                times.append(broker.start().start_seconds * 1000)
                time.sleep(1)
                memory.append(broker.status_kb("VmRSS") / 1024)
        return statistics.median(times), statistics.median(memory)

    weir = measure(lambda: brokers.Weir(settings.folder, settings.broker_cores), 5)
    kafka = (None, None)
    if settings.with_kafka:
        kafka = measure(lambda: brokers.Kafka(settings.folder, settings.broker_cores), 1)
    return [Row("start", "first answer", "ms", weir[0], kafka[0], gate=50),
            Row("start", "resident memory, idle", "MiB", weir[1], kafka[1], gate=20)]


@workload("partitions")
def partitions(settings: Settings) -> list[Row]:
    """10,000 partitions with a record each: memory, descriptors, restart after SIGTERM and after kill -9"""
    shape = {"topics": 100, "partitions": 100}
    count = shape["topics"] * shape["partitions"]

    def measure(broker):
        with broker.start():
            idle_kb = broker.status_kb("VmRSS")
            load(settings, broker, "produce", topic="many", record_bytes=100, batch_bytes=0, requests=count, **shape)
            time.sleep(2)
            memory_kb, descriptors = broker.status_kb("VmRSS"), broker.descriptors()
            broker.stop()
            clean = broker.start().start_seconds
            broker.kill()
            killed = broker.start().start_seconds
            kept = load(settings, broker, "offsets", topic="many", **shape)["records"]
            return memory_kb / 1024, (memory_kb - idle_kb) / count, descriptors, clean, killed, count - kept

    weir = measure(brokers.Weir(settings.folder, settings.broker_cores))
    kafka = [None] * 6
    if settings.with_kafka and settings.full:
        kafka = measure(brokers.Kafka(settings.folder, settings.broker_cores))
    figures = [("resident memory", "MiB", 80), ("per partition", "KiB", 4), ("descriptors", "", 300),
               ("restart after SIGTERM", "s", 1), ("restart after kill -9", "s", 1.5), ("records lost", "", 0)]
    return [Row("partitions", figure, unit, weir[i], kafka[i], gate=gate) for i, (figure, unit, gate) in enumerate(figures)]


@workload("kill")
def kill(settings: Settings) -> list[Row]:
    """kill -9 of a broker with a few GB (20 with --full): time to serve again, bytes read for it, records lost"""
    def measure(broker):
        with broker.start():
            sent = load(settings, broker, "produce", topic="kept", bytes=settings.scaled(3 * GB, 20 * GB))["records"]
            broker.kill()
            forget_pages(broker.folder)
            seconds = broker.start().start_seconds
            kept = load(settings, broker, "offsets", topic="kept")["records"]
            return seconds, broker.disk_read_bytes() / MB, sent - kept

    weir = measure(brokers.Weir(settings.folder, settings.broker_cores))
    kafka = [None] * 3
    if settings.with_kafka and settings.full:
        kafka = measure(brokers.Kafka(settings.folder, settings.broker_cores))
    figures = [("first answer", "s", None), ("read from disk", "MB", 300), ("records lost", "", 0)]
    return [Row("kill", figure, unit, weir[i], kafka[i], gate=gate) for i, (figure, unit, gate) in enumerate(figures)]


@workload("connections")
def connections(settings: Settings) -> list[Row]:
    """memory of a connection that is idle, and of one that announces 50 MB and sends nothing more"""
    count = settings.scaled(2_000, 9_000)
    rows = []
    for figure, announce, gate in (("idle", 0, 10), ("announces and stalls", 50 * MB, 10)):
        with brokers.Weir(settings.folder, settings.broker_cores).start() as broker:
            before_kb = broker.status_kb("VmRSS")
            client = subprocess.Popen([str(LOAD), "connections", "--broker", broker.address, "--count", str(count),
                                       "--announce", str(announce)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                client.stdout.readline()
                time.sleep(1)
                rows.append(Row("connections", figure, "KiB each", (broker.status_kb("VmRSS") - before_kb) / count, gate=gate))
            finally:
                client.stdin.close()
                client.wait()
    return rows
