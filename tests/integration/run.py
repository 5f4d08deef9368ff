#!/usr/bin/env python3
"""The real binary against hostile clients, failing machines and operators: run.py [WORD-OF-A-CASE...] [--not WORD-OF-A-CASE...]"""
import pathlib
import resource
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import addresses  # noqa: E402
import churn  # noqa: E402
import command_line  # noqa: E402
import damage  # noqa: E402
import full_disk  # noqa: E402
import hostile  # noqa: E402
import operators  # noqa: E402
import partitions  # noqa: E402
import salvage  # noqa: E402
import times  # noqa: E402
from harness import brokers  # noqa: E402


def against_a_broker(function, arguments):
    def run(folder: pathlib.Path):
        with brokers.Weir(folder, arguments=arguments).start() as broker:
            try:
                said = function(broker)
                assert broker.process.poll() is None, "the broker is gone"
                return said
            except (AssertionError, OSError):
                print(broker.log_tail(), flush=True)
                raise
    return run


def main() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < hostile.CONNECTIONS + 1000:
        hostile.CONNECTIONS = max(hard - 1000, hard // 2)
        print(f"open files are limited to {hard}: {hostile.CONNECTIONS} connections", flush=True)
    cases = [(name, against_a_broker(function, arguments)) for name, function, arguments in hostile.CASES]
    cases += churn.CASES + addresses.CASES + command_line.CASES + operators.CASES + salvage.CASES
    cases.append(("ten thousand partitions", partitions.ten_thousand_partitions))
    cases.append(("refused until there is space", full_disk.refused_until_there_is_space))
    cases.append(("starts without a free block", full_disk.starts_without_a_free_block))
    cases.append(("damage: every file in every way", damage.every_file_in_every_way))
    cases.append(("imported headers that lie about time are mended", times.imported_headers_that_lie_are_mended))
    words = sys.argv[1:]
    unwanted = words[words.index("--not") + 1:] if "--not" in words else []
    wanted = words[:words.index("--not")] if "--not" in words else words
    unmatched = [word for word in wanted + unwanted if not any(word in name for name, _ in cases)]
    if unmatched:
        print(f"no case has a name with: {', '.join(unmatched)}")
        return 1
    cases = [each for each in cases if (not wanted or any(word in each[0] for word in wanted))
             and not any(word in each[0] for word in unwanted)]
    passed = failed = skipped = 0
    for name, run in cases:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="weir-integration-") as place:
            try:
                said = run(pathlib.Path(place))
                passed += 1
                print(f"ok      {name}{': ' + said if said else ''} ({time.monotonic() - started:.1f} s)", flush=True)
            except full_disk.NotPermitted as reason:
                skipped += 1
                print(f"SKIPPED {name}: {reason}", flush=True)
            except Exception as problem:  # a case may fail in any way, and the others still run
                failed += 1
                where = traceback.extract_tb(problem.__traceback__)[-1]
                print(f"FAILED  {name}: {type(problem).__name__} at {where.filename}:{where.lineno}: {problem}", flush=True)
    print(f"integration: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
