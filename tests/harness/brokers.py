"""Weir and Apache Kafka as child processes with the same interface.

A broker owns its folder below `folder`; start() after stop() or kill() serves the same data again.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

from . import maven

ROOT = maven.ROOT
WEIR = pathlib.Path(os.environ.get("WEIR_BINARY", ROOT / "build/release/bin/weir")).absolute()
START_SECONDS_MAX = 120
# A supervisor kills a broker that takes longer to stop. Weir stops waiting after 4 s. A broker with sanitizers is slower.
WEIR_STOP_SECONDS_MAX = float(os.environ.get("WEIR_TEST_STOP_SECONDS", "5"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def announced_apis(port: int) -> set[int]:
    """Returns the keys of the APIs that ApiVersions names. Empty if there is no answer."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                (size,) = struct.unpack(">i", answer.read(4))
                body = answer.read(size)
                (count,) = struct.unpack(">i", body[6:10])
                return {struct.unpack_from(">h", body, 10 + 6 * i)[0] for i in range(count)}
    except (OSError, struct.error):
        return set()


class Broker:
    """A process with a port. Subclasses spawn it."""

    name = "broker"
    stop_seconds_max = 60
    statuses_after_stop: tuple[int, ...] | None = None  # any

    def __init__(self, folder: pathlib.Path, cores: str | None = None):
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cores = cores
        self.process: subprocess.Popen | None = None
        self.port = 0
        self.start_seconds = 0.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def pinned(self, command: list[str]) -> list[str]:
        return ["taskset", "-c", self.cores, *command] if self.cores else command

    def start(self) -> "Broker":
        """Returns when the first ApiVersions request is answered. start_seconds is the time from the spawn."""
        started = time.monotonic()
        self.spawn()
        while not (self.port and announced_apis(self.port)):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() - started > START_SECONDS_MAX:
                raise RuntimeError(f"{self.name} does not answer:\n{self.log_tail()}")
            time.sleep(0.001)
        self.start_seconds = time.monotonic() - started
        return self

    def spawn(self) -> None:
        raise NotImplementedError

    @property
    def log_path(self) -> pathlib.Path:
        return self.folder / "log.txt"

    def log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-2000:]

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Stops the broker in order. It has to end in time and with a status of success."""
        if not self.process:
            return
        if (status := self.process.poll()) is not None:
            if status < 0 and status != -signal.SIGKILL:
                raise RuntimeError(f"{self.name} was ended by signal {-status} before:\n{self.log_tail()}")
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(by)
        try:
            status = self.process.wait(self.stop_seconds_max)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"{self.name} did not stop within {self.stop_seconds_max} s of {by.name}:\n"
                               f"{self.log_tail()}") from None
        if self.statuses_after_stop is not None and status not in self.statuses_after_stop:
            raise RuntimeError(f"{self.name} ended with status {status} after {by.name}:\n{self.log_tail()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        """Stops the broker and deletes its data."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Broker":
        return self

    def __exit__(self, *_) -> None:
        self.remove()

    def status_kb(self, field: str) -> int:
        """Returns a value of /proc/PID/status: VmRSS, VmHWM and the like."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise KeyError(field)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def sockets(self) -> int:
        count = 0
        for number in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                count += os.readlink(f"/proc/{self.pid}/fd/{number}").startswith("socket:")
            except FileNotFoundError:  # closed meanwhile
                pass
        return count

    def disk_read_bytes(self) -> int:
        for line in pathlib.Path(f"/proc/{self.pid}/io").read_text().splitlines():
            if line.startswith("read_bytes:"):
                return int(line.split()[1])
        raise KeyError("read_bytes")


class Weir(Broker):
    """The weir binary. `arguments` go to `weir serve`. Without --listeners among them the broker takes one free port, and keeps it. The
    flush policy is the default: acknowledged means on disk."""

    name = "weir"
    flush_policy = "on disk before the answer (its default)"
    stop_seconds_max = WEIR_STOP_SECONDS_MAX
    statuses_after_stop = (0,)

    def __init__(self, folder: pathlib.Path, cores: str | None = None, arguments: list[str] = (), ephemeral: bool = False,
                 environment: dict[str, str] | None = None, open_files: int = 0):
        super().__init__(folder, cores)
        self.open_files = open_files
        self.environment = os.environ | (environment or {})
        self.arguments = list(arguments)
        self.ephemeral = ephemeral
        self.ready: dict = {}

    def spawn(self) -> None:
        if not WEIR.exists():
            raise maven.Unavailable(f"{WEIR} is not built")
        data = ["--ephemeral"] if self.ephemeral else ["--data-dir", str(self.folder / "data")]
        if any(argument.startswith("log.dirs=") for argument in self.arguments):
            data = []
        ours, theirs = os.pipe()
        where = [] if "--listeners" in self.arguments else ["--listeners", f"PLAINTEXT://127.0.0.1:{self.port}"]
        http = [] if "--http" in self.arguments else ["--http", "off"]
        command = self.pinned([str(WEIR), "serve", *data, *where, *http, "--ready-fd", str(theirs), *self.arguments])
        if self.open_files:
            command = ["prlimit", f"--nofile={self.open_files}", *command]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, pass_fds=[theirs],
                                            env=self.environment)
        os.close(theirs)
        with os.fdopen(ours) as ready:
            line = ready.readline()
        if line:
            self.ready = json.loads(line)
            self.port = self.ready["listeners"][0]["bound"]["port"]


class Kafka(Broker):
    """Apache Kafka, one KRaft node. Raises maven.Unavailable if it cannot be fetched."""

    name = "kafka"

    def __init__(self, folder: pathlib.Path, cores: str | None = None, settings: dict[str, str] | None = None,
                 flush_each: bool = False):
        super().__init__(folder, cores)
        self.class_path = maven.class_path(ROOT / "benchmarks/kafka/pom.xml")
        self.port = free_port()
        self.flush_policy = "fsync on every append" if flush_each else "page cache (its default)"
        self.settings = {
            "process.roles": "broker,controller", "node.id": "1", "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1", "group.initial.rebalance.delay.ms": "0",
        }
        if flush_each:
            self.settings["log.flush.interval.messages"] = "1"
        self.settings |= settings or {}

    def java(self, *arguments: str) -> list[str]:
        return ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-cp", self.class_path, *arguments]

    def spawn(self) -> None:
        properties = self.folder / "server.properties"
        if not properties.exists():
            controller = free_port()
            self.settings |= {
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            }
            properties.write_text("".join(f"{key}={value}\n" for key, value in self.settings.items()))
            subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", str(properties)),
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.pinned(self.java("kafka.Kafka", str(properties))), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
