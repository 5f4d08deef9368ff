"""Clients that do not mean well, or are not there any more. Each case gets a broker of its own."""
import contextlib
import os
import select
import socket
import struct
import threading
import time
import zlib

import wire

CONNECTIONS = int(os.environ.get("WEIR_TEST_CONNECTIONS", "5000"))
# Sanitizers take memory of their own.
MEMORY_FACTOR = float(os.environ.get("WEIR_TEST_MEMORY_FACTOR", "1"))
READERS = 30
CHURN_ROUNDS = 6000
OFFSET_FETCH, DESCRIBE_GROUPS, LIST_GROUPS, DELETE_GROUPS = 9, 15, 16, 42
ANNOUNCED = 100 << 20
CASES = []


def case(*arguments):
    """`arguments` are those of `weir serve`."""
    def register(function):
        CASES.append((function.__name__.replace("_", " "), function, list(arguments)))
        return function
    return register


def connect(port: int, count: int) -> list[socket.socket]:
    sockets = []
    for _ in range(count):
        for attempt in range(100):
            try:
                sockets.append(socket.create_connection(("127.0.0.1", port), timeout=20))
                break
            except (ConnectionError, TimeoutError):  # the accept queue is short
                time.sleep(0.02 * (attempt + 1))
        else:
            raise AssertionError(f"only {len(sockets)} connections could be made")
    return sockets


