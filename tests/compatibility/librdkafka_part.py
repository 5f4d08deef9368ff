"""librdkafka's own integration tests: a copy prepared to run, where one stands beside this tree, else the sources of Debian's
package. `librdkafka-lists` says which tests are to pass."""
import os
import pathlib
import re
import subprocess

import librdkafka_debian
from cases import Part, Skip
from harness import brokers

part = Part("librdkafka", "librdkafka's own tests (17 minutes and more)")

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE.parents[1] / "../shared/peers/librdkafka.sh"
LISTS = HERE / "librdkafka-lists"
LINE = re.compile(r"^(PASS|FAIL|SKIP|TIMEOUT)\s+(\S+)\s*(.*)$")
# Profile A is what run.py starts every broker with. B is for tests that count rebalances, and for those that want topics to
# be missing.
PROFILE_B = {"auto.create.topics.enable": "false", "num.partitions": "4", "group.initial.rebalance.delay.ms": "3000"}


def listed(profile: str) -> dict[str, tuple[str, str]]:
    """Test -> (pass or later, why)."""
    tests = {}
    for line in LISTS.read_text().splitlines():
        if line and not line.startswith("#"):
            verdict, of, test, *why = line.split(maxsplit=3)
            if of == profile:
                tests[test] = (verdict, why[0] if why else "")
    return tests


def chosen(profile: str) -> list[str]:
    """LIBRDKAFKA_TESTS names tests by number or name; without it, all that are to pass."""
    wanted = os.environ.get("LIBRDKAFKA_TESTS", "").split()
    tests = listed(profile)
    if wanted:
        return [test for test in tests if any(test == word or test.startswith((word + "_", word + "/")) for word in wanted)]
    return [test for test, (verdict, _) in tests.items() if verdict == "pass"]


def run_prepared(address: str, profile: str, tests: list[str]):
    """Yields (verdict, test, detail) as they end; `test/part` runs the sub-tests whose names contain `part`. A test that fails
    beside others gets a second try alone: some measure time."""
    failed, hopes = [], listed(profile)
    for verdict, test, detail in run_script(address, profile, [test for test in tests if "/" not in test]):
        if verdict in ("FAIL", "TIMEOUT") and hopes.get(test, ("pass",))[0] == "pass":
            failed.append((test, detail))
        else:
            yield verdict, test, "" if verdict == "PASS" else detail
    for test, first in failed:
        for verdict, _, detail in run_script(address, profile, [test]):
            yield verdict, test, f"at the second try; at the first: {first}" if verdict == "PASS" else detail
    for test in tests:
        name, _, sub_tests = test.partition("/")
        if sub_tests:
            for verdict, _, detail in run_script(address, profile, [name], {"ONLY_SUBTESTS": sub_tests.replace("+", " ")}):
                yield verdict, test, "" if verdict == "PASS" else detail


def run_script(address: str, profile: str, tests: list[str], extra: dict[str, str] | None = None):
    if not tests:
        return
    environment = {"JOBS": "3"} | dict(os.environ) | {"PROFILE": profile} | (extra or {})
    with subprocess.Popen([str(SCRIPT), address, *tests], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=environment) as process:
        for line in process.stdout:
            print("    " + line, end="", flush=True)
            if match := LINE.match(line):
                yield match[1], match[2], match[3]


def judge(profile: str, results) -> list[tuple[str, str, str]]:
    expected = listed(profile)
    found = []
    for verdict, test, detail in results:
        hope, why = expected.get(test, ("pass", ""))
        if verdict == "PASS":
            found.append(("passed", test, detail if hope == "pass" else "it passes now: list it under pass"))
        elif verdict == "SKIP" or hope == "later":
            found.append(("skipped", test, why or detail))
        else:
            found.append(("failed", test, detail))
    if not found:
        raise AssertionError("it reported no test")
    if not os.environ.get("LIBRDKAFKA_TESTS"):
        found += [("skipped", test, why) for test, (hope, why) in expected.items() if hope == "later"]
    return found


def suite(address: str, profile: str, folder: pathlib.Path):
    tests = chosen(profile)
    if not tests:
        raise Skip(f"LIBRDKAFKA_TESTS names no test of profile {profile}")
    if SCRIPT.exists():
        return judge(profile, run_prepared(address, profile, tests))
    print(f"    no prepared copy at {SCRIPT.parent}: building the tests of Debian's source package", flush=True)
    return judge(profile, librdkafka_debian.run_tests(address, tests, folder))


@part.case
def profile_a(broker, folder):
    return suite(broker.address, "A", folder)


@part.case
def profile_b(broker, folder):
    if isinstance(broker, brokers.Kafka):
        other = brokers.Kafka(folder, settings=PROFILE_B)
    else:
        settings = [word for key, value in PROFILE_B.items() for word in ("--set", f"{key}={value}")]
        other = brokers.Weir(folder, arguments=settings, ephemeral=True)
    with other.start():
        return suite(other.address, "B", folder)
