"""Mishaps of a running broker: a log that nobody reads, files and folders that go away."""
import json
import os
import pathlib
import urllib.request

import damage
import wire
from harness import brokers

CASES = []
SMALL = ["--shards", "1", "--set", "log.segment.bytes=1048576", "--set", "weir.dirty.bytes.max=4194304"]
PIPE_BYTES = 64 << 10


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


def read_all(port: int, topic: str = damage.TOPIC) -> tuple[int, set[int]]:
    """Reads the topic. Returns the end that it reached, and the errors that ended it."""
    with wire.Client(port, 30) as client:
        offset, end = 0, 1
        while offset < end:
            error, end, batches = client.fetch(topic, offset)
            if error:
                return offset, {error}
            found = list(wire.payloads(batches))
            assert found, f"nothing at {offset} of {end}"
            offset = found[-1][0] + 1
        return offset, set()


def produce(port: int, count: int, seconds: float = 30) -> tuple[int, set[int]]:
    """Produces `count` batches of 100 KB. Returns how many were acknowledged, and the errors of the others. -1: no answer in time."""
    answers = []
    with wire.Client(port, seconds) as client:
        for number in range(count):
            try:
                answers.append(client.produce(damage.TOPIC, wire.batch(damage.payload(number)))[0])
            except TimeoutError:
                answers.append(-1)
                break
    return answers.count(0), set(answers) - {0}


def expect_all_back(broker: brokers.Weir, acknowledged: int) -> None:
    """Starts the broker after everything was put back in its place."""
    broker.start()
    found, errors = read_all(broker.port)
    assert not errors and found >= acknowledged, f"{found} of {acknowledged}, {errors}"


def health(broker: brokers.Weir) -> dict:
    http = broker.ready["http"]
    with urllib.request.urlopen(f"http://{http['host']}:{http['port']}/health", timeout=30) as answer:
        return json.load(answer)


def with_http(folder: pathlib.Path, *arguments: str) -> brokers.Weir:
    return brokers.Weir(folder, arguments=[*SMALL, "--http", "127.0.0.1:0", *arguments])


def log_into_pipe(folder: pathlib.Path) -> tuple[brokers.Weir, int]:
    """Returns a broker whose standard error is a pipe, and the end to read from."""
    broker = brokers.Weir(folder, arguments=SMALL)
    os.mkfifo(broker.log_path)
    reader = os.open(broker.log_path, os.O_RDONLY | os.O_NONBLOCK)
    return broker.start(), reader


@case
def a_log_that_nobody_reads_holds_nobody_up(folder: pathlib.Path):
    broker, reader = log_into_pipe(folder)
    try:
        with wire.Client(broker.port, 20) as client:
            for _ in range(PIPE_BYTES // 100):  # two lines of more than 100 bytes
                client.create_topic("t")
                assert client.delete_topic("t") == 0
            client.create_topic(damage.TOPIC)
            assert client.produce(damage.TOPIC, wire.batch(b"served")) == (0, 0)
            said = b""
            while len(said) < PIPE_BYTES - 8192:
                said += os.read(reader, PIPE_BYTES)
            client.create_topic("after")
        broker.stop()
        said += os.read(reader, PIPE_BYTES)
        assert b"lines are missing here" in said and b"Stopped cleanly" in said, said[-2000:]
    finally:
        os.close(reader)
        broker.kill()


@case
def a_log_whose_reader_is_gone_stops_in_order(folder: pathlib.Path):
    broker, reader = log_into_pipe(folder)
    os.close(reader)
    with wire.Client(broker.port, 20) as client:
        client.create_topic(damage.TOPIC)
        assert client.produce(damage.TOPIC, wire.batch(b"served")) == (0, 0)
    broker.log_path.unlink()
    broker.stop()


@case
def a_folder_that_is_moved_away_is_not_made_anew(folder: pathlib.Path):
    broker = with_http(folder).start()
    data, aside = broker.folder / "data", broker.folder / "aside"
    try:
        with wire.Client(broker.port) as client:
            client.create_topic(damage.TOPIC)
        before, errors = produce(broker.port, 60)
        assert not errors, errors
        data.rename(aside)
        after, errors = produce(broker.port, 200, 5)
        # Requests that wait for a file of the log get no answer. Later ones are refused.
        assert errors and produce(broker.port, 1) == (0, {56}), errors
        assert not data.exists(), "the folder was made anew"
        assert health(broker)["status"] == "warn", health(broker)
        broker.kill()
        aside.rename(data)
        expect_all_back(broker, before + after)
    finally:
        broker.kill()


@case
def a_log_directory_that_goes_away_is_not_made_anew(folder: pathlib.Path):
    second, aside = folder / "second", folder / "aside"
    broker = with_http(folder, "--set", f"log.dirs={folder / 'weir/data'},{second}").start()
    try:
        with wire.Client(broker.port) as client:
            client.create_topic("first")  # a partition goes where the fewest are: the first one to home, the next to `second`
            assert client.produce("first", wire.batch(b"home")) == (0, 0)
            client.create_topic(damage.TOPIC)
        before, errors = produce(broker.port, 120)
        assert not errors, errors
        assert list(second.glob("*/*.log")), "it lives in the second directory"
        second.rename(aside)
        second.mkdir()  # an empty mount point
        after, errors = produce(broker.port, 200)
        assert not list(second.iterdir()), list(second.iterdir())
        assert errors == {56}, errors
        assert health(broker)["status"] == "warn", health(broker)
        broker.stop()
        second.rmdir()
        aside.rename(second)
        expect_all_back(broker, before + after)
    finally:
        broker.kill()


@case
def a_segment_that_is_gone_takes_its_partition_offline(folder: pathlib.Path):
    broker = with_http(folder).start()
    try:
        with wire.Client(broker.port) as client:
            client.create_topic(damage.TOPIC)
        acknowledged, errors = produce(broker.port, 120)
        assert not errors, errors
        broker.stop()  # so that no record is in memory afterwards
        broker.start()
        segment = sorted((broker.folder / "data").glob("*/*.log"))[1]
        segment.rename(folder / "aside")
        for _ in range(3):
            assert read_all(broker.port)[1] == {56}
        assert health(broker)["offline_partitions"] == 1, health(broker)
        assert produce(broker.port, 1) == (0, {56})
        broker.stop()
        (folder / "aside").rename(segment)
        broker.start()
        assert read_all(broker.port) == (acknowledged, set())
    finally:
        broker.kill()


@case
def a_folder_is_not_shared_though_its_lock_is_removed(folder: pathlib.Path):
    broker = brokers.Weir(folder, arguments=SMALL).start()
    try:
        (broker.folder / "data/.lock").unlink()
        second = brokers.Weir(folder / "second", arguments=SMALL)
        (second.folder / "data").symlink_to(broker.folder / "data")
        second.spawn()
        assert second.process.wait(timeout=30) == 1, "a second broker has the folder"
        assert "is in use by another process" in second.log_path.read_text(), second.log_tail()
        broker.stop()
    finally:
        broker.kill()
