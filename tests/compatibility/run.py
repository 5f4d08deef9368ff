"""Real clients against a Weir that this starts. `--reference` runs the same cases against Apache Kafka, to test the tests."""
import argparse
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import differential_part  # noqa: E402
import ecosystem_part  # noqa: E402
import exactly_once_part  # noqa: E402
import go_part  # noqa: E402
import java_part  # noqa: E402
import kcat_cases  # noqa: E402
import librdkafka_part  # noqa: E402
import migration_part  # noqa: E402
import node_part  # noqa: E402
import python_part  # noqa: E402
from cases import Counts, run_part  # noqa: E402
from harness import brokers, maven  # noqa: E402

PARTS = [kcat_cases.part, python_part.part, node_part.part, go_part.part, java_part.part, ecosystem_part.part,
         exactly_once_part.part,
         differential_part.part, librdkafka_part.part, migration_part.part]
# What the tests take for granted, in Kafka's names; profile A of librdkafka's suite.
SETTINGS = {
    "auto.create.topics.enable": "true",
    "num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
}
REFERENCE_SETTINGS = {
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.share.min.record.lock.duration.ms": "1000",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    "super.users": "User:ANONYMOUS",
}


def broker_for(reference: bool, folder: pathlib.Path) -> brokers.Broker:
    if reference:
        return brokers.Kafka(folder, settings=SETTINGS | REFERENCE_SETTINGS)
    arguments = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return brokers.Weir(folder, arguments=arguments, ephemeral=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev compat", description=__doc__)
    parser.add_argument("part", nargs="*", help="; ".join(f"{part.name}: {part.says}" for part in PARTS))
    parser.add_argument("--short", action="store_true", help="only kcat, as in `./dev test`")
    parser.add_argument("--only", default="", help="a regular expression for the names of cases")
    parser.add_argument("--reference", action="store_true", help="against Apache Kafka instead of Weir")
    args = parser.parse_args()
    names = args.part or (["kcat"] if args.short else [part.name for part in PARTS])
    unknown = set(names) - {part.name for part in PARTS}
    if unknown:
        parser.error("no such part: " + " ".join(unknown))
    counts = Counts()
    for part in (part for part in PARTS if part.name in names):
        with tempfile.TemporaryDirectory(prefix="weir-compat-") as place:
            folder = pathlib.Path(place)
            try:
                with broker_for(args.reference, folder).start() as broker:
                    run_part(part, broker, folder, args.only, counts)
                    if broker.process.poll() is not None:
                        counts.add("failed", f"{part.name}: the broker is still there", 0,
                                   f"it ended with status {broker.process.returncode}:\n{broker.log_tail()}")
            except maven.Unavailable as reason:
                counts.add("skipped", part.name, 0, str(reason))
            except RuntimeError as error:
                counts.add("failed", part.name, 0, str(error))
    if not counts.passed + counts.failed + counts.skipped:
        counts.add("failed", "cases", 0, f"none has a name that matches {args.only}")
    print(f"compatibility: {counts}")
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
