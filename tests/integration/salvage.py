"""`weir log salvage` on damage in each kind of file of a partition. Afterwards a client reads every intact record, the report names
the others, and damaged files are kept."""
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess

import damage
import wire
from harness import brokers

CASES = []


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


def salvage(data: pathlib.Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([brokers.WEIR, "log", "salvage", data, *arguments], timeout=120, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def contents(data: pathlib.Path) -> dict[str, bytes]:
    return {str(file.relative_to(data)): file.read_bytes() for file in sorted(data.rglob("*")) if file.is_file()}


def read_all(broker: brokers.Weir, topic: str = damage.TOPIC) -> dict[int, bytes]:
    found = {}
    with wire.Client(broker.port, 20) as client:
        offset, end = 0, 1
        while offset < end:
            error, end, batches = client.fetch(topic, offset)
            assert error == 0, f"error {error} at offset {offset}"
            before = offset
            at = 0
            while at + 61 <= len(batches):  # batches without records count too
                size = 12 + int.from_bytes(batches[at + 8:at + 12], "big")
                if at + size > len(batches):
                    break
                assert wire.intact(batches, at)
                offset = int.from_bytes(batches[at:at + 8], "big") + int.from_bytes(batches[at + 23:at + 27], "big") + 1
                at += size
            found.update({at: data for at, data in wire.payloads(batches)})
            assert offset > before, f"nothing follows offset {before}, and the log ends at {end}"
    return found


def bring_back(folder: pathlib.Path, data: pathlib.Path, lost_max: int, *words: str) -> dict:
    """Salvages the folder. Then all records are read but at most `lost_max`, which the report names. Returns the report."""
    before = contents(data)
    status, said = salvage(data)
    assert status == 1 and "Nothing was changed" in said, f"status {status}\n{said}"
    for word in words:
        assert word in said, f"'{word}' is not in\n{said}"
    assert contents(data) == before, "a look changed something"
    status, said = salvage(data, "--apply", "--json")
    assert status == 0, said
    report = json.loads(said)
    assert report["applied"] and not report["intact"]
    after = contents(data)
    for path in report["set_aside"]:
        name = str(pathlib.Path(path).relative_to(data))
        assert name not in after, f"{name} is still there"
        kept = [file for file, text in after.items() if file.startswith("salvaged-") and text == before[name]]
        assert kept, f"{name} was not kept as it was"
    assert salvage(data) == (0, f"{data}: nothing is damaged\n")
    verified = subprocess.run([brokers.WEIR, "log", "verify", data], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    lost = set()
    for partition in report["partitions"]:
        if partition["topic"] == damage.TOPIC:
            for each in partition["lost_offsets"]:
                lost |= set(range(each["first"], each["last"] + 1))
    assert len(lost) <= lost_max, f"{sorted(lost)} are lost"
    with brokers.Weir(folder, arguments=damage.ARGUMENTS).start() as broker:
        found = read_all(broker)
        assert set(found) == set(range(damage.RECORDS)) - lost, f"{sorted(found)} are read, {sorted(lost)} were named as lost"
        assert all(data == damage.payload(offset) for offset, data in found.items())
        with wire.Client(broker.port) as client:
            error, offset = client.produce(damage.TOPIC, wire.batch(b"goes on"))
            assert error == 0 and offset >= damage.RECORDS, (error, offset)
        assert read_all(broker)[offset] == b"goes on"
    return report


def flip(file: pathlib.Path, offset: int) -> None:
    with open(file, "r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte[0] ^ 0x55]))


def segments(data: pathlib.Path) -> list[pathlib.Path]:
    return sorted(max(data.glob("*-0"), key=lambda folder: len(list(folder.glob("*.log")))).glob("*.log"))


@case
def salvage_a_damaged_batch(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=True)
    target = segments(data)[1]
    flip(target, target.stat().st_size // 2)
    bring_back(folder, data, 1, target.name, f"{damage.TOPIC}-0")


@case
def salvage_a_damaged_leader_epoch_costs_nothing(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=True)
    target = segments(data)[1]
    flip(target, len(wire.batch(damage.payload(0))) + 12)  # of the second batch
    report = bring_back(folder, data, 0, target.name, "leader epoch")
    assert sum(partition["batches_mended"] for partition in report["partitions"]) == 1


@case
def salvage_a_damaged_offset_costs_nothing(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=False)
    target = segments(data)[1]
    flip(target, len(wire.batch(damage.payload(0))) + 6)  # of the second batch
    report = bring_back(folder, data, 0, target.name)
    assert sum(partition["batches_mended"] for partition in report["partitions"]) == 1


@case
def salvage_a_segment_that_is_gone_and_one_cut_short(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=True)
    first, last = segments(data)[0], segments(data)[-1]
    batch = len(wire.batch(damage.payload(0)))
    per_segment = first.stat().st_size // batch
    os.truncate(last, damage.known_length(data, last) - batch // 2)
    first.unlink()
    bring_back(folder, data, per_segment + 1, "is missing", "cut short")


@case
def salvage_says_that_a_damaged_index_is_nothing(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=True)
    for index in data.glob("*/*.index"):
        index.write_bytes(bytes(len(index.read_bytes())))
    assert salvage(data) == (0, f"{data}: nothing is damaged\n")
    with brokers.Weir(folder, arguments=damage.ARGUMENTS).start() as broker:
        assert len(read_all(broker)) == damage.RECORDS


@case
def salvage_rows_of_the_manifest(folder: pathlib.Path):
    for number, wrong in enumerate(("UPDATE segments SET next_offset = base_offset - 5", "DELETE FROM partitions",
                                    "UPDATE partitions SET epochs = x'0102'", "UPDATE partitions SET topic = x'00'")):
        place = folder / str(number)
        data = damage.prepare(place, orderly=True)
        with sqlite3.connect(data / "manifest.db") as database:
            database.create_function("row_hash", -1, lambda *values: 1, deterministic=True)
            database.execute(wrong)
        database.close()
        bring_back(place, data, 0)


@case
def salvage_a_chunk_of_the_write_ahead_log(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=True)
    checkpointed = sum(file.stat().st_size for file in segments(data)) // len(wire.batch(damage.payload(0)))
    wanted = damage.payload(checkpointed + 1)[:4000]
    for wal in sorted(data.glob("wal/*/*.wal")):
        at = wal.read_bytes().find(wanted)
        if at >= 0:
            flip(wal, at + 2000)
            break
    else:
        raise AssertionError(f"record {checkpointed + 1} is in no file of the write-ahead log")
    # A start finds the damage: the partition is offline, and its later records are kept until salvage asks for them.
    with brokers.Weir(folder, arguments=damage.ARGUMENTS).start() as broker:
        assert f"{damage.TOPIC}-0 (folder " in broker.log_path.read_text() and "is offline" in broker.log_path.read_text()
        broker.stop()
        shutil.copytree(data, folder / "copy")
    shutil.copytree(folder / "copy", data)
    bring_back(folder, data, 1, "marked offline")


@case
def salvage_without_a_file_of_the_write_ahead_log(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=False)
    checkpointed = sum(file.stat().st_size for file in segments(data)) // len(wire.batch(damage.payload(0)))
    files = sorted(data.glob("wal/*/*.wal"))
    victim = next(wal for wal in files if damage.payload(checkpointed + 1)[:4000] in wal.read_bytes())
    victim.unlink()
    status, said = salvage(data)
    assert status == 1 and "the file is gone" in said, said
    bring_back_without_the_newest(folder, data)


def bring_back_without_the_newest(folder: pathlib.Path, data: pathlib.Path) -> None:
    """The report says that the newest records may be lost. New offsets begin where the intact ones end."""
    status, said = salvage(data, "--apply", "--json")
    assert status == 0, said
    report = json.loads(said)
    lost = set()
    more = False
    for partition in report["partitions"]:
        if partition["topic"] == damage.TOPIC:
            more = partition["more_may_be_lost"]
            for each in partition["lost_offsets"]:
                lost |= set(range(each["first"], each["last"] + 1))
    with brokers.Weir(folder, arguments=damage.ARGUMENTS).start() as broker:
        found = read_all(broker)
        missing = set(range(damage.RECORDS)) - set(found)
        assert all(data == damage.payload(offset) for offset, data in found.items())
        assert missing == lost or (more and lost <= missing), (sorted(missing), sorted(lost), more)


@case
def salvage_names_partitions_that_lived_only_in_a_lost_file(folder: pathlib.Path):
    """As in a young broker. No offset is given twice, and who had read to the end goes on."""
    broker = brokers.Weir(folder, arguments=damage.ARGUMENTS).start()
    topics = ["a", "b", "c"]
    with wire.Client(broker.port) as client:
        for topic in topics:
            client.create_topic(topic)
            for number in range(5):
                assert client.produce(topic, wire.batch(damage.payload(number)[:100])) == (0, number)
    broker.kill()
    data = broker.folder / "data"
    for wal in data.glob("wal/*/*1.wal"):
        wal.unlink()
    status, said = salvage(data, "--apply", "--json")
    assert status == 0, said
    named = {one["topic"]: one["log_end_offset"] for one in json.loads(said)["partitions"] if one["more_may_be_lost"]}
    assert set(topics) <= set(named), said
    with brokers.Weir(folder, arguments=damage.ARGUMENTS).start() as broker, wire.Client(broker.port, 20) as client:
        for topic in topics:
            assert client.produce(topic, wire.batch(b"new")) == (0, named[topic])
            error, end, batches = client.fetch(topic, 5)
            assert error == 0 and end == named[topic] + 1 and batches, "who had read all goes on behind the loss"
            assert read_all(broker, topic) == {named[topic]: b"new"}


@case
def salvage_files_of_the_write_ahead_log_under_each_others_names(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=False, arguments=["--shards", "2", *damage.ARGUMENTS[2:]])
    one, other = sorted(data.glob("wal/*/*.wal"))[:2]
    aside = folder / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    bring_back(folder, data, 0, "it is read as that")


@case
def salvage_says_what_a_start_refuses(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=True)
    (data / "meta.properties").write_text("nonsense")
    before = contents(data)
    status, said = salvage(data)
    assert status == 1 and "nothing is damaged that weir log salvage mends" in said and "meta.properties" in said, said
    status, said = salvage(data, "--apply", "--json")
    report = json.loads(said)
    assert status == 1 and not report["intact"] and not report["applied"] and report["start"], said
    assert contents(data) == before


@case
def salvage_without_a_log_directory(folder: pathlib.Path):
    """The disk of a directory is lost: a start refuses and leaves no trace, the report names the lost records, the rest is served."""
    more = folder / "more"
    arguments = [*damage.ARGUMENTS, "--set", f"log.dirs={folder / 'weir' / 'data'},{more}"]
    topics = ["a", "b", "c", "d"]
    sent = damage.RECORDS // 2
    with_more = lambda: brokers.Weir(folder, arguments=arguments)
    broker = with_more().start()
    with wire.Client(broker.port) as client:
        for topic in topics:
            client.create_topic(topic)
            for number in range(sent):
                assert client.produce(topic, wire.batch(damage.payload(number))) == (0, number)
    broker.stop()
    home = broker.folder / "data"
    lost_segments = sorted(more.glob("*/*.log"))
    assert lost_segments and list(home.glob("*-0/*.log")), "both directories hold segments"
    aside = folder / "aside"
    more.rename(aside)
    before = contents(home)
    for place in ("gone", "empty"):
        if place == "empty":
            more.mkdir()
        refused = with_more()
        try:
            refused.start()
            raise AssertionError("it started without a log directory")
        except RuntimeError:
            pass
        log = refused.log_path.read_text()
        assert f"weir log salvage {home} --without {more}" in log and "nothing was changed" in log, log
        assert not more.exists() if place == "gone" else not list(more.iterdir()), "the start left something"
    more.rmdir()
    status, said = salvage(home)
    assert status == 1 and f"--without {more} gives it up" in said, said
    status, said = salvage(home, "--without", str(folder / "other"))
    assert status == 1 and f"no further log directory of this data folder, but {more}" in said, said
    aside.rename(more)
    status, said = salvage(home, "--without", str(more))
    assert status == 1 and "it is there" in said, said
    more.rename(aside)
    status, said = salvage(home, "--without", str(more))
    assert status == 1 and f"log directory {more}" in said and "is given up" in said and "Nothing was changed" in said, said
    assert {name: text for name, text in contents(home).items() if name.endswith(".log")} == \
        {name: text for name, text in before.items() if name.endswith(".log")}
    status, said = salvage(home, "--without", str(more), "--apply", "--json")
    assert status == 0, said
    report = json.loads(said)
    lost = {topic: set() for topic in topics}
    for partition in report["partitions"]:
        for each in partition["lost_offsets"]:
            lost[partition["topic"]] |= set(range(each["first"], each["last"] + 1))
    assert any(lost.values()) and not all(lost.values()), lost
    assert salvage(home) == (0, f"{home}: nothing is damaged\n")
    with brokers.Weir(folder, arguments=damage.ARGUMENTS).start() as broker:
        for topic in topics:
            found = read_all(broker, topic)
            assert set(found) == set(range(sent)) - lost[topic], f"{topic}: {sorted(found)} are read, {sorted(lost[topic])} were named"
            with wire.Client(broker.port) as client:
                error, offset = client.produce(topic, wire.batch(b"goes on"))
                assert error == 0 and offset >= sent, (error, offset)


@case
def salvage_refuses_while_a_broker_runs(folder: pathlib.Path):
    data = damage.prepare(folder, orderly=True)
    with brokers.Weir(folder, arguments=damage.ARGUMENTS).start():
        for arguments in ([], ["--apply"]):
            status, said = salvage(data, *arguments)
            assert status == 1 and "in use by a broker" in said, said
    (folder / "data").mkdir(exist_ok=True)
    status, said = salvage(folder / "data")
    assert status == 1 and "manifest.db is not there" in said, said
