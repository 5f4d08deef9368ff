#!/usr/bin/env bash
# Reads segment files of ours with Apache Kafka's DumpLogSegments and compares batch by batch.
#
#   tests/compatibility/dump_log.sh [weir_storage_tests]     default: build/release/bin/weir_storage_tests
#
# Ends with 0 if they agree, 1 if not, 77 (and says why) if Java or Kafka's archives cannot be had.
set -euo pipefail

name=dump_log
. "$(dirname "$0")/kafka_classes.sh"

WEIR_SEGMENT_SAMPLE=$folder "$tests" --gtest_filter='SegmentSampleTest.*' --gtest_brief=1 > "$folder/test.out" || {
  cat "$folder/test.out" >&2
  exit 1
}

segments=$(find "$folder" -name '*.log' | sort | paste -sd,)
[ -n "$segments" ] || { echo "dump_log: FAILED: the test left no segments" >&2; exit 1; }
java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$class_path" org.apache.kafka.tools.DumpLogSegments --deep-iteration \
  --files "$segments" > "$folder/dumped" 2> "$folder/errors" || {
  cat "$folder/dumped" "$folder/errors" >&2
  echo "dump_log: FAILED: Kafka's tool cannot read the segments" >&2
  exit 1
}

# The same fields in the same order out of the tool's longer lines.
awk '/^baseOffset:/ {
  for (i = 1; i < NF; ++i) value[$i] = $(i + 1)
  print "baseOffset:", value["baseOffset:"], "lastOffset:", value["lastOffset:"], "count:", value["count:"], \
        "producerId:", value["producerId:"], "isTransactional:", value["isTransactional:"], "isControl:", value["isControl:"], \
        "size:", value["size:"], "crc:", value["crc:"], "isvalid:", value["isvalid:"]
}' "$folder/dumped" > "$folder/found.txt"

if ! diff -u "$folder/expected.txt" "$folder/found.txt"; then
  echo "dump_log: FAILED: Kafka's tool reads something else than was stored" >&2
  exit 1
fi
# "Non-consecutive offsets" is no complaint: the sample has gaps as compaction leaves them, and the tool counts the start of
# every segment but the first as one.
if grep -iE 'invalid|corrupt|exception' "$folder/dumped" "$folder/errors" | grep -v 'isvalid: true'; then
  echo "dump_log: FAILED: Kafka's tool complains" >&2
  exit 1
fi
echo "dump_log: $(wc -l < "$folder/found.txt") batches in $(tr ',' '\n' <<< "$segments" | wc -l) segments agree"
