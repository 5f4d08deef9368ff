"""Records whose times only their producers' headers say: imported, then served by the real binary."""
import gzip
import pathlib
import subprocess
import time

import wire
from harness import brokers

TOPIC = "dated"
SECONDS_MAX = 60


def kafka_folder(folder: pathlib.Path, now: int) -> pathlib.Path:
    """Makes two segments of four batches of three records each, 10 ms apart, plain and compressed. No header is right."""
    source = folder / "kafka"
    (source / f"{TOPIC}-0").mkdir(parents=True)
    (source / "meta.properties").write_text("version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\nnode.id=1\n")
    (source / f"{TOPIC}-0/partition.metadata").write_text("version: 0\ntopic_id: Xh6TVn2kTlmAyr7eF5kX_w")
    (source / ".kafka_cleanshutdown").write_text('{"version":0,"brokerEpoch":7}')
    for base in (0, 12):
        log = b""
        for i, largest in enumerate((-1, 0, now - 1_000_000, now + 10**12)):
            times = [now + 10 * (base + 3 * i + record) for record in range(3)]
            packed = {"attributes": 1, "compress": gzip.compress} if i % 2 else {}
            log += wire.timed_batch(times, largest, base_offset=base + 3 * i, **packed)
        (source / f"{TOPIC}-0" / f"{base:020}.log").write_bytes(log)
    return source


def expect_all(client: wire.Client, now: int) -> None:
    for offset in range(24):
        assert client.offset_for(TOPIC, now + 10 * offset - 5) == (0, offset, now + 10 * offset), offset
    assert client.offset_for(TOPIC, now + 231)[1] == -1
    assert client.offset_for(TOPIC, -3) == (0, 23, now + 230)
    assert client.offset_for(TOPIC, -2)[1] == 0


def until_told(broker: brokers.Broker, words: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while words not in broker.log_path.read_text():
        assert time.monotonic() < deadline, broker.log_tail()
        time.sleep(0.02)


def imported_headers_that_lie_are_mended(folder: pathlib.Path) -> None:
    now = int(time.time() * 1000) - 1000
    broker = brokers.Weir(folder, arguments=["--set", "log.retention.check.interval.ms=200", "--set", "log.retention.ms=3600000"])
    said = subprocess.run([str(brokers.WEIR), "log", "import", str(kafka_folder(folder, now)), "--data-dir", str(broker.folder / "data")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert said.returncode == 0, said.stdout
    try:
        broker.start()
        with wire.Client(broker.port) as client:
            expect_all(client, now)
            until_told(broker, "No others are left")
            expect_all(client, now)
            assert [largest for _, _, _, largest, _ in client.batches(TOPIC)] == [now + 10 * last for last in range(2, 24, 3)]
        broker.kill()
        told = len(broker.log_path.read_text())
        broker.start()
        with wire.Client(broker.port) as client:
            expect_all(client, now)
        broker.stop()
        assert "looked at" not in broker.log_path.read_text()[told:], "a second start looks again"
    finally:
        broker.remove()
