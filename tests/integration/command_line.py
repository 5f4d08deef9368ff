"""The program as people start, ask and stop it: exit codes, messages, signals, `weir log verify`, `./dev serve`."""
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.request

import damage
import hostile
import wire
from harness import brokers

CASES = []
FAILED, WRONG = 1, 2


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


def weir(*arguments, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Runs the program. Returns its exit code and its output."""
    done = subprocess.run([str(brokers.WEIR), *map(str, arguments)], env=os.environ | (environment or {}), timeout=30,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def expect(status: int, words: tuple[str, ...], *arguments, environment: dict[str, str] | None = None) -> None:
    code, said = weir(*arguments, environment=environment)
    assert code == status, f"weir {arguments}: status {code}, not {status}\n{said}"
    for word in words:
        assert word in said, f"weir {arguments}: '{word}' is not in\n{said}"


@case
def what_is_wrong_is_said_and_told_by_the_exit_code(folder: pathlib.Path):
    serve = ["serve", "--data-dir", folder / "data", "--listeners", "PLAINTEXT://127.0.0.1:0", "--http", "off"]
    expect(WRONG, ("cannot read --config", "Is a directory"), *serve, "--config", folder)
    expect(WRONG, ("cannot read --config", "No such file"), *serve, "--config", folder / "none")
    broken = folder / "broken.properties"
    broken.write_text("num.partitions=x\nnode.id 1\nno.such.key=1\n")
    expect(WRONG, ("line 1: ", "line 3: "), *serve, "--config", broken)
    for wrong, word in ((["--topic", "bad name"], "bad name"), (["--topic", "a:0"], "a:0"), (["--set", "no.such=1"], "no.such"),
                        (["--topic", "a:2", "--topic", "a:3"], "given twice"), (["--set", "node.id=x"], "node.id"),
                        (["--advertised-listeners", "OTHER://h:1"], "OTHER")):
        expect(WRONG, (word,), *serve, *wrong)
    for listeners in ("nonsense", "SSL://127.0.0.1:0", "PLAINTEXT://127.0.0.1:99999"):
        expect(WRONG, (listeners.rpartition("/")[2].split(":")[0],) if listeners == "nonsense" else (), "serve", "--ephemeral",
               "--http", "off", "--listeners", listeners)
    expect(WRONG, ("http.listener",), "serve", "--ephemeral", "--http", "nonsense")
    assert not (folder / "data").exists(), "a start with wrong settings left something behind"
    expect(FAILED, ("TMPDIR",), "serve", "--ephemeral", "--http", "off", environment={"TMPDIR": "/nonexistent"})
    expect(WRONG, ("'bogus'",), "bogus")
    expect(WRONG, ("weir serve: --shards: '300' is not a number from 0 to 256 (weir serve --help)",), *serve, "--shards", "300")
    expect(WRONG, ("--ready-fd 99: this descriptor is not open",), *serve, "--ready-fd", "99")
    with open(os.devnull) as only_read:
        done = subprocess.run([str(brokers.WEIR), *map(str, serve), "--ready-fd", str(only_read.fileno())], timeout=30,
                              pass_fds=[only_read.fileno()], capture_output=True, text=True)
        assert done.returncode == WRONG and "is not open for writing" in done.stderr, done
    expect(WRONG, ("weir log import: say where the new data folder goes",), "log", "import", folder)
    expect(FAILED, ("none does not exist",), "log", "salvage", folder / "none")
    expect(FAILED, ("none does not exist",), "log", "dump", folder / "none")
    old = folder / "old.properties"
    old.write_text("zookeeper.connect=localhost:2181\nport=9092\n")
    code, said = weir(*serve, "--config", old)
    assert code == WRONG and "'port' was a setting of Apache Kafka before version 4" in said, said
    assert len(said.splitlines()) == 2 and all(line.startswith(f"weir: {old}, line ") for line in said.splitlines()), said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ephemeral = ["serve", "--ephemeral", "--listeners", "PLAINTEXT://127.0.0.1:0"]
        expect(FAILED, ("http.listener", address), *ephemeral, "--http", address)
        expect(FAILED, ("http.listener", address), *ephemeral, "--set", f"http.listener={address}")
    expect(0, ("serve",), "help")
    expect(0, ("weir ",), "--version")


@case
def every_way_to_end_it_is_orderly(folder: pathlib.Path):
    place = folder / "tmp"
    place.mkdir()
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        broker = brokers.Weir(folder, ephemeral=True, environment={"TMPDIR": str(place)}).start()
        with wire.Client(broker.port) as client:
            client.create_topic("quiet")
            client.socket.sendall(wire.fetch_request("quiet", 0, wait_ms=600_000))
            assert list(place.iterdir()), "the temporary folder is somewhere else"
            broker.stop(ending)
        assert not list(place.iterdir()), f"{ending.name}: the temporary folder stays"


@case
def what_a_killed_one_left_goes_with_the_next_start(folder: pathlib.Path):
    place = folder / "tmp"
    place.mkdir()
    environment = {"TMPDIR": str(place)}
    alive = brokers.Weir(folder / "a", ephemeral=True, environment=environment).start()
    killed = brokers.Weir(folder / "b", ephemeral=True, environment=environment).start()
    of_alive_and_killed = set(place.iterdir())
    assert len(of_alive_and_killed) == 2
    killed.process.kill()
    killed.process.wait()
    removes = brokers.Weir(folder / "c", ephemeral=True, environment=environment).start()
    deadline = time.monotonic() + 30
    while "Removed 1 temporary folder of --ephemeral brokers" not in removes.log_path.read_text():
        assert time.monotonic() < deadline, removes.log_tail()
        time.sleep(0.02)
    assert "is ready" in removes.log_path.read_text().split("Removed 1")[0], "clients waited for it"
    removes.stop()
    left = set(place.iterdir())
    assert len(left) == 1 and left < of_alive_and_killed, f"{left} is left of {of_alive_and_killed}"
    with wire.Client(alive.port) as client:
        client.create_topic("still-there")
    alive.stop()
    assert not list(place.iterdir())


@case
def with_json_every_line_is_an_object(folder: pathlib.Path):
    arguments = ["--set", "log.format=json", "--topic", "a:2"]
    with brokers.Weir(folder, arguments=arguments).start() as broker:
        hostile_id = b"x\n\x1b[2J\xff\xc2\x9b' deleted by 'root"
        with wire.Client(broker.port) as client:
            client.create_topic("made-by-hand")
            group = wire.text("g") + struct.pack(">ii", 10000, 10000) + wire.text("") + wire.text("consumer")
            body = group + struct.pack(">i", 1) + wire.text("range") + struct.pack(">i", 0)
            client.coordinator("g")
            error = 14
            while error in (14, 15, 16):  # the group's partition is being loaded
                (error,) = struct.unpack_from(">h", client.ask(with_client_id(11, 2, hostile_id, body)), 4)  # JoinGroup
            assert error == 0, error
        second = brokers.Weir(folder / "second", arguments=[*arguments, "--listeners", f"PLAINTEXT://127.0.0.1:{broker.port}"])
        second.spawn()
        assert second.process.wait(30) == FAILED
        broker.stop()
        for log, events in ((broker.log_path, ("is ready", "Topic 'made-by-hand'", "joins", "Signal 15", "Stopped cleanly")),
                            (second.log_path, (str(broker.port),))):
            lines = log.read_text(errors="strict").split("\n")
            messages = [json.loads(line)["message"] for line in lines if line]
            for event in events:
                assert any(event in message for message in messages), f"{event} is in none of {messages}"


def with_client_id(key: int, version: int, client_id: bytes, body: bytes) -> bytes:
    frame = struct.pack(">hhih", key, version, 1, len(client_id)) + client_id + body
    return struct.pack(">i", len(frame)) + frame


@case
def the_banner_is_true(folder: pathlib.Path):
    arguments = ["--listeners", "PLAINTEXT://[::1]:0", "--http", "[::1]:0", "--topic", "a:2", "--topic", "b:1"]
    if not pathlib.Path("/proc/net/if_inet6").exists() or not pathlib.Path("/proc/net/if_inet6").read_text():
        arguments = [each.replace("[::1]", "127.0.0.1") for each in arguments]
    broker = brokers.Weir(folder, arguments=arguments)
    broker.spawn()
    try:
        http, listener = broker.ready["http"], broker.ready["listeners"][0]["bound"]
        hostile.wait_for(lambda: "  try  " in broker.log_path.read_text(), 10, "there is no banner")
        log = broker.log_path.read_text()
        for address, before in ((http, "http://"), (listener, "PLAINTEXT://"), (listener, "kcat -b ")):
            host = f"[{address['host']}]" if ":" in address["host"] else address["host"]
            assert f"{before}{host}:{address['port']}" in log, log
        assert "2 topics)" in log, log
        broker.stop()
        broker.arguments[-3] = "a:5"
        broker.log_path.unlink()
        broker.spawn()
        assert "--topic a: the topic exists with 2 partitions" in broker.log_path.read_text(), broker.log_tail()
    finally:
        broker.remove()


@case
def a_start_tells_the_service_manager_and_what_is_ignored(folder: pathlib.Path):
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        broker = brokers.Weir(folder, ephemeral=True, arguments=["--http", "127.0.0.1:0", "--listeners", "PLAINTEXT://0.0.0.0:0"],
                              environment={"NOTIFY_SOCKET": str(path), "KAFKA_NUM_PARTITIONS": "3"})
        broker.spawn()
        try:
            assert manager.recv(1000).startswith(b"READY=1"), "the service manager was told something else"
            http = broker.ready["http"]
            with urllib.request.urlopen(f"http://{http['host']}:{http['port']}/", timeout=30) as answer:
                index = answer.read().decode()
            for endpoint in ("/health", "/ready", "/metrics"):
                assert endpoint in index, index
            log = broker.log_path.read_text()
            assert "KAFKA_NUM_PARTITIONS (num.partitions)" in log and "open to every network" in log, log
            broker.stop()
            assert manager.recv(1000) == b"STOPPING=1"
        finally:
            broker.remove()


def verify(folder: pathlib.Path, status: int, *words: str) -> None:
    expect(status, words, "log", "verify", folder)


@case
def verify_finds_files_that_are_gone_or_cut_short(folder: pathlib.Path):
    data = damage.prepare(folder / "whole", orderly=True)
    verify(data, 0, "intact")
    before = sorted((file, file.stat().st_mtime_ns, file.stat().st_size) for file in data.rglob("*"))
    verify(data, 0)
    assert before == sorted((file, file.stat().st_mtime_ns, file.stat().st_size) for file in data.rglob("*")), "not only read"
    segments = sorted(data.glob("*/*.log"))
    assert len(segments) > 1, segments
    for segment in (segments[0], segments[-1]):
        whole = segment.read_bytes()
        os.truncate(segment, damage.known_length(data, segment) - 1)
        verify(data, 1, "cut short", segment.name)
        segment.rename(folder / "away")
        verify(data, 1, "MISSING", segment.name)
        (folder / "away").rename(segment)
        segment.write_bytes(whole)
        # Bytes behind the length in the manifest are no part of the log.
        segment.write_bytes(whole + b"left over")
        verify(data, 0)
        segment.write_bytes(whole)
    (segments[0].parent / ("0" * 20 + ".7.log")).write_bytes(b"of a checkpoint that did not end")
    verify(data, 0)
    for wal in sorted(data.glob("wal/*/*.wal")):
        size = wal.stat().st_size
        shutil.copy(wal, folder / "copy")
        os.truncate(wal, size - 4096)
        verify(data, 1, "cut short", wal.name)
        shutil.copy(folder / "copy", wal)
    verify(data, 0)
    os.rename(data / "manifest.db", folder / "manifest.db")
    verify(data, 1, "manifest.db: MISSING")


def verify_json(folder: pathlib.Path, status: int) -> list[dict]:
    done = subprocess.run([str(brokers.WEIR), "log", "verify", "--json", str(folder)], timeout=60, capture_output=True, text=True)
    assert done.returncode == status and not done.stderr, done
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["type"] for one in said].count("verdict") == 1 and said[-1]["type"] == "verdict", said
    files, problems = [one for one in said if one["type"] == "file"], [one for one in said if one["type"] == "problem"]
    verdict = said[-1]
    assert verdict["intact"] == (status == 0) and verdict["files"] == len(files) and verdict["problems"] == len(problems), said
    assert verdict["damaged_files"] == sum(one["state"] != "intact" for one in files), said
    return said


@case
def verify_tells_programs_all_of_it(folder: pathlib.Path):
    data = damage.prepare(folder / "whole", orderly=True)
    segments = [one for one in verify_json(data, 0) if one["type"] == "file" and one["path"].endswith(".log")]
    of_topic = [one for one in segments if one["topic"] == damage.TOPIC]
    assert sum(one["records"] for one in of_topic) == of_topic[-1]["next_offset"], of_topic
    assert all(one["batches"] > 0 and one["bytes"] > 0 for one in of_topic), of_topic
    gone = pathlib.Path(of_topic[0]["path"])
    gone.rename(folder / "away")
    problems = [one for one in verify_json(data, 1) if one["type"] == "problem"]
    assert (problems[0]["kind"], problems[0]["path"]) == ("missing", str(gone)) and "offsets 0 to" in problems[0]["text"], problems
    (folder / "away").rename(gone)
    damage.flip(lambda size: 5000)(gone)
    damaged = [one for one in verify_json(data, 1) if one.get("path") == str(gone)]
    assert damaged[0]["state"] == "damaged" and damaged[0]["damaged_batches"] == 1, damaged
    damage.flip(lambda size: 5000)(gone)
    (data / "meta.db").rename(folder / "away")
    assert [one["kind"] for one in verify_json(data, 1) if one["type"] == "problem"] == ["refused"]
    (folder / "away").rename(data / "meta.db")
    assert verify_json(folder / "none", 1)[0]["text"].endswith("does not exist")


@case
def a_copy_that_went_into_the_folder_is_seen(folder: pathlib.Path):
    data = damage.prepare(folder / "whole", orderly=True)
    parent = folder / "weir"
    (parent / "lost+found").mkdir(parents=True)
    shutil.copytree(data, parent / "weir-2026-01-31")
    serve = ["serve", "--data-dir", parent, "--listeners", "PLAINTEXT://127.0.0.1:0", "--http", "off"]
    for command in (serve, ["log", "salvage", parent]):
        expect(FAILED, (f"{parent}/weir-2026-01-31 in it is one",), *command)
    assert sorted(file.name for file in parent.iterdir()) == ["lost+found", "weir-2026-01-31"]
    assert f"{parent}/weir-2026-01-31 is one" in weir("log", "verify", parent)[1]


@case
def paths_are_told_absolute(folder: pathlib.Path):
    reading, writing = os.pipe()
    process = subprocess.Popen([str(brokers.WEIR), "serve", "--data-dir", "./d/", "--listeners", "PLAINTEXT://127.0.0.1:0", "--http",
                                "off", "--ready-fd", str(writing)], cwd=folder, pass_fds=[writing], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    os.close(writing)
    try:
        with os.fdopen(reading) as ready:
            assert json.loads(ready.readline())["data_dir"] == str(folder / "d")
        said = ""
        while "try " not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        assert f"data       {folder / 'd'} (" in said, said
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


@case
def verify_finds_what_serve_would_refuse(folder: pathlib.Path):
    data = damage.prepare(folder / "whole", orderly=True)
    aside = folder / "aside"

    def without(file: pathlib.Path, *words: str) -> None:
        file.rename(aside)
        verify(data, 1, *words)
        aside.rename(file)

    without(data / "meta.db", "would refuse it", "meta.db is gone")
    without(data / "meta.properties", "MISSING: no meta.properties")
    noted = damage.noted_wal_files(data)
    assert noted, "a log without a file"
    for wal in noted:
        without(wal, "would refuse it", "are gone", wal.name)
    properties = data / "meta.properties"
    whole = properties.read_text()
    properties.write_text(whole.replace("weir.format.version=1", "weir.format.version=99"))
    verify(data, 1, "newer version of Weir")
    properties.write_text(whole)
    partition = sorted(data.glob("*/*.log"))[0].parent
    (data / "offline").mkdir(exist_ok=True)
    (data / "offline" / partition.name).write_text("a test says so")
    verify(data, 1, f"{damage.TOPIC}-0 (folder {partition.name}) is offline", "a test says so")
    (data / "offline" / partition.name).unlink()
    verify(data, 0, f"({damage.TOPIC}-0): ")


@case
def verify_stays_in_its_folder(folder: pathlib.Path):
    (folder / "empty").mkdir()
    verify(folder / "empty", 1, "there is no log")
    verify(folder / "none", FAILED, "none does not exist")
    verify(brokers.ROOT / "README.md", WRONG, "neither a segment file")
    outside = folder / "outside"
    outside.mkdir()
    (outside / ("0" * 20 + ".log")).write_bytes(b"garbage")
    data = damage.prepare(folder / "whole", orderly=True)
    (data / "link").symlink_to(outside)
    (data / "around").symlink_to(data)
    (data / "self").symlink_to("self")
    (data / ("1" * 20 + ".log")).symlink_to(outside / ("0" * 20 + ".log"))
    verify(data, 0, "intact")
    with brokers.Weir(folder / "whole", arguments=damage.ARGUMENTS).start():
        expect(0, ("in use by a broker",), "log", "verify", data)


@case
def verify_of_a_folder_in_use_judges_what_manifests_hold(folder: pathlib.Path):
    data = damage.prepare(folder / "whole", orderly=True)
    segment = sorted(data.glob("*/*.log"))[0]
    whole = segment.read_bytes()
    with brokers.Weir(folder / "whole", arguments=damage.ARGUMENTS).start():
        # As a checkpoint leaves them halfway: bytes behind a segment, and a segment that no manifest names yet.
        segment.write_bytes(whole + b"half a batch" * 100)
        new = segment.with_name("9" * 19 + "0.log")
        new.write_bytes(b"half a batch" * 100)
        expect(0, ("in use by a broker", "intact"), "log", "verify", data)
        with segment.open("r+b") as file:
            file.seek(len(whole) // 2)
            byte = file.read(1)[0]
            file.seek(len(whole) // 2)
            file.write(bytes([byte ^ 0xff]))
        expect(1, ("in use by a broker", "DAMAGED", segment.name), "log", "verify", data)


@case
def dev_tells_its_help_without_a_build(folder: pathlib.Path):
    (folder / "bin").mkdir()
    for name in ("cmake", "ninja", "dpkg-query", "apt-get", "sudo", "npm", "go", "mvn", "pip"):
        stub = folder / "bin" / name
        stub.write_text(f'#!/bin/sh\necho "$0" >>{folder}/called\n')
        stub.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    for command in ("serve", "build", "test", "lint", "tidy", "format", "bench", "crash", "churn", "simulate", "compat", "fuzz",
                    "package", "clean"):
        done = subprocess.run([brokers.ROOT / "dev", command, "--help"], cwd=folder, env=environment, timeout=30,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0 and "usage" in done.stdout.lower(), (command, done)
        assert not (folder / "called").exists(), f"{command}: {(folder / 'called').read_text()}"


@case
def dev_serve_leaves_to_others_what_they_say(folder: pathlib.Path):
    for name, text in (("bin/cmake", "exit 0"), ("bin/dpkg-query", "exit 0"), ("bin/apt-get", "exit 0"), ("bin/sudo", "exit 0"),
                       ("build/release/bin/weir", 'printf "%s " "$@"')):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    shutil.copy(brokers.ROOT / "dev", folder / "dev")
    (folder / "CMakePresets.json").touch()
    (folder / "build/release/build.ninja").touch()
    config = folder / "server.properties"

    def added(*arguments: str) -> set[str]:
        said = subprocess.run([folder / "dev", "serve", *arguments], cwd=folder, capture_output=True, text=True, timeout=30,
                              env=os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"})
        words = said.stdout.split()
        assert words[:1 + len(arguments)] == ["serve", *arguments], said
        return set(words[1 + len(arguments):]) & {"--data-dir", "--listeners"}

    both = {"--data-dir", "--listeners"}
    assert added() == both
    assert added("--topic", "listeners:1", "--verbose") == both
    assert added("--data-dir", "d") == added("--data-dir=d") == added("--ephemeral") == {"--listeners"}
    assert added("--listeners", "x") == added("--listeners=x") == added("--set", "listeners=x") == {"--data-dir"}
    assert added("--set=log.dirs=/d", "--set", "listeners=x") == added("--set", "log.dir=/d", "--listeners=x") == set()
    for text, expected in (("num.partitions=1\n#listeners=x\nadvertised.listeners=y\nlog.dirs.not=1\n", both),
                           ("a=b\n listeners = x\n", {"--data-dir"}), ("log.dirs /d\n", {"--listeners"}),
                           ("listeners:x\nlog.dir=/d", set())):
        config.write_text(text)
        assert added("--config", str(config)) == added(f"--config={config}") == expected, text
