"""Measures Weir, and Apache Kafka beside it, with one client and in turns. README.md says how to read the figures."""
import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import group_workloads  # noqa: E402, F401: registers its workloads
import transaction_workloads  # noqa: E402, F401: the same
from harness import brokers, maven  # noqa: E402
from turns import GB, Row, Settings  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

# The workloads that run when none is named.
SHORT = ["start", "produce-1m", "produce-16k", "tiny", "tiny-16", "fetch-cache", "fetch-tail", "latency-1k", "partitions",
         "kill", "connections"]
PREWARM_BYTES = 22 * GB


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("workload", nargs="*", help="which to run; without a name a short selection")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    parser.add_argument("--full", action="store_true", help="all workloads, more work and pairs, and the first-touch pass")
    parser.add_argument("--pairs", type=int, help="turns of each broker (3; 5 with --full)")
    parser.add_argument("--prewarm", action="store_true",
                        help="first write 22 GB and delete them, so that no broker pays for memory touched the first time")
    parser.add_argument("--without-kafka", action="store_true", help="measure Weir alone")
    parser.add_argument("--kafka-flush", action="store_true", help="let Kafka fsync each append, as Weir does")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/bench", help="where the brokers keep their data")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows there as well")
    return parser.parse_args()


def prewarm(folder: pathlib.Path) -> None:
    size = min(PREWARM_BYTES, shutil.disk_usage(folder).free - 4 * GB)
    print(f"touching memory: writing {size / GB:.0f} GB and deleting them", flush=True)
    block = bytes(8 << 20)
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(max(0, size // len(block))):
            file.write(block)


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def print_table(rows: list[Row]) -> None:
    header = ["workload", "figure", "unit", "weir", "machine", "kafka", "machine", "ratio", "gate", ""]
    lines = [header]
    for row in rows:
        ratio = number(row.kafka / row.weir) if row.kafka and row.weir else ""
        verdict = {True: "pass", False: "MISS", None: ""}[row.passed]
        if row.discarded:
            verdict = "discarded: " + row.discarded
        lines.append([row.workload, row.figure, row.unit, number(row.weir), number(row.weir_machine), number(row.kafka),
                      number(row.kafka_machine), ratio, number(row.gate), " ".join(filter(None, [verdict, row.gate_says]))])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) if i < 3 else cell.rjust(width) if i < 9 else cell
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def main() -> int:
    args = arguments()
    if args.list:
        for name, (_, says) in WORKLOADS.items():
            print(f"{name:20} {says}")
        return 0
    names = args.workload or (list(WORKLOADS) if args.full else SHORT)
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        print(f"no such workload: {' '.join(unknown)}; see --list", file=sys.stderr)
        return 2
    if (os.cpu_count() or 1) < 2:
        print("one core: broker and client cannot be kept apart here", file=sys.stderr)
        return 2
    settings = Settings(args.folder / str(os.getpid()), args.full, not args.without_kafka, args.kafka_flush,
                        args.pairs or (5 if args.full else 3), 10 * GB if args.full else GB)
    args.folder.mkdir(parents=True, exist_ok=True)
    if settings.with_kafka:
        try:
            maven.class_path(ROOT / "benchmarks/kafka/pom.xml")
        except maven.Unavailable as reason:
            print(f"SKIPPED Apache Kafka: {reason}; Weir is measured alone", flush=True)
            settings.with_kafka = False
    if args.prewarm or args.full:
        prewarm(args.folder)
    policies = {"weir": brokers.Weir.flush_policy,
                "kafka": "fsync on every append" if args.kafka_flush else "page cache (its default)"}
    rows: list[Row] = []
    broken = []
    for name in names:
        started = time.monotonic()
        try:
            rows += WORKLOADS[name][0](settings)
        except (RuntimeError, maven.Unavailable, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            broken.append(name)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"\nbroker on core {settings.broker_cores}, client on core {settings.client_cores}, {settings.pairs} pairs; "
          f"Weir flushes {policies['weir']}" + (f", Apache Kafka to {policies['kafka']}" if settings.with_kafka else ""))
    print("machine: all cores less the client's; ratio: Kafka's figure over Weir's\n")
    print_table(rows)
    missed = [row for row in rows if row.passed is False]
    print(f"\n{sum(row.passed is True for row in rows)} gates passed, {len(missed)} missed"
          + (f"; could not run: {' '.join(broken)}" if broken else ""))
    if args.json:
        args.json.write_text(json.dumps({"flush": policies, "pairs": settings.pairs, "full": settings.full,
                                         "rows": [vars(row) | {"passed": row.passed} for row in rows]}, indent=1) + "\n")
    return 1 if missed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
