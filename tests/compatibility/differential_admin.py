"""The commands of Kafka's tools for topics, configurations and the cluster, for differential_part.py."""
import json
import pathlib
import re

ADMIN = "org.apache.kafka.tools."
TOPICS = ADMIN + "TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
LOG_DIRS = ADMIN + "LogDirsCommand"
OFFSETS = ADMIN + "GetOffsetShell"
DELETE_RECORDS = ADMIN + "DeleteRecordsCommand"
FEATURES = ADMIN + "FeatureCommand"
QUORUM = ADMIN + "MetadataQuorumCommand"
ELECTION = ADMIN + "LeaderElectionCommand"
REASSIGN = ADMIN + "reassign.ReassignPartitionsCommand"
ACLS = ADMIN + "AclCommand"
CLIENT_METRICS = ADMIN + "ClientMetricsCommand"
PRODUCER = ADMIN + "ConsoleProducer"
ROWS = "".join(f"key{i}\tvalue{i}\n" for i in range(60))

# Beside those of every script: ids, folders, epochs and offsets of the metadata log; and min.insync.replicas, which Kafka sets
# for all brokers when it formats its storage for eligible leader replicas.
NOISE = [
    (re.compile(r"^\s*min\.insync\.replicas=1 sensitive=false .*"), ""),
    (re.compile(r"min\.insync\.replicas=1,?"), ""),
    (re.compile(r'"log_dirs":\["/[^"]*"\]'), '"log_dirs":["DIR"]'),
    (re.compile(r"TopicId: \S+"), "TopicId: X"),
    (re.compile(r'"logDir":"[^"]*"'), '"logDir":"DIR"'),
    (re.compile(r"(/[\w.-]+)+/data"), "DIR"),
]


def quorum_only(line: str) -> str:
    """Directory ids, offsets and times of the one voter."""
    return re.sub(r"^1 \S+ \d+ 0 \d+ \d+ Leader$", "1 DIRECTORY END 0 TIME TIME Leader", line)


