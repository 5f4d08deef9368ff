"""librdkafka's own integration tests, where a copy prepared to run stands beside this tree; each test is a case."""
import os
import pathlib
import re
import subprocess

from cases import Part, Skip

part = Part("librdkafka", "librdkafka's own tests, where they are at hand (17 minutes and more)")

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "../shared/peers/librdkafka.sh"
SUBJECTS = ["connection", "produce", "consume", "offsets", "admin", "groups", "transactions"]
LINE = re.compile(r"^(PASS|FAIL|SKIP|TIMEOUT)\s+(\S+)\s*(.*)$")
VERDICTS = {"PASS": "passed", "FAIL": "failed", "TIMEOUT": "failed", "SKIP": "skipped"}


@part.case
def suite(broker, _folder):
    if not SCRIPT.exists():
        raise Skip("no prepared copy of librdkafka's tests is at hand")
    subjects = os.environ.get("LIBRDKAFKA_TESTS", "").split() or SUBJECTS
    with subprocess.Popen([str(SCRIPT), broker.address, *subjects], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env=os.environ | {"JOBS": os.environ.get("JOBS", "3")}) as process:
        found = []
        for line in process.stdout:
            print("    " + line, end="", flush=True)
            if match := LINE.match(line):
                found.append((VERDICTS[match[1]], match[2], match[3]))
    if not found:
        raise AssertionError(f"it reported no test and ended with status {process.returncode}")
    return found
