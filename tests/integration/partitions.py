"""Many partitions on one broker."""
import pathlib
import struct
import time

import hostile
import wire
from harness import brokers

PARTITIONS = 10_000
AT_A_TIME = 500
TOPIC = "many"


def produce_to_all(client: wire.Client, payload: bytes) -> None:
    batch = wire.batch(payload)
    for first in range(0, PARTITIONS, AT_A_TIME):
        body = struct.pack(">hhi", -1, -1, 30000) + struct.pack(">i", 1) + wire.text(TOPIC) + struct.pack(">i", AT_A_TIME)
        for partition in range(first, first + AT_A_TIME):
            body += struct.pack(">ii", partition, len(batch)) + batch
        answer = client.ask(wire.request(wire.PRODUCE, 7, body))
        at = 4 + 2 + len(TOPIC) + 4
        for _ in range(AT_A_TIME):
            partition, error = struct.unpack_from(">ih", answer, at)
            assert error == 0, f"Produce to partition {partition}: error {error}"
            at += 4 + 2 + 8 + 8 + 8


def expect_in_all(client: wire.Client, payloads: list[bytes]) -> None:
    for first in range(0, PARTITIONS, AT_A_TIME):
        body = struct.pack(">iiiib", -1, 500, 1, 64 << 20, 0) + struct.pack(">i", 1) + wire.text(TOPIC)
        body += struct.pack(">i", AT_A_TIME)
        for partition in range(first, first + AT_A_TIME):
            body += struct.pack(">iqi", partition, 0, 1 << 12)  # so that all fit: a read from disk counts with its bound
        answer = client.ask(wire.request(wire.FETCH, 4, body))
        at = 4 + 4 + 2 + len(TOPIC) + 4
        for _ in range(AT_A_TIME):
            partition, error, _, _, aborted = struct.unpack_from(">ihqqi", answer, at)
            at += 26 + 16 * max(aborted, 0)
            (size,) = struct.unpack_from(">i", answer, at)
            found = [payload for _, payload in wire.payloads(answer[at + 4:at + 4 + size])]
            assert error == 0 and found == payloads, f"Fetch of partition {partition}: error {error}, {len(found)} records"
            at += 4 + size


def ten_thousand_partitions(folder: pathlib.Path) -> str:
    """Partitions cost little memory and no descriptor each, survive a kill, and do not delay the start."""
    with brokers.Weir(folder) as broker:
        broker.start()
        with wire.Client(broker.port) as client:
            client.create_topic(TOPIC, PARTITIONS)
            produce_to_all(client, b"first")
            produce_to_all(client, b"second")
        memory, descriptors = broker.status_kb("VmRSS") / 1024, broker.descriptors()
        assert memory < 150 * hostile.MEMORY_FACTOR, f"{memory:.0f} MiB for {PARTITIONS} partitions"
        assert descriptors <= 300, f"{descriptors} descriptors for {PARTITIONS} partitions"
        starts = []
        for end in (broker.kill, broker.stop):
            end()
            broker.start()
            starts.append(broker.start_seconds)
            assert broker.start_seconds < 20, f"the start took {broker.start_seconds:.1f} s"
            with wire.Client(broker.port) as client:
                started = time.monotonic()
                expect_in_all(client, [b"first", b"second"])
                read = time.monotonic() - started
        return f"{memory:.0f} MiB, {descriptors} descriptors, starts {starts[0]:.2f} and {starts[1]:.2f} s, read in {read:.1f} s"
