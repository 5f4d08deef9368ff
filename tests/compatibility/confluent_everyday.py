"""What programs on confluent-kafka do every day: confluent_everyday.py HOST:PORT."""
import json
import sys
import time

from confluent_clients import create, produce, read, settled
from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, DeserializingConsumer, ElectionType, KafkaError, KafkaException,
                             Producer, SerializingProducer, TopicCollection, TopicPartition)
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.serialization import StringDeserializer, StringSerializer
from reporting import CASES, case, report

CASES.clear()  # those of confluent_clients run there


def consumer_of(address: str, group: str, **config) -> Consumer:
    return Consumer({"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest", **config})


def until(condition, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        pass
    assert condition(), "it did not come to that"


@case
def keys_headers_timestamps_and_nothing_come_back(address, admin):
    create(admin, "e-records")
    producer = SerializingProducer({"bootstrap.servers": address, "key.serializer": StringSerializer(),
                                    "value.serializer": StringSerializer()})
    sent = [("a", "1", [("trace", b"x"), ("trace", b"y")], 1_700_000_000_000), ("b", None, [], 1_700_000_000_001),
            (None, "ü" * 1000, [("none", None)], 1_700_000_000_002)]
    for key, value, headers, timestamp in sent:
        producer.produce("e-records", key=key, value=value, headers=headers, timestamp=timestamp, partition=0)
    assert producer.flush(30) == 0
    consumer = DeserializingConsumer({"bootstrap.servers": address, "group.id": "e-records", "auto.offset.reset": "earliest",
                                      "key.deserializer": StringDeserializer(), "value.deserializer": StringDeserializer()})
    consumer.subscribe(["e-records"])
    got, deadline = [], time.monotonic() + 30
    while len(got) < 3 and time.monotonic() < deadline:
        if (message := consumer.poll(0.5)) is not None:
            got.append(message)
    assert [(m.key(), m.value(), m.headers() or [], m.timestamp()[1]) for m in got] == sent, got
    consumer.close()


@case
def every_codec_comes_back(address, admin):
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        topic = f"e-{codec}"
        create(admin, topic)
        values = [b"%d " % i * 50 for i in range(2000)]
        assert produce(address, topic, values, **{"compression.type": codec, "linger.ms": 20}) == list(range(2000))
        consumer = consumer_of(address, topic)
        consumer.subscribe([topic])
        assert read(consumer, 2000) == values, codec
        consumer.close()


@case
def a_consumer_seeks_pauses_and_looks_up_times(address, admin):
    create(admin, "e-seek")
    producer = Producer({"bootstrap.servers": address})
    for i in range(100):
        producer.produce("e-seek", b"%d" % i, partition=0, timestamp=1_700_000_000_000 + 10 * i)
    assert producer.flush(30) == 0
    consumer = consumer_of(address, "e-seek", **{"enable.auto.commit": False, "enable.partition.eof": True})
    part = TopicPartition("e-seek", 0)
    [found] = consumer.offsets_for_times([TopicPartition("e-seek", 0, 1_700_000_000_495)], timeout=10)
    assert found.offset == 50, found
    assert consumer.get_watermark_offsets(part, timeout=10) == (0, 100)
    consumer.assign([TopicPartition("e-seek", 0, found.offset)])
    assert read(consumer, 1) == [b"50"]
    consumer.seek(TopicPartition("e-seek", 0, 98))
    assert read(consumer, 2) == [b"98", b"99"]
    message = consumer.poll(10)
    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
    consumer.pause([part])
    produce(address, "e-seek", [b"late"])
    assert consumer.poll(0.5) is None
    consumer.resume([part])
    assert read(consumer, 1) == [b"late"]
    [position] = consumer.position([part])
    assert position.offset == 101, position
    consumer.close()


@case
def offsets_are_committed_on_the_way_and_at_the_end(address, admin):
    create(admin, "e-auto")
    produce(address, "e-auto", [b"%d" % i for i in range(50)])
    committed = []
    consumer = consumer_of(address, "e-auto", **{"auto.commit.interval.ms": 100,
                                                 "on_commit": lambda error, parts: committed.append((error, parts))})
    consumer.subscribe(["e-auto"])
    assert len(read(consumer, 50)) == 50
    until(lambda: consumer.poll(0.1) or any(parts[0].offset == 50 for _, parts in committed))
    assert all(error is None for error, _ in committed), committed
    consumer.close()
    consumer = consumer_of(address, "e-auto")
    [found] = consumer.committed([TopicPartition("e-auto", 0)], timeout=10)
    low, high = consumer.get_watermark_offsets(TopicPartition("e-auto", 0), timeout=10)
    assert (found.offset, high - found.offset) == (50, 0), (found, low, high)
    consumer.close()


@case
def members_are_told_of_rebalances(address, admin):
    create(admin, "e-told", 6)
    for strategy in ("range", "roundrobin", "cooperative-sticky"):
        owned, members = {}, []
        for i in range(3):
            member = consumer_of(address, f"e-told-{strategy}", **{"partition.assignment.strategy": strategy})
            owned[i] = set()
            member.subscribe(["e-told"], on_assign=lambda _, parts, i=i: owned[i].update(part.partition for part in parts),
                             on_revoke=lambda _, parts, i=i: owned[i].difference_update(part.partition for part in parts))
            members.append(member)

        def shared(count: int, members=members, owned=owned) -> bool:
            for member in members:
                member.poll(0.1)
            held = [part for parts in owned.values() for part in parts]
            return sorted(held) == list(range(6)) and sum(1 for parts in owned.values() if parts) == count

        until(lambda: shared(3), 60)
        members.pop().close()
        until(lambda: shared(2), 60)
        for member in members:
            member.close()


@case
def a_static_member_comes_back_to_its_partitions(address, admin):
    create(admin, "e-static", 4)
    config = {"session.timeout.ms": 10_000}
    members = [consumer_of(address, "e-static", **config, **{"group.instance.id": f"one-{i}"}) for i in range(2)]
    for member in members:
        member.subscribe(["e-static"])

    def owned(member) -> set:
        member.poll(0.1)
        return {part.partition for part in member.assignment()}

    until(lambda: [len(owned(member)) for member in members] == [2, 2], 60)
    before = owned(members[1])
    members[1].close()
    members[1] = consumer_of(address, "e-static", **config, **{"group.instance.id": "one-1"})
    members[1].subscribe(["e-static"])
    began = time.monotonic()
    until(lambda: owned(members[0]) is not None and owned(members[1]) == before, 30)
    assert time.monotonic() - began < 8, "the group waited for the session's end"
    for member in members:
        member.close()


@case
def statistics_are_given(address, admin):
    create(admin, "e-statistics")
    seen = []
    producer = Producer({"bootstrap.servers": address, "statistics.interval.ms": 100, "stats_cb": lambda text: seen.append(json.loads(text))})
    producer.produce("e-statistics", b"x")
    until(lambda: producer.poll(0.1) is not None and any(one["txmsgs"] == 1 for one in seen))


@case
def offsets_of_groups_are_altered_and_groups_deleted(address, admin):
    create(admin, "e-moved")
    produce(address, "e-moved", [b"%d" % i for i in range(10)])
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("e-moved", [TopicPartition("e-moved", 0, 7)])])["e-moved"].result(30)
    [found] = settled(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("e-moved")]))
    assert [(part.topic, part.offset) for part in found.topic_partitions] == [("e-moved", 7)], found
    consumer = consumer_of(address, "e-moved")
    consumer.subscribe(["e-moved"])
    assert read(consumer, 3) == [b"7", b"8", b"9"]
    consumer.close()
    settled(admin.delete_consumer_groups(["e-moved"]))
    assert "e-moved" not in [group.group_id for group in admin.list_consumer_groups().result(30).valid]


