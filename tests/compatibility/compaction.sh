#!/usr/bin/env bash
# Cleans random batches with Apache Kafka's own filter (MemoryRecords.filterTo) and compares with what Weir's compaction
# makes of them: byte for byte if they are not compressed, else field by field and record by record.
#
#   tests/compatibility/compaction.sh [weir_storage_tests]     default: build/release/bin/weir_storage_tests
#
# Ends with 0 if they agree, 1 if not, 77 (and says why) if Java or Kafka's archives cannot be had.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
tests=${1:-$root/build/release/bin/weir_storage_tests}
[ -x "$tests" ] || { echo "compaction: FAILED: $tests is not built" >&2; exit 1; }

skip() {
  echo "compaction: SKIPPED: $1" >&2
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
WEIR_COMPACTION_SAMPLE=$folder "$tests" --gtest_filter='CompactionSample.*' --gtest_brief=1 > "$folder/test.out" || {
  cat "$folder/test.out" >&2
  exit 1
}
java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$class_path" "$root/tests/compatibility/java/Compaction.java" "$folder" \
  > "$folder/said" 2>&1 || {
  cat "$folder/said" >&2
  echo "compaction: FAILED: Kafka cleans differently" >&2
  exit 1
}
echo "compaction: $(tail -1 "$folder/said")"
