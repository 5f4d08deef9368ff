# Sourced by the scripts that compare what a test of ours left with what Kafka's own code makes of it. The caller has set
# `name`; its first argument may be the test program. Sets `root`, `tests`, `class_path` and `folder`, a temporary one; ends
# with 77 if Java or Kafka's archives cannot be had.
root=$(cd "$(dirname "$0")/../.." && pwd)
tests=${1:-$root/build/release/bin/weir_storage_tests}
[ -x "$tests" ] || { echo "$name: FAILED: $tests is not built" >&2; exit 1; }

skip() {
  echo "$name: SKIPPED: $1" >&2
  exit 77
}

command -v java > /dev/null || skip "Java is not installed"
class_path=$(cd "$root/tests" && python3 - <<'PYTHON'
import contextlib, sys
from harness import maven
try:
    with contextlib.redirect_stdout(sys.stderr):
        path = maven.class_path(maven.ROOT / "tests/compatibility/java/pom.xml")
    print(path)
except maven.Unavailable as reason:
    print(reason, file=sys.stderr)
PYTHON
)
[ -n "$class_path" ] || skip "Kafka's archives could not be fetched"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