@case
def the_cluster_and_topics_are_described_and_records_deleted(address, admin):
    create(admin, "e-described", 2)
    produce(address, "e-described", [b"x"] * 10)
    cluster = admin.describe_cluster().result(30)
    assert len(cluster.nodes) == 1 and cluster.controller.id == cluster.nodes[0].id, cluster.nodes
    [topic] = settled(admin.describe_topics(TopicCollection(["e-described"])))
    assert [part.leader.id for part in topic.partitions] == [cluster.nodes[0].id] * 2, topic
    [deleted] = settled(admin.delete_records([TopicPartition("e-described", 0, 4)]))
    assert deleted.low_watermark == 4, deleted
    elected = admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition("e-described", 0)]).result(30)
    assert [error.code() for error in elected.values()] == [KafkaError.ELECTION_NOT_NEEDED], elected


@case
def configs_of_topics_brokers_and_groups_are_altered(address, admin):
    create(admin, "e-config")
    node = admin.list_topics(timeout=10).orig_broker_id
    node = next(iter(admin.list_topics(timeout=10).brokers)) if node < 0 else node
    for kind, name, key, value in ((ResourceType.TOPIC, "e-config", "retention.ms", "60000"),
                                   (ResourceType.BROKER, str(node), "log.retention.ms", "120000"),
                                   (ResourceType.GROUP, "e-config", "consumer.session.timeout.ms", "50000")):
        for operation in (AlterConfigOpType.SET, AlterConfigOpType.DELETE):
            entry = ConfigEntry(key, value if operation == AlterConfigOpType.SET else None, incremental_operation=operation)
            settled(admin.incremental_alter_configs([ConfigResource(kind, name, incremental_configs=[entry])]))
            [configs] = settled(admin.describe_configs([ConfigResource(kind, name)]))
            assert (configs[key].value == value) == (operation == AlterConfigOpType.SET), (name, configs[key])


@case
def what_is_wrong_is_refused_by_name(address, admin):
    create(admin, "e-wrong", **{"max.message.bytes": "1000"})
    try:
        produce(address, "e-wrong", [b"x" * 5000])
    except AssertionError as refused:
        assert "MSG_SIZE_TOO_LARGE" in repr(refused) or "too large" in str(refused).lower(), refused
    else:
        raise AssertionError("a record of 5000 bytes was taken")
    consumer = consumer_of(address, "e-wrong", **{"allow.auto.create.topics": False})
    consumer.subscribe(["e-nowhere"])
    message = consumer.poll(10)
    assert message is not None and message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART, message
    consumer.close()
    try:
        create(admin, "e/slash")
    except KafkaException as refused:
        assert refused.args[0].code() == KafkaError.TOPIC_EXCEPTION, refused
    else:
        raise AssertionError("a topic with a slash was created")


if __name__ == "__main__":
    report(sys.argv[1], AdminClient({"bootstrap.servers": sys.argv[1]}))
