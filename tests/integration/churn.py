#!/usr/bin/env python3
"""Clients that come, send a valid request and go again in every way, beside one that the broker must go on serving.

    churn.py [--minutes N] [--seed N] [--shards N]...

Without --minutes: every API in every version with every ending a few times, as `./dev test` runs it. With it: as long as that,
and half of the requests have bytes changed.
"""
import argparse
import os
import pathlib
import random
import socket
import struct
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import valid_requests  # noqa: E402
import wire  # noqa: E402
from harness import brokers  # noqa: E402

SHARDS = (2, 4)
WAIT_FOR_OTHERS = (11, 14)  # JoinGroup, SyncGroup; the others may have joined with changed time-outs
LEAVE_GROUP, NOT_SERVING = 13, (14, 15, 16)  # the errors of coordinators that load or are elsewhere
CLIENTS = 8
ROUNDS = int(os.environ.get("WEIR_TEST_CHURN_ROUNDS", "10"))
# Much longer than an answer takes, even from a broker with sanitizers.
ANSWER_SECONDS = 60
ENDINGS = ("answered", "closed at once", "closed a little later", "half closed", "reset", "reset a little later", "torn", "behind another")
# One member waits for another, or for data, no longer than that.
ARGUMENTS = ("--set", "group.min.session.timeout.ms=100")


class Canary(threading.Thread):
    """Produces, and reads back every acknowledged record, on one connection and now and then on a new one."""

    def __init__(self, port: int):
        super().__init__(daemon=True)
        self.port, self.acknowledged, self.slowest = port, 0, 0.0
        self.stop = threading.Event()
        self.fault: Exception | None = None

    def run(self):
        try:
            while not self.stop.is_set():
                with wire.Client(self.port, ANSWER_SECONDS) as client:
                    client.create_topic("canary")
                    for _ in range(50):
                        self.once(client)
                        if self.stop.is_set():
                            return
        except (OSError, AssertionError, KeyError, struct.error) as problem:
            self.fault = problem

    def once(self, client: wire.Client) -> None:
        began = time.monotonic()
        payload = b"record %d" % self.acknowledged
        error, offset = client.produce("canary", wire.batch(payload))
        assert (error, offset) == (0, self.acknowledged), f"Produce of record {self.acknowledged}: error {error}, offset {offset}"
        error, _, batches = client.fetch("canary", offset)
        found = dict(wire.payloads(batches)).get(offset)
        assert error == 0 and found == payload, f"Fetch of record {offset}: error {error}, {found}"
        self.acknowledged += 1
        self.slowest = max(self.slowest, time.monotonic() - began)


class Churn:
    def __init__(self, port: int, seed: int):
        self.port, self.seed = port, seed
        self.names = valid_requests.Names([f"churn-{i}" for i in range(6)], [f"group-{i}" for i in range(12)])
        self.served = valid_requests.served(port)
        self.lock = threading.Lock()
        self.sent = 0
        self.answered: dict[tuple[str, int], int] = {}
        self.faults: list[str] = []
        with wire.Client(port, ANSWER_SECONDS) as client:
            for name in self.names.topics:
                client.create_topic(name, 3)
        self.wait_for_coordinators()
        self.learn_ids()

    def wait_for_coordinators(self) -> None:
        """Requests about groups cross the shards only once the coordinators serve."""
        end = time.monotonic() + ANSWER_SECONDS
        with wire.Client(self.port, ANSWER_SECONDS) as client:
            client.coordinator("group-0")
            for group in self.names.groups:
                leave_group = wire.request(LEAVE_GROUP, 0, wire.text(group) + wire.text("nobody"))
                while struct.unpack_from(">h", client.ask(leave_group))[0] in NOT_SERVING:
                    assert time.monotonic() < end, "the coordinators do not serve"
                    time.sleep(0.01)

    def learn_ids(self) -> None:
        """Reads the ids of the present topics, by Metadata 10."""
        body = valid_requests.unsigned(len(self.names.topics) + 1)
        for name in self.names.topics:
            body += bytes(16) + valid_requests.unsigned(len(name) + 1) + name.encode() + b"\0"
        request = struct.pack(">hhi", wire.METADATA, 10, 1) + wire.text("churn") + b"\0" + body + b"\0\0\0\0"
        with wire.Client(self.port, ANSWER_SECONDS) as client:
            answer = client.ask(struct.pack(">i", len(request)) + request)
        ids = []
        for name in self.names.topics:
            at = answer.find(valid_requests.unsigned(len(name) + 1) + name.encode())
            if at >= 0:
                ids.append(answer[at + 1 + len(name):at + 17 + len(name)])
        self.names.ids = ids

    def rounds(self, count: int) -> None:
        """Sends every API and version with every ending, `count` times, in an order by the seed."""
        todo = [(m, v, ending) for m, v in self.served for ending in ENDINGS for _ in range(count)]
        random.Random(self.seed).shuffle(todo)
        self.work([iter(todo[i::CLIENTS]) for i in range(CLIENTS)], fuzz=False)
        missing = [f"{m.name} {v}" for m, v in self.served if not self.answered.get((m.name, v))]
        self.faults += [f"never answered: {', '.join(missing)}"] if missing else []

    def minutes(self, count: float) -> None:
        end = time.monotonic() + 60 * count

        def endless(chance):
            while time.monotonic() < end:
                yield *chance.choice(self.served), chance.choice(ENDINGS)

        self.work([endless(random.Random(self.seed * 1000 + 500 + i)) for i in range(CLIENTS)], fuzz=True)

    def work(self, todo, fuzz: bool) -> None:
        clients = [threading.Thread(target=self.client, args=(number, each, fuzz), daemon=True) for number, each in enumerate(todo)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()

    def client(self, number: int, todo, fuzz: bool) -> None:
        chance = random.Random(self.seed * 1000 + number)
        done = 0
        for message, version, ending in todo:
            if self.faults:
                return
            if number == 0 and done % 500 == 499:
                self.learn_ids()
            done += 1
            changed = fuzz and chance.random() < 0.5
            if ending == "answered" and (changed or (fuzz and message.api_key in WAIT_FOR_OTHERS)):
                ending = "answered or not"
            try:
                self.ask(message, version, ending, chance, changed)
            except OSError as problem:
                with self.lock:
                    self.faults.append(f"{message.name} {version}, {ending}: {type(problem).__name__}: {problem}")
                return

    def ask(self, message, version: int, ending: str, chance: random.Random, changed: bool) -> None:
        correlation = chance.getrandbits(31)
        whole = valid_requests.frame(message, version, self.names, chance, correlation)
        if changed:
            whole = mutate(whole, chance)
        with self.lock:
            self.sent += 1
        with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS) as connection:
            if ending == "answered":
                connection.sendall(whole)
                if valid_requests.expects_answer(message, version, whole):
                    self.take_answer(message, version, connection, correlation)
                return
            try:
                leave(connection, whole, ending, chance)
            except TimeoutError:
                raise
            except OSError:
                pass  # the broker may close first, and say so by a reset

    def take_answer(self, message, version: int, connection: socket.socket, correlation: int) -> None:
        with connection.makefile("rb") as answer:
            head = answer.read(8)
            # The broker answers a request that cannot be right in its version by closing the connection.
            if len(head) < 8:
                return
            size, got = struct.unpack(">ii", head)
            if got != correlation or len(answer.read(size - 4)) != size - 4:
                raise ConnectionError(f"not the answer to this request: correlation id {got} of {correlation}, {size} bytes")
        with self.lock:
            self.answered[message.name, version] = self.answered.get((message.name, version), 0) + 1


