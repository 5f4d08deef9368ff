"""Kills the broker with SIGKILL while clients write, starts it on the same data, and reads everything back.

Every acknowledged record must be there, at its offset, and no other record may stand at that offset. An idempotent producer sends
records without an acknowledgement again: each record must be there once. With --minutes, rounds take turns with simulated power
cuts, from a new seed each time.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from harness import brokers  # noqa: E402

LOAD = ROOT / "build/release/bin/weir_load"
SIMULATION = ROOT / "build/release/bin/weir_simulation"
PARTITIONS = 4
# Small batches test the log's group commit, large ones its segments. The idempotent producer goes on after the crash.
SHAPES = [("small", 1, 100, 0), ("middle", 20, 500, 0), ("large", 500, 1000, 0), ("idempotent", 7, 200, 100)]


def load(broker: brokers.Broker, workload: str, **options) -> subprocess.Popen:
    words = [str(LOAD), workload, "--broker", broker.address]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check(broker: brokers.Broker, acked: dict[str, dict[str, int]]) -> int:
    """Reads all partitions of all topics. Returns the number of their records."""
    records = 0
    for topic, partitions in acked.items():
        for partition, count in partitions.items():
            reader = load(broker, "check", topic=topic, partition=partition, acked=count)
            out, said = reader.communicate(timeout=300)
            if reader.returncode != 0:
                raise AssertionError(said.strip())
            records += json.loads(out)["records"]
    return records


def one_round(broker: brokers.Broker, chance: random.Random, acked: dict[str, dict[str, int]]) -> str:
    writers = [(name, more, load(broker, "acked", topic=name, partitions=PARTITIONS, batch_records=batch, record_bytes=size,
                                 more=more)) for name, batch, size, more in SHAPES]
    time.sleep(chance.uniform(0.2, 2.5))
    broker.kill()
    broker.start()
    once = {}
    for name, more, writer in writers:
        out, said = writer.communicate(timeout=120)
        if writer.returncode != 0 or "acknowledged at" in said:
            raise AssertionError(f"{name}: {said.strip()}")
        acked[name] = json.loads(out)
        if more:
            once[name] = sum(acked[name].values())
    records = check(broker, acked)
    for name, count in once.items():
        found = check(broker, {name: acked[name]})
        if found != count:
            raise AssertionError(f"{name}: {found} records, though {count} were sent until each was acknowledged")
    return f"{records} records, served after {broker.start_seconds * 1000:.0f} ms"


def power_cuts(seed: int) -> str:
    """One seed of each scenario in simulation, the plug pulled at some of its writes."""
    command = [str(SIMULATION), "--scenario", "all", "--seed", str(seed), "--every", "3"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout[-3000:]}")
    return f"power cuts of seed {seed}: {done.stdout.strip().splitlines()[-1]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=10)
    parser.add_argument("--minutes", type=float, help="as many rounds as begin in this time")
    parser.add_argument("--seed", type=int, help="of the kills and power cuts (default: 1; with --minutes any)")
    args = parser.parse_args()
    if args.seed is None:
        args.seed = random.randrange(1 << 31) if args.minutes else 1
        print(f"--seed {args.seed}", flush=True)
    chance = random.Random(args.seed)
    passed = failed = number = 0
    end = time.monotonic() + 60 * args.minutes if args.minutes else None
    acked: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory(prefix="weir-crash-") as place:
        with brokers.Weir(pathlib.Path(place)).start() as broker:
            while not failed and (time.monotonic() < end if end else number < args.rounds):
                number += 1
                try:
                    print(f"round {number}: {one_round(broker, chance, acked)}", flush=True)
                    passed += 1
                    if end:
                        print(f"round {number}: {power_cuts(chance.randrange(1, 1 << 31))}", flush=True)
                        passed += 1
                except (AssertionError, RuntimeError) as problem:
                    print(f"FAILED round {number}: {problem}\n{broker.log_tail()}", flush=True)
                    failed = 1
    print(f"crash: {passed} passed, {failed} failed, 0 skipped")
    return failed


if __name__ == "__main__":
    sys.exit(main())
