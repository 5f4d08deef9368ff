"""Every file of a data folder, damaged in every way a disk or an operator can think of, before a start.

The broker either starts and shows nothing but what was written, or says which file is damaged and ends. A partition
whose records are gone answers with an error, or the log names the loss.
Whatever a start refuses, `weir log verify` finds as well.
"""
import contextlib
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess

import wire
from harness import brokers

TOPIC = "precious"
RECORDS = 60
ARGUMENTS = ["--shards", "1", "--set", "log.segment.bytes=1048576", "--set", "weir.dirty.bytes.max=4194304"]


def payload(number: int) -> bytes:
    return (b"%08d" % number) * 12500


def prepare(folder: pathlib.Path, orderly: bool, arguments: list[str] = ARGUMENTS) -> pathlib.Path:
    """Makes a data folder with records in segments and in the write-ahead log. Returns its path."""
    broker = brokers.Weir(folder, arguments=arguments).start()
    try:
        with wire.Client(broker.port) as client:
            client.create_topic(TOPIC)
            for number in range(RECORDS):
                assert client.produce(TOPIC, wire.batch(payload(number))) == (0, number)
            # A damaged newest chunk looks like one that was being written when the machine died. So it holds another topic's records.
            client.create_topic("newest")
            assert client.produce("newest", wire.batch(b"newest")) == (0, 0)
        if orderly:
            broker.stop()
    finally:
        broker.kill()
    return broker.folder / "data"


def noted_wal_files(data: pathlib.Path) -> list[pathlib.Path]:
    """The files that must be there. A released file may lie beside them, if the stop came before its removal."""
    with contextlib.closing(sqlite3.connect(data / "manifest.db")) as database:
        database.create_function("row_hash", -1, lambda *values: 1, deterministic=True)
        rows = database.execute("SELECT shard, generation FROM wal_files ORDER BY shard, generation").fetchall()
    return [data / "wal" / str(shard) / f"{generation:016x}.wal" for shard, generation in rows]


def known_length(data: pathlib.Path, segment: pathlib.Path) -> int:
    """Length of the segment by the manifest. A checkpoint that the stop interrupted may have left more bytes behind it."""
    said = subprocess.run([brokers.WEIR, "log", "verify", data], capture_output=True, text=True, timeout=30).stdout
    return int(re.search(rf"{segment.name} .* (\d+) bytes; intact", said)[1])


def flip(at):
    def damage(file: pathlib.Path) -> None:
        with open(file, "r+b") as stream:
            offset = at(file.stat().st_size)
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ 0x55]))
    return damage


def zero_block(file: pathlib.Path) -> None:
    with open(file, "r+b") as stream:
        stream.seek(file.stat().st_size // 8192 * 4096)
        stream.write(bytes(4096))


def cut(part):
    def damage(file: pathlib.Path) -> None:
        with open(file, "r+b") as stream:
            stream.truncate(part(file.stat().st_size))
    return damage


def ways(seed: int):
    chance = random.Random(seed)
    yield "first byte", flip(lambda size: 0)
    yield "byte 20", flip(lambda size: min(20, size - 1))
    yield "last byte", flip(lambda size: size - 1)
    for _ in range(4):
        share = chance.random()
        yield f"byte at {share:.3f}", flip(lambda size, share=share: int(size * share))
    # Most of a prepared file is still empty. Its chunks lie at the beginning.
    for _ in range(4):
        offset = chance.randrange(40_000)
        yield f"byte {offset}", flip(lambda size, offset=offset: min(offset, size - 1))
    yield "zeros in the middle", zero_block
    yield "cut in half", cut(lambda size: size // 2)
    yield "a byte short", cut(lambda size: size - 1)
    yield "empty", cut(lambda size: 0)
    yield "gone", lambda file: file.unlink()


def whole(batches: bytes, errors: set):
    """Records up to the first batch that does not match its checksum. A client checks it, too."""
    at = 0
    for offset, data in wire.payloads(batches):
        if not (0 <= offset < RECORDS and data == payload(offset)) and not wire.intact(batches, at):
            errors.add("checksum")
            return
        yield offset, data
        at += 12 + int.from_bytes(batches[at + 8:at + 12], "big")


def judge(folder: pathlib.Path, name: str) -> str:
    """Starts the broker over the damage. Returns "served", "lost" (the broker told it) or "refused" (`weir log verify` saw it, too)."""
    verified = subprocess.run([brokers.WEIR, "log", "verify", folder / "weir/data"], capture_output=True, text=True)
    assert verified.returncode in (0, 1), f"{name}: weir log verify ended with {verified.returncode}: {verified.stderr}"
    broker = brokers.Weir(folder, arguments=ARGUMENTS)
    try:
        broker.start()
    except RuntimeError:
        status, log = broker.process.returncode, broker.log_tail()
        assert status is not None and status > 0, f"{name}: the start ended with status {status}:\n{log}"
        assert "broken invariant" not in log and log.strip(), f"{name}: {log}"
        assert verified.returncode == 1, f"{name}: refused, but weir log verify found nothing:\n{log}"
        return "refused"
    try:
        found, errors = {}, set()
        with wire.Client(broker.port, 20) as client:
            offset, end = 0, 1
            while offset < end and not errors:
                error, end, batches = client.fetch(TOPIC, offset)
                errors |= {error} - {0}
                got = list(whole(batches, errors))
                if not got:
                    break
                for at, data in got:
                    assert at < RECORDS and data == payload(at), f"{name}: offset {at} holds what nobody wrote there"
                    found[at] = data
                    offset = at + 1
        assert broker.process.poll() is None, f"{name}: the broker is gone\n{broker.log_tail()}"
        log = broker.log_path.read_text(errors="replace")
        complete = len(found) == RECORDS
        assert complete or errors, f"{name}: {RECORDS - len(found)} records are missing and nobody is told\n{log[-1500:]}"
        return "served" if complete else "lost"
    except OSError as problem:
        status = broker.process.poll()
        raise AssertionError(f"{name}: {problem}; the broker has status {status}\n{broker.log_tail()}") from None
    finally:
        broker.kill()


def every_file_in_every_way(folder: pathlib.Path) -> str:
    counts = {"served": 0, "lost": 0, "refused": 0}
    for orderly in (True, False):
        data = prepare(folder / ("stopped" if orderly else "killed"), orderly)
        files = [file.relative_to(data) for file in sorted(data.rglob("*"))
                 if file.is_file() and file.stat().st_size > 0]
        for number, file in enumerate(files):
            for way, damage in ways(number + 100 * orderly):
                place = folder / "damaged"
                shutil.rmtree(place, ignore_errors=True)
                (place / "weir").mkdir(parents=True)
                subprocess.run(["cp", "-a", "--sparse=always", str(data), str(place / "weir/data")], check=True)
                damage(place / "weir/data" / file)
                name = f"{'stopped' if orderly else 'killed'}, {file}, {way}"
                counts[judge(place, name)] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.items())