def leave(connection: socket.socket, whole: bytes, ending: str, chance: random.Random) -> None:
    if ending == "torn":
        connection.sendall(whole[:chance.randrange(1, len(whole))])
        return
    connection.sendall(whole * 3 if ending == "behind another" else whole)
    if ending.endswith("later"):
        # Answers cross the shards within this.
        time.sleep(chance.random() * 0.002)
    if ending.startswith("reset"):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # A changed request may ask for a wait of days. The broker notices within seconds that nobody waits any more.
    if ending in ("half closed", "answered or not"):
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


def mutate(whole: bytes, chance: random.Random) -> bytes:
    """Changes, removes or adds bytes behind the API key and version. The length is right again."""
    body = bytearray(whole[8:])
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(body)) if body else 0
        kind = chance.randrange(5)
        if kind == 0 and body:
            body[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            body[at:at + 4] = chance.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4), b"\0\0\xff\xff"))
        elif kind == 2:
            del body[at:]
        elif kind == 3:
            body[at:at] = chance.randbytes(chance.choice((1, 4, 100)))
        else:
            del body[at:at + chance.randrange(1, 9)]
    return struct.pack(">i", 4 + len(body)) + whole[4:8] + bytes(body)


def churn(folder: pathlib.Path, shards: int, seed: int, minutes: float | None) -> str:
    with brokers.Weir(folder, arguments=["--shards", str(shards), *ARGUMENTS]).start() as broker:
        canary = None
        try:
            clients = Churn(broker.port, seed)
            canary = Canary(broker.port)
            canary.start()
            if minutes is None:
                clients.rounds(ROUNDS)
            else:
                clients.minutes(minutes)
            canary.stop.set()
            canary.join(ANSWER_SECONDS)
            assert broker.process.poll() is None, f"the broker ended with status {broker.process.returncode}"
            of_canary = f"the canary after {canary.acknowledged} records: {canary.fault}"
            assert not clients.faults, "; ".join(clients.faults[:3] + [of_canary])
            assert canary.fault is None, of_canary
            assert canary.acknowledged > 0, "the canary was never served"
            broker.stop()
        except (AssertionError, OSError):
            broker.process.poll()
            print(f"seed {seed}; the broker's status: {broker.process.returncode}\n{broker.log_tail()}", flush=True)
            raise
        return (f"{clients.sent} requests of {len(clients.served)} APIs and versions, {canary.acknowledged} records of the canary, "
                f"the slowest {canary.slowest:.1f} s")


def case(shards: int):
    return f"churn with {shards} shards", lambda folder: churn(folder, shards, 1, None)


CASES = [case(each) for each in SHARDS]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev churn", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, help="for each number of shards; half of the requests are changed then")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--shards", type=int, action="append", help="2 and 4 if not given")
    arguments = parser.parse_args()
    failed = 0
    for shards in arguments.shards or SHARDS:
        print(f"churn with {shards} shards, seed {arguments.seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="weir-churn-") as place:
            try:
                print(f"ok: {churn(pathlib.Path(place), shards, arguments.seed, arguments.minutes)}", flush=True)
            except (AssertionError, OSError, RuntimeError) as problem:
                failed += 1
                print(f"FAILED: {type(problem).__name__}: {problem}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
