#!/usr/bin/env python3
"""Writes src/coordination/group/testdata anew: what Apache Kafka's own group coordinator makes of the same inputs. The tests of
coordination replay it without Java."""
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import maven  # noqa: E402

DRIVERS = {"ConsumerGroupRecords": "consumer_records.txt", "MetadataHashes": "metadata_hashes.txt",
           "Assignors": "assignments.txt", "RegularExpressions": "regular_expressions.txt"}


def main():
    java = maven.ROOT / "tests/compatibility/java"
    class_path = maven.class_path(java / "group_coordinator.xml")
    for driver, name in DRIVERS.items():
        made = subprocess.run(["java", "-Xmx256m", "-Dfile.encoding=UTF-8", "-cp", class_path, java / f"{driver}.java"],
                              stdout=subprocess.PIPE, check=True)
        (maven.ROOT / "src/coordination/group/testdata" / name).write_bytes(made.stdout)


if __name__ == "__main__":
    main()
