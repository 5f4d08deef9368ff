"""The tests of Debian's librdkafka source package: older than the client's newest, but to be had wherever Debian's archive
is. Some want tools of Kafka's or several brokers; they count as skipped, and so do tests that this version does not have."""
import os
import pathlib
import re
import subprocess

from cases import Skip
from harness import maven

PLACE = maven.ROOT / "build/librdkafka"
ARCHIVE = "deb-src http://deb.debian.org/debian bookworm main\n"
SECONDS_MAX = 300
# Why a test of this version cannot pass with one broker and without Kafka's scripts, on Apache Kafka neither.
UNFIT = {
    "0036_partial_fetch": "its topic needs a broker of its version",
    "0045_subscribe_update": "it calls kafka-topics.sh", "0045_subscribe_update_topic_remove": "it calls kafka-topics.sh",
    "0045_subscribe_update_non_exist_and_partchange": "it calls kafka-topics.sh",
    "0052_msg_timestamps": "it calls kafka-topics.sh", "0077_compaction": "it calls kafka-topics.sh",
    "0109_auto_create_topics": "it calls kafka-topics.sh", "0107_topic_recreate": "it asks for three replicas",
    "0111_delay_create_topics": "it asks for three replicas", "0113_cooperative_rebalance": "it has a Java client",
}


def quietly(command: list[str], folder: pathlib.Path) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    if done.returncode != 0:
        raise Skip(f"`{' '.join(command[:3])} ...` failed: {done.stdout.strip().splitlines()[-1:]}")


def built() -> pathlib.Path:
    """The folder with test-runner; fetched and built once."""
    for runner in PLACE.glob("librdkafka-*/tests/test-runner"):
        return runner.parent
    (PLACE / "lists/partial").mkdir(parents=True, exist_ok=True)
    (PLACE / "sources.list").write_text(ARCHIVE)
    options = ["-qq", "-o", f"Dir::Etc::SourceList={PLACE}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
               "-o", f"Dir::State::Lists={PLACE}/lists", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
    quietly(["apt-get", *options, "update"], PLACE)
    quietly(["apt-get", *options, "--download-only", "source", "librdkafka"], PLACE)
    [archive] = PLACE.glob("librdkafka_*.orig.tar.gz")
    quietly(["tar", "xzf", archive.name], PLACE)
    [source] = (path for path in PLACE.glob("librdkafka-*") if path.is_dir())
    quietly(["./configure"], source)
    quietly(["make", "-j", str(os.cpu_count()), "libs"], source)
    quietly(["make", "-j", str(os.cpu_count()), "-C", "tests", "build"], source)
    return source / "tests"


def run_tests(address: str, tests: list[str], folder: pathlib.Path):
    """Yields (verdict, test, detail)."""
    tests_folder = built()
    known = set(re.findall(r"_TEST\((\w+)", (tests_folder / "test.c").read_text()))
    (tests_folder / "test.conf").write_text(f"bootstrap.servers={address}\n")
    for listed in tests:
        test, _, sub_tests = listed.partition("/")
        if test in UNFIT or test not in known:
            yield "SKIP", listed, UNFIT.get(test, "this version of librdkafka does not have it")
            continue
        environment = os.environ | {"TESTS": test.split("_")[0], "TEST_KAFKA_VERSION": "2.8.0", "CI": "true"}
        if sub_tests:
            environment["SUBTESTS"] = sub_tests.replace("+", " ")
        log = folder / f"{listed.replace('/', '.')}.log"
        with open(log, "wb") as output:
            try:
                status = subprocess.run(["./run-test.sh", "-p1"], cwd=tests_folder, env=environment, stdout=output,
                                        stderr=output, timeout=SECONDS_MAX).returncode
            except subprocess.TimeoutExpired:
                status = -1
        text = log.read_text(errors="replace")
        failures = re.findall(r"(?:Test failure|### Test .* failed).*", text)
        verdict = "PASS" if status == 0 else "TIMEOUT" if status < 0 else "FAIL"
        print(f"    {verdict:7} {listed}", flush=True)
        yield verdict, listed, failures[0] if failures and status else ""
