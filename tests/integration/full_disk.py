"""A file system that fills up: a real one of 300 MB, where this process may mount one."""
import contextlib
import os
import pathlib
import subprocess
import time

import wire
from harness import brokers

DISK_BYTES = 300 << 20
RECORD_BYTES = 100_000


class NotPermitted(Exception):
    pass


@contextlib.contextmanager
def small_file_system(folder: pathlib.Path):
    image, place = folder / "disk.img", folder / "disk"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, text=True)
    if mounted.returncode != 0:
        raise NotPermitted(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(place)], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)


class Writer:
    """Produces numbered records, one at a time."""

    def __init__(self, broker, topic: str = "filling"):
        self.broker, self.topic, self.acked, self.next = broker, topic, {}, 0

    def payload(self, number: int) -> bytes:
        return (b"%012d" % number) * (RECORD_BYTES // 12)

    def write(self, client) -> int:
        """Produces the next record. Returns the error code."""
        number, self.next = self.next, self.next + 1
        error, offset = client.produce(self.topic, wire.batch(self.payload(number)))
        if error == 0:
            self.acked[offset] = number
        return error

    def check(self, client) -> None:
        """Checks that every acknowledged record is at its offset."""
        found, offset, end = {}, 0, 1
        while offset < end:
            error, end, batches = client.fetch(self.topic, offset, 8 << 20)
            assert error == 0, f"Fetch at {offset}: error {error}"
            got = list(wire.payloads(batches))
            assert got or offset >= end, f"nothing at {offset} of {end}"
            for at, payload in got:
                found[at] = payload
                offset = at + 1
        for at, number in self.acked.items():
            assert at in found, f"the acknowledged record {number} at offset {at} is lost"
            assert found[at] == self.payload(number), f"offset {at} holds something else than what was acknowledged there"


def refused_until_there_is_space(folder: pathlib.Path):
    with small_file_system(folder) as place:
        broker = brokers.Weir(place, arguments=["--set", "weir.max.memory.bytes=536870912"])
        try:
            return fill_and_free(broker, place)
        finally:
            broker.stop()


def fill_and_free(broker, place: pathlib.Path) -> str:
    filler = place / "filler"
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, DISK_BYTES // 4)
    broker.start()
    writer = Writer(broker)
    with wire.Client(broker.port, 60) as client:
        client.create_topic("filling")
        errors = set()
        while not errors and writer.next * RECORD_BYTES < 2 * DISK_BYTES:
            errors |= {writer.write(client)} - {0}
        assert errors, f"{writer.next} records were taken by a disk that cannot hold them"
        for _ in range(5):  # the broker goes on refusing, or goes on taking
            errors |= {writer.write(client)} - {0}
        written = len(writer.acked)
        unknown = {error for error in errors if not wire.RETRIABLE.get(error)}
        assert not unknown, f"refused with {unknown}, which clients do not retry"
        writer.check(client)
    filler.unlink()
    end = time.monotonic() + 60
    with wire.Client(broker.port, 60) as client:
        while len(writer.acked) < written + 20:
            assert time.monotonic() < end, "space is free again, but nothing is taken: " + broker.log_tail()
            if writer.write(client) != 0:
                time.sleep(0.2)
        writer.check(client)
    broker.kill()
    broker.start()
    with wire.Client(broker.port, 60) as client:
        writer.check(client)
        assert writer.write(client) == 0
    return f"{written} records until it was full, {len(writer.acked)} in the end"


def take_all_space(place: pathlib.Path) -> None:
    with open(place / "filler", "wb") as file:
        end, step = 0, 1 << 24
        while step >= 4096:
            try:
                os.posix_fallocate(file.fileno(), end, step)
                end += step
            except OSError:
                step //= 2
    room = os.statvfs(place)
    assert room.f_bavail * room.f_frsize < 64 << 10, f"{room.f_bavail} blocks are left"


def starts_without_a_free_block(folder: pathlib.Path) -> str:
    """The broker serves reads and deletions, refuses produce requests, and sets its reserve aside once there is room."""
    with small_file_system(folder) as place:
        broker = brokers.Weir(folder, arguments=["--set", "weir.disk.reserve.bytes=0"])  # its log is on another disk
        (place / "data").mkdir()
        os.symlink(place / "data", broker.folder / "data")
        kept, junk = Writer(broker), Writer(broker, "junk")
        try:
            broker.start()
            with wire.Client(broker.port, 60) as client:
                for writer, count in ((kept, 100), (junk, 1200)):
                    client.create_topic(writer.topic)
                    for _ in range(count):
                        assert writer.write(client) == 0
            for end in (broker.stop, broker.kill):
                end()
                (place / "filler").unlink(missing_ok=True)
                take_all_space(place)
                broker.arguments = ["--set", "log.segment.delete.delay.ms=100"]
                broker.start()
                with wire.Client(broker.port, 60) as client:
                    kept.check(client)
                    for _ in range(3):
                        error = kept.write(client)
                        assert error != 0 and wire.RETRIABLE.get(error), f"Produce on a full disk: error {error}"
            with wire.Client(broker.port, 60) as client:
                error = client.delete_topic("junk")
                assert error == 0, f"DeleteTopics on a full disk: error {error}\n{broker.log_tail()}"
                deadline = time.monotonic() + 60
                while kept.write(client) != 0:
                    assert time.monotonic() < deadline, "there is room again, but nothing is taken: " + broker.log_tail()
                    time.sleep(0.2)
                reserve = [place / "data" / f"reserve.{number}" for number in range(2)]
                assert all(file.exists() for file in reserve), "no reserve was set aside"
                bytes_aside = sum(file.stat().st_blocks * 512 for file in reserve)
                kept.check(client)
            broker.stop()
            return f"then {bytes_aside >> 20} MiB were set aside"
        finally:
            broker.kill()