def script(folder: pathlib.Path) -> list:
    def file(name: str, content) -> str:
        path = folder / name
        path.write_text(json.dumps(content))
        return str(path)

    def assignment(replicas: list[int], topic: str = "a-one") -> dict:
        return {"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": replicas}]}

    before = {"version": 1, "partitions": [{"topic": "a-one", "partition": 0, "offset": 5}]}
    beyond = {"version": 1, "partitions": [{"topic": "a-one", "partition": 0, "offset": 5000}]}
    topic, every, one = ["--topic", "a-one"], ["--entity-type", "brokers", "--entity-default"], ["--entity-type", "brokers",
                                                                                                "--entity-name", "1"]
    subscription = ["--entity-type", "client-metrics", "--entity-name", "a-sub"]
    group = ["--entity-type", "groups", "--entity-name", "a-group"]
    return [
        (TOPICS, ["--create", *topic, "--partitions", "1", "--config", "retention.ms=60000"]),
        (TOPICS, ["--create", *topic]),
        (TOPICS, ["--create", "--if-not-exists", *topic]),
        (TOPICS, ["--create", "--topic", "a-replicated", "--replication-factor", "3"]),
        (TOPICS, ["--create", "--topic", "a-wrong", "--config", "retention.ms=soon"]),
        (TOPICS, ["--create", "--topic", "a.one", "--partitions", "1"]),
        (TOPICS, ["--create", "--topic", "a_one", "--partitions", "1"]),
        (TOPICS, ["--describe", *topic]),
        (TOPICS, ["--describe", "--topic", "a-none"]),
        (PRODUCER, [*topic, "--reader-property", "parse.key=true"], ROWS),
        (OFFSETS, topic),
        (OFFSETS, [*topic, "--time", "earliest"]),
        (OFFSETS, ["--topic", "a-none"]),
        (LOG_DIRS, ["--describe", "--topic-list", "a-one"]),
        (DELETE_RECORDS, ["--offset-json-file", file("before", before)]),
        (DELETE_RECORDS, ["--offset-json-file", file("beyond", beyond)]),
        (OFFSETS, [*topic, "--time", "earliest"]),
        (TOPICS, ["--alter", *topic, "--partitions", "3"]),
        (TOPICS, ["--alter", *topic, "--partitions", "2"]),
        (TOPICS, ["--alter", "--topic", "a-none", "--partitions", "2"]),
        (CONFIGS, ["--describe", *topic]),
        (CONFIGS, ["--alter", *topic, "--add-config", "max.message.bytes=2000,cleanup.policy=[compact,delete]"]),
        (CONFIGS, ["--alter", *topic, "--add-config", "max.message.bytes=-2"]),
        (CONFIGS, ["--alter", *topic, "--delete-config", "retention.ms"]),
        (CONFIGS, ["--alter", "--topic", "a-none", "--add-config", "retention.ms=1"]),
        (CONFIGS, ["--describe", *topic]),
        (CONFIGS, ["--describe", *topic, "--all"]),
        (CONFIGS, [*every, "--describe"]),
        (CONFIGS, [*every, "--alter", "--add-config", "log.retention.ms=100000,message.max.bytes=5000000"]),
        (CONFIGS, [*one, "--alter", "--add-config", "max.connections=5000"]),
        (CONFIGS, [*every, "--describe"]),
        (CONFIGS, [*one, "--describe"]),
        (CONFIGS, ["--describe", *topic, "--all"]),
        (CONFIGS, [*one, "--alter", "--add-config", "max.connections=many"]),
        (CONFIGS, [*one, "--alter", "--delete-config", "max.connections"]),
        (CONFIGS, [*every, "--alter", "--delete-config", "log.retention.ms,message.max.bytes"]),
        (CONFIGS, [*one, "--describe"]),
        (CONFIGS, [*subscription, "--alter", "--add-config", "interval.ms=1000,metrics=[a.,b.],match=[client_id=a.*]"]),
        (CONFIGS, [*subscription, "--alter", "--add-config", "interval.ms=1"]),
        (CONFIGS, [*subscription, "--alter", "--add-config", "match=[shoe=1]"]),
        (CONFIGS, [*subscription, "--describe"]),
        (CLIENT_METRICS, ["--alter", "--name", "a-other", "--metrics", "x.", "--interval", "2000"]),
        (CLIENT_METRICS, ["--list"]),
        (CLIENT_METRICS, ["--describe", "--name", "a-other"]),
        (CLIENT_METRICS, ["--delete", "--name", "a-other"]),
        (CLIENT_METRICS, ["--list"]),
        (CONFIGS, [*group, "--describe"]),
        (CONFIGS, [*group, "--describe", "--all"]),
        (CONFIGS, [*group, "--alter", "--add-config", "consumer.session.timeout.ms=50000,share.auto.offset.reset=earliest"]),
        (CONFIGS, [*group, "--describe"]),
        (CONFIGS, ["--entity-type", "groups", "--describe"]),
        (CONFIGS, [*group, "--alter", "--add-config", "consumer.session.timeout.ms=5"]),
        (CONFIGS, [*group, "--alter", "--add-config", "consumer.heartbeat.interval.ms=20000"]),
        (CONFIGS, [*group, "--alter", "--add-config", "share.record.lock.duration.ms=1"]),
        (CONFIGS, [*group, "--alter", "--add-config", "share.delivery.count.limit=11"]),
        (CONFIGS, [*group, "--alter", "--add-config", "streams.num.standby.replicas=3"]),
        (CONFIGS, [*group, "--alter", "--add-config", "share.isolation.level=none"]),
        (CONFIGS, [*group, "--alter", "--add-config", "streams.assignor.name=none"]),
        (CONFIGS, [*group, "--alter", "--add-config", "errors.deadletterqueue.topic.name=__x"]),
        (CONFIGS, [*group, "--alter", "--add-config", "no.such=1"]),
        (CONFIGS, [*group, "--alter", "--delete-config", "consumer.session.timeout.ms,share.auto.offset.reset"]),
        (CONFIGS, [*group, "--alter", "--delete-config", "no.such"]),
        (CONFIGS, [*group, "--describe"]),
        (CONFIGS, [*one, "--alter", "--add-config", "num.io.threads=9,background.threads=9"]),
        (CONFIGS, [*one, "--describe"]),
        (CONFIGS, [*one, "--alter", "--delete-config", "num.io.threads,background.threads"]),
        (CONFIGS, [*one, "--describe"]),
        (CONFIGS, ["--entity-type", "users", "--describe"]),
        (CONFIGS, ["--entity-type", "clients", "--describe"]),
        (FEATURES, ["upgrade", "--feature", "shoe.version=1"]),
        (QUORUM, ["describe", "--replication"]),
        (ELECTION, ["--election-type", "preferred", *topic, "--partition", "0"]),
        (ELECTION, ["--election-type", "unclean", *topic, "--partition", "9"]),
        (ELECTION, ["--election-type", "preferred", "--all-topic-partitions"]),
        (REASSIGN, ["--list"]),
        (REASSIGN, ["--reassignment-json-file", file("same", assignment([1])), "--execute"]),
        (REASSIGN, ["--reassignment-json-file", file("same", assignment([1])), "--verify"]),
        (REASSIGN, ["--reassignment-json-file", file("away", assignment([7])), "--execute"]),
        (ACLS, ["--list"]),
        (ACLS, ["--add", "--allow-principal", "User:x", "--operation", "Read", *topic]),
        (TOPICS, ["--delete", "--topic", "a-one"]),
        (TOPICS, ["--delete", "--topic", "a-none"]),
        (TOPICS, ["--list", "--exclude-internal"]),
    ]