def wait_for(condition, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s: {what}")
        time.sleep(0.05)


def closed(sockets) -> list[socket.socket]:
    """The connections that the broker has closed."""
    poll = select.poll()
    by_number = {each.fileno(): each for each in sockets}
    for number in by_number:
        poll.register(number, select.POLLIN | select.POLLHUP)
    return [by_number[number] for number, _ in poll.poll(0)]


def expect_service(broker, topic: str, seconds: float = 5, record_bytes: int = 100) -> None:
    """Checks that a new client is served within the time."""
    started = time.monotonic()
    with wire.Client(broker.port, seconds) as client:
        client.create_topic(topic)
        error, offset = client.produce(topic, wire.batch(b"x" * record_bytes))
        assert error == 0, f"Produce: error {error}"
        error, _, batches = client.fetch(topic, offset)
        assert error == 0 and dict(wire.payloads(batches))[offset] == b"x" * record_bytes, f"Fetch: error {error}"
    taken = time.monotonic() - started
    assert taken < seconds, f"served, but only after {taken:.1f} s"


@case("--set", "weir.frame.progress.ms=2000", "--set", "weir.max.memory.bytes=1073741824")
def announced_but_never_sent(broker):
    before = broker.status_kb("VmRSS")
    sockets = connect(broker.port, CONNECTIONS)
    for each in sockets:
        each.sendall(struct.pack(">i", ANNOUNCED) + b"\0")
    expect_service(broker, "others")
    grown = (broker.status_kb("VmRSS") - before) / 1024
    assert grown < 200 * MEMORY_FACTOR, f"{len(sockets)} unfinished requests cost {grown:.0f} MiB"
    wait_for(lambda: len(closed(sockets)) == len(sockets), 60, "stalled connections are still open")
    expect_service(broker, "after", record_bytes=500_000)
    for each in sockets:
        each.close()
    return f"{grown * 1024 / len(sockets):.1f} KiB a connection"


@case("--set", "weir.max.memory.bytes=536870912")
def idle_connections_are_cheap(broker):
    expect_service(broker, "before")
    before = broker.status_kb("VmRSS")
    sockets = connect(broker.port, CONNECTIONS)
    for each in sockets:
        each.sendall(wire.request(wire.API_VERSIONS, 0, b""))
    for each in sockets:
        assert each.recv(1 << 16)
    cost = (broker.status_kb("VmRSS") - before) / len(sockets)
    assert cost < 10 * MEMORY_FACTOR, f"{cost:.1f} KiB of memory for an idle connection"
    expect_service(broker, "others")
    for each in sockets:
        each.close()
    return f"{cost:.1f} KiB a connection"


@case("--set", "weir.max.memory.bytes=268435456", "--set", "weir.frame.progress.ms=2000")
def readers_that_do_not_read(broker):
    with wire.Client(broker.port) as client:
        client.create_topic("big")
        for _ in range(20):
            error, _ = client.produce("big", wire.batch(os.urandom(500_000)))
            assert error == 0
    before = broker.status_kb("VmRSS")
    sockets = connect(broker.port, READERS)
    for each in sockets:
        each.setblocking(False)
    ask = wire.fetch_request("big", 0, 8 << 20)
    for _ in range(50):
        for each in sockets:
            try:
                each.send(ask)
            except BlockingIOError:
                pass
    for number in range(5):
        expect_service(broker, f"others-{number}", seconds=40)
    grown = (broker.status_kb("VmRSS") - before) / 1024
    assert grown < 100 * MEMORY_FACTOR, f"{READERS} readers that do not read cost {grown:.0f} MiB"
    for each in sockets:
        each.close()
    return f"{grown:.0f} MiB for {READERS}"


@case("--shards", "1", "--set", "weir.dirty.bytes.max=1000000")
def a_small_bound_of_dirty_bytes_stops_nobody(broker):
    with wire.Client(broker.port, 20) as client:
        client.create_topic("steady")
        records = wire.batch(os.urandom(500_000))
        for _ in range(200):
            error, _ = client.produce("steady", records)
            assert error == 0, f"Produce: error {error}"


@case()
def clients_that_are_half_gone(broker):
    expect_service(broker, "before")
    sockets = broker.sockets()  # files come and go by themselves
    # The broker answers a client that sends no more, or does not, and closes the connection.
    with wire.Client(broker.port) as client:
        client.socket.sendall(wire.request(wire.API_VERSIONS, 0, b""))
        client.socket.shutdown(socket.SHUT_WR)
        while client.socket.recv(1 << 16):
            pass
    # Other clients vanish in the middle of a request, or with a request under way.
    for begin in (struct.pack(">i", 5000) + b"abc", struct.pack(">i", 5 << 20) + b"abc", b"\0\0",
                  wire.fetch_request("before", 1)):
        for each in connect(broker.port, 50):
            each.sendall(begin)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
    wait_for(lambda: broker.sockets() <= sockets, 20, "connections of clients that are gone are kept")
    expect_service(broker, "after")


GARBAGE = {
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(range(240)),
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
    "zeros": bytes(400),
    "ones": b"\xff" * 400,
    "a negative length": struct.pack(">i", -5) + b"abcdef",
    "a length past the limit": struct.pack(">i", 0x7FFFFFFF) + b"abcdef",
    "an empty request": struct.pack(">i", 0),
    "half a header": struct.pack(">i", 5) + b"\0\3\0\4\0",
    "an API nobody has": wire.request(9999, 0, b""),
    "a version nobody has": wire.request(wire.METADATA, 999, b""),
    "a client id past the end": struct.pack(">i", 12) + struct.pack(">hhih", wire.METADATA, 4, 1, 30000) + b"ab",
}


@case("--http", "127.0.0.1:0")
def bytes_that_are_not_requests(broker):
    for name, data in GARBAGE.items():
        with wire.Client(broker.port, 10) as client:
            client.socket.sendall(data)
            got = b""
            try:
                while piece := client.socket.recv(1 << 16):
                    got += piece
            except ConnectionError:
                pass
            except TimeoutError:
                raise AssertionError(f"{name}: the connection stays open") from None
            if name == "HTTP":
                assert b"400 Bad Request" in got and f"http://127.0.0.1:{broker.ready['http']['port']}".encode() in got, got
                assert got.endswith(b"\n"), got
    log = broker.log_path.read_text(errors="replace")
    assert "a TLS handshake arrived on the PLAINTEXT listener" in log, log
    assert f"an HTTP request arrived on the Kafka port; health and metrics are at http://127.0.0.1:{broker.ready['http']['port']}" in log
    assert len(log) < 20_000, f"{len(log)} bytes of log for {len(GARBAGE)} connections"
    expect_service(broker, "after")


# Counts that promise more than the request holds; compact ones are unsigned and one too high.
MANY = struct.pack(">i", 0x7FFFFFFF)
MANY_COMPACT = b"\xff\xff\xff\xff\x0f"
COUNTS = {
    "topics of Metadata": wire.request(wire.METADATA, 4, MANY),
    "topics of Metadata, compact": wire.request(wire.METADATA, 12, b"\0" + MANY_COMPACT),
    "topics of Produce": wire.request(wire.PRODUCE, 7, struct.pack(">hhi", -1, -1, 1000) + MANY),
    "partitions of Produce": wire.request(wire.PRODUCE, 7, struct.pack(">hhii", -1, -1, 1000, 1) + wire.text("t") + MANY),
    "records of Produce": wire.request(
        wire.PRODUCE, 7, struct.pack(">hhii", -1, -1, 1000, 1) + wire.text("t") + struct.pack(">ii", 1, 0) + MANY),
    "topics of Fetch": wire.request(wire.FETCH, 4, struct.pack(">iiiib", -1, 100, 1, 1000, 0) + MANY),
    "partitions to create": wire.request(
        wire.CREATE_TOPICS, 2, struct.pack(">i", 1) + wire.text("huge") + struct.pack(">ihiiib", 0x7FFFFFFF, 1, 0, 0, 1000, 0)),
    "tagged fields": wire.request(wire.METADATA, 12, MANY_COMPACT),
}


@case("--set", "weir.max.memory.bytes=268435456")
def counts_past_all_bounds(broker):
    before = broker.status_kb("VmHWM")
    for name, data in COUNTS.items():
        for _ in range(20):
            with wire.Client(broker.port, 10) as client:
                client.socket.sendall(data)
                try:
                    client.socket.recv(1 << 16)  # an error, or the end
                except ConnectionError:
                    pass
                except TimeoutError:
                    raise AssertionError(f"{name}: neither an answer nor an end") from None
    # A valid request of the largest size: a million empty names.
    with wire.Client(broker.port) as client:
        client.socket.sendall(wire.request(wire.METADATA, 4, struct.pack(">i", 1_000_000) + wire.text("") * 1_000_000 + b"\0"))
        try:
            client.answer()
        except ConnectionError:
            pass
    grown = (broker.status_kb("VmHWM") - before) / 1024
    assert grown < 200 * MEMORY_FACTOR, f"{grown:.0f} MiB for counts that were not true"
    expect_service(broker, "after")
    return f"{grown:.0f} MiB at most"


@contextlib.contextmanager
def canary(broker, seconds: float = 5):
    """Runs a client beside the case. The broker must serve it within the time, again and again."""
    slowest, failure, stop = 0.0, None, threading.Event()

    def watch():
        nonlocal slowest, failure
        try:
            with wire.Client(broker.port, seconds) as client:
                client.create_topic("canary")
                while not stop.wait(0.02):
                    started = time.monotonic()
                    error, _ = client.produce("canary", wire.batch(b"x" * 200_000))
                    assert error == 0, f"Produce: error {error}"
                    slowest = max(slowest, time.monotonic() - started)
        except (AssertionError, OSError) as problem:
            failure = problem

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: slowest
    finally:
        stop.set()
        watcher.join()
    assert failure is None, f"others are not served: {failure}"


@case("--set", "weir.max.memory.bytes=1073741824")
def announced_bytes_hold_nobody_up(broker):
    """60 clients stay and 300 come again and again. They announce 100 MiB and send 1 KB. Frames of 200 KB go through meanwhile."""
    begin = struct.pack(">i", ANNOUNCED) + b"\0" * 1000
    with canary(broker) as slowest:
        staying = connect(broker.port, 60)
        for each in staying:
            each.sendall(begin)
        end = time.monotonic() + 8
        while time.monotonic() < end:
            coming = connect(broker.port, 300)
            for each in coming:
                each.sendall(begin)
            time.sleep(0.3)
            for each in coming:
                each.close()
    for each in staying:
        each.close()
    return f"200 KB within {slowest():.2f} s"


def uvarint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


DESCRIBE_CONFIGS, ELECT_LEADERS = 32, 43


def describe_configs(resources: list[tuple[int, str]]) -> bytes:
    """A DescribeConfigs request with synonyms and documentation."""
    body = struct.pack(">i", len(resources))
    body += b"".join(struct.pack(">b", kind) + wire.text(name) + struct.pack(">i", -1) for kind, name in resources)
    return wire.request(DESCRIBE_CONFIGS, 3, body + b"\1\1")


def find_coordinator(keys: int) -> bytes:
    return wire.request(wire.FIND_COORDINATOR, 4, b"\0\0" + uvarint(keys + 1) + b"\1" * keys + b"\0")


def elect_leaders(name: str, partitions: int) -> bytes:
    body = struct.pack(">i", 1) + wire.text(name) + struct.pack(">i", partitions) + struct.pack(">i", 1) * partitions
    return wire.request(ELECT_LEADERS, 0, body + struct.pack(">i", 30000))


MULTIPLIED = {
    "60 MB of empty keys": lambda: find_coordinator(60_000_000),
    "50,000 keys": lambda: find_coordinator(50_000),
    "one topic's configurations 60,000 times": lambda: describe_configs([(2, "canary")] * 60_000),
    "one broker's configurations under 3,000 names": lambda: describe_configs([(4, "0" * n + "1") for n in range(3000)]),
    "the configurations of 3,000 groups": lambda: describe_configs([(32, f"group-{n}") for n in range(3000)]),
    "one long name told of 10,000 partitions": lambda: elect_leaders("n" * 30_000, 10_000),
    "one long name told of 50,000 partitions": lambda: elect_leaders("n" * 30_000, 50_000),
}


def send_aside(connection: socket.socket, data: bytes) -> threading.Thread:
    connection.settimeout(60)

    def send():
        with contextlib.suppress(OSError):
            connection.sendall(data)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@case("--set", "weir.max.memory.bytes=536870912")
def requests_that_multiply(broker):
    """Eight clients at once send each request twice. Two clients send a large one once."""
    with canary(broker) as slowest:
        expect_service(broker, "before")
        before = broker.status_kb("VmRSS")
        for name, make in MULTIPLIED.items():
            data = make()
            clients = connect(broker.port, 8 if len(data) < 10 << 20 else 2)
            # The clients read meanwhile: an answer as long as the request would stop both sides while the kernel has no room.
            senders = [send_aside(each, data * (2 if len(data) < 10 << 20 else 1)) for each in clients]
            for each in clients:  # an answer, or the end
                try:
                    if size := each.recv(4, socket.MSG_WAITALL):
                        left = struct.unpack(">i", size)[0]
                        while left > 0 and (got := each.recv(min(left, 1 << 20))):
                            left -= len(got)
                except ConnectionError:
                    pass
                except TimeoutError:
                    raise AssertionError(f"{name}: neither an answer nor an end") from None
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for sender, each in zip(senders, clients):
                sender.join()
                each.close()
            grown = (broker.status_kb("VmHWM") - before) / 1024
            # Frames have 128 MiB, and each may take half of it. Answers have 32 MiB, and half as much again while they grow.
            assert grown < 250 * MEMORY_FACTOR, f"{name}: {grown:.0f} MiB"
    return f"{grown:.0f} MiB at most, 200 KB within {slowest():.2f} s"


def gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


@case("--set", "weir.max.memory.bytes=67108864")
def bombs_on_a_small_broker(broker):
    """Batches of 100 KB that decompress to 100 MiB, from 16 clients at once, beside honest ones."""
    now = int(time.time() * 1000)
    topics = {"plain": {}, "anew": {"compression_type": "lz4"}, "compacted": {"cleanup_policy": "compact"}}
    with wire.Client(broker.port) as client:
        for name, configs in topics.items():
            client.create_topic(name, **configs)
    bomb = wire.timed_batch([now], now, attributes=1, value=bytes(100 << 20), compress=gzip)
    honest = wire.timed_batch([now] * 5, now, attributes=1, value=os.urandom(1000) * 1000, compress=gzip)
    before = broker.status_kb("VmRSS")
    errors = {name: set() for name in topics}

    def produce(name: str):
        with wire.Client(broker.port, 60) as client:
            for _ in range(4):
                errors[name].add(client.produce(name, bomb)[0])

    with canary(broker, 20) as slowest:
        threads = [threading.Thread(target=produce, args=[name]) for name in list(topics) * 5 + ["plain"]]
        for thread in threads:
            thread.start()
        with wire.Client(broker.port, 60) as client:
            for name in topics:
                error, _ = client.produce(name, honest)
                assert error == 0, f"{name}: an honest batch is refused with {error}"
        for thread in threads:
            thread.join()
        with wire.Client(broker.port, 60) as client:
            assert client.offset_for("plain", now)[0] == 0
    grown = (broker.status_kb("VmHWM") - before) / 1024
    assert errors == {"plain": {0}, "anew": {10}, "compacted": {10}}, errors
    assert grown < 60 * MEMORY_FACTOR, f"{grown:.0f} MiB"
    return f"{grown:.0f} MiB at most, 200 KB within {slowest():.2f} s"


@case("--set", "weir.max.memory.bytes=268435456")
def answers_that_nobody_reads(broker):
    """A few bytes ask for the metadata of all topics, 300 KB, on many connections that do not read it."""
    with wire.Client(broker.port) as client:
        for number in range(10):
            client.create_topic(f"wide-{number}", 1000)
    before = broker.status_kb("VmRSS")
    with canary(broker) as slowest:
        silent = connect(broker.port, 200)
        ask = wire.request(wire.METADATA, 1, struct.pack(">i", -1))
        for each in silent:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(ConnectionError):
                each.sendall(ask * 20)
        for _ in range(5):
            with wire.Client(broker.port, 30) as client:
                assert len(client.ask(ask)) > 200_000
        grown = (broker.status_kb("VmHWM") - before) / 1024
    for each in silent:
        each.close()
    assert grown < 150 * MEMORY_FACTOR, f"{len(silent)} that do not read cost {grown:.0f} MiB"
    return f"{grown:.0f} MiB for {len(silent)}, 200 KB within {slowest():.2f} s"


def strings(names: list[str]) -> bytes:
    return struct.pack(">i", len(names)) + b"".join(wire.text(name) for name in names)


@case("--set", "weir.shards=2")
def connections_that_close_behind_an_answer_of_other_shards(broker):
    """A request must not die on the shard that answered it, whoever drops the last reference."""
    names = [f"group-{i}" for i in range(12)]
    with wire.Client(broker.port) as first:  # the groups' topic is there afterwards
        first.ask(wire.request(wire.FIND_COORDINATOR, 0, wire.text(names[0])))
        first.ask(wire.request(DESCRIBE_GROUPS, 0, strings(names)))
    for i in range(CHURN_ROUNDS):
        requests = [wire.request(DESCRIBE_GROUPS, 0, strings(names)), wire.request(DELETE_GROUPS, 0, strings(names)),
                    wire.request(OFFSET_FETCH, 1, wire.text(names[i % 12]) + strings([])), wire.request(LIST_GROUPS, 0, b"")]
        with socket.create_connection(("127.0.0.1", broker.port), timeout=20) as leaving:
            leaving.sendall(requests[i % 4])
            if i // 4 % 3 == 0:  # before the answer, by a reset
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif i // 4 % 3 == 1:  # when it begins to arrive
                assert leaving.recv(1), f"no answer in round {i}"
            else:  # a half-close, then all of the answer
                leaving.shutdown(socket.SHUT_WR)
                while leaving.recv(1 << 16):
                    pass
        assert broker.process.poll() is None, f"the broker ended in round {i}"
    expect_service(broker, "after")
    return f"{CHURN_ROUNDS} connections"
