#!/usr/bin/env bash
# Cleans random batches with Apache Kafka's own filter (MemoryRecords.filterTo) and compares with what Weir's compaction
# makes of them: byte for byte if they are not compressed, else field by field and record by record.
#
#   tests/compatibility/compaction.sh [weir_storage_tests]     default: build/release/bin/weir_storage_tests
#
# Ends with 0 if they agree, 1 if not, 77 (and says why) if Java or Kafka's archives cannot be had.
set -euo pipefail

name=compaction
. "$(dirname "$0")/kafka_classes.sh"

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
