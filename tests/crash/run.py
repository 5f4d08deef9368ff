"""Kills the broker with SIGKILL while clients write, starts it on the same data, and reads everything back.

What was acknowledged must be there, at its offset, and nothing may stand where something else was acknowledged.
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
PARTITIONS = 4
# Small batches hit the log's group commit, large ones its segments.
SHAPES = [("small", 1, 100), ("middle", 20, 500), ("large", 500, 1000)]


def load(broker: brokers.Broker, workload: str, **options) -> subprocess.Popen:
    words = [str(LOAD), workload, "--broker", broker.address]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check(broker: brokers.Broker, acked: dict[str, dict[str, int]]) -> int:
    """Reads all partitions of all topics; how many records they hold."""
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
    writers = [(name, load(broker, "acked", topic=name, partitions=PARTITIONS, batch_records=batch, record_bytes=size))
               for name, batch, size in SHAPES]
    time.sleep(chance.uniform(0.2, 2.5))
    broker.kill()
    for name, writer in writers:
        out, said = writer.communicate(timeout=60)
        if writer.returncode == 0:
            acked[name] = json.loads(out)
        if writer.returncode != 0 or "acknowledged at" in said:
            raise AssertionError(f"{name}: {said.strip()}")
    broker.start()
    records = check(broker, acked)
    return f"{records} records, served after {broker.start_seconds * 1000:.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=10)
    parser.add_argument("--minutes", type=float, help="as many rounds as begin in this time")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which it is killed")
    args = parser.parse_args()
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
                except (AssertionError, RuntimeError) as problem:
                    print(f"FAILED round {number}: {problem}\n{broker.log_tail()}", flush=True)
                    failed = 1
    print(f"crash: {passed} passed, {failed} failed, 0 skipped")
    return failed


if __name__ == "__main__":
    sys.exit(main())
