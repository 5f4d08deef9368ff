"""Cases on confluent-kafka: confluent_clients.py HOST:PORT."""
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec
from reporting import case, needs, report


def settled(futures: dict) -> list:
    return [future.result(30) for future in futures.values()]


def create(admin: AdminClient, name: str, partitions: int = 1, **config) -> None:
    settled(admin.create_topics([NewTopic(name, partitions, 1, config=config)]))
    deadline = time.monotonic() + 10  # a broker may answer before it shows the topic
    while name not in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
        pass


def produce(address: str, topic: str, values: list[bytes], **config) -> list[int]:
    offsets, errors = [], []

    def delivered(error, message):
        errors.append(error) if error else offsets.append(message.offset())

    producer = Producer({"bootstrap.servers": address, **config})
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=delivered)
    assert producer.flush(30) == 0, "not all was delivered"
    assert not errors, errors[0]
    return offsets


def read(consumer: Consumer, count: int, seconds: float = 30) -> list[bytes]:
    values = []
    deadline = time.monotonic() + seconds
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        values.append(message.value())
    return values


def consumer_at(address: str, topic: str, offset: int = 0, **config) -> Consumer:
    consumer = Consumer({"bootstrap.servers": address, "group.id": f"assigned-{topic}", "enable.auto.commit": False, **config})
    consumer.assign([TopicPartition(topic, 0, offset)])
    return consumer


@case
def creates_lists_and_deletes_topics(address, admin):
    create(admin, "c-created", 3)
    topic = admin.list_topics("c-created", timeout=10).topics["c-created"]
    assert len(topic.partitions) == 3, topic.partitions
    try:
        create(admin, "c-created")
    except KafkaException as refused:
        assert refused.args[0].name() == "TOPIC_ALREADY_EXISTS", refused
    else:
        raise AssertionError("a topic was created twice")
    settled(admin.delete_topics(["c-created"]))
    deadline = time.monotonic() + 10
    while "c-created" in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
        pass
    assert "c-created" not in admin.list_topics(timeout=10).topics


@case
def adds_partitions(address, admin):
    create(admin, "c-grown", 1)
    settled(admin.create_partitions([NewPartitions("c-grown", 4)]))
    assert len(admin.list_topics("c-grown", timeout=10).topics["c-grown"].partitions) == 4


@case
def shows_and_alters_configs(address, admin):
    create(admin, "c-config", **{"retention.ms": "12345"})
    resource = ConfigResource(ConfigResource.Type.TOPIC, "c-config")
    [configs] = settled(admin.describe_configs([resource]))
    assert configs["retention.ms"].value == "12345", configs["retention.ms"]
    assert configs["cleanup.policy"].value == "delete", configs["cleanup.policy"]


@case
def offsets_are_consecutive(address, admin):
    create(admin, "c-offsets")
    assert produce(address, "c-offsets", [b"x"] * 1000) == list(range(1000))


@case
def lists_offsets(address, admin):
    create(admin, "c-listed")
    produce(address, "c-listed", [b"x"] * 10)
    for spec, expected in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 10), (OffsetSpec.max_timestamp(), 9)):
        [found] = settled(admin.list_offsets({TopicPartition("c-listed", 0): spec}))
        assert found.offset <= expected if expected == 9 else found.offset == expected, (spec, found.offset)


@case
def a_group_commits_and_resumes(address, admin):
    create(admin, "c-group", 1)
    produce(address, "c-group", [b"%d" % i for i in range(100)])
    config = {"bootstrap.servers": address, "group.id": "c-readers", "auto.offset.reset": "earliest",
              "enable.auto.commit": False}
    consumer = Consumer(config)
    consumer.subscribe(["c-group"])
    assert read(consumer, 60)[:1] == [b"0"]
    consumer.commit(offsets=[TopicPartition("c-group", 0, 60)], asynchronous=False)
    consumer.close()
    consumer = Consumer(config)
    consumer.subscribe(["c-group"])
    assert read(consumer, 1) == [b"60"]
    consumer.close()


@case
def lists_and_describes_groups(address, admin):
    create(admin, "c-described", 1)
    produce(address, "c-described", [b"x"])
    consumer = Consumer({"bootstrap.servers": address, "group.id": "c-described", "auto.offset.reset": "earliest"})
    consumer.subscribe(["c-described"])
    read(consumer, 1)
    described = admin.describe_consumer_groups(["c-described"])["c-described"].result(30)
    assert described.state.name == "STABLE" and len(described.members) == 1, (described.state, described.members)
    assert "c-described" in [group.group_id for group in admin.list_consumer_groups().result(30).valid]
    consumer.close()


def share(members, counts):
    """Polls until the members have so many partitions, in any order."""
    deadline = time.monotonic() + 90
    while sorted(len(member.assignment()) for member in members) != counts:
        assert time.monotonic() < deadline, [member.assignment() for member in members]
        for member in members:
            member.poll(0.2)


@case
def two_members_share_the_partitions(address, admin):
    create(admin, "c-shared", 4)
    config = {"bootstrap.servers": address, "group.id": "c-sharing", "auto.offset.reset": "earliest"}
    members = [Consumer(config), Consumer(config)]
    for member in members:
        member.subscribe(["c-shared"])
    share(members, [2, 2])
    owned = [{part.partition for part in member.assignment()} for member in members]
    assert owned[0] | owned[1] == {0, 1, 2, 3} and not owned[0] & owned[1], owned
    for member in members:
        member.close()


@case
@needs("consumer groups")
def a_consumer_group_of_the_new_protocol(address, admin):
    create(admin, "c-next", 2)
    produce(address, "c-next", [b"x"] * 10)
    consumer = Consumer({"bootstrap.servers": address, "group.id": "c-next", "auto.offset.reset": "earliest",
                         "group.protocol": "consumer"})
    consumer.subscribe(["c-next"])
    assert len(read(consumer, 10)) == 10
    consumer.commit(asynchronous=False)
    described = admin.describe_consumer_groups(["c-next"])["c-next"].result(30)
    assert described.state.name == "STABLE" and len(described.members) == 1, (described.state, described.members)
    assert "c-next" in [group.group_id for group in admin.list_consumer_groups().result(30).valid]
    consumer.close()
    wanted = [ConsumerGroupTopicPartitions("c-next", [TopicPartition("c-next", index) for index in range(2)])]
    [found] = settled(admin.list_consumer_group_offsets(wanted))
    assert sum(max(part.offset, 0) for part in found.topic_partitions) == 10, found.topic_partitions
    admin.delete_consumer_groups(["c-next"])["c-next"].result(30)


@case
@needs("consumer groups")
def members_of_the_new_protocol_share_and_take_over(address, admin):
    create(admin, "c-next-shared", 4)
    config = {"bootstrap.servers": address, "group.id": "c-next-sharing", "auto.offset.reset": "earliest", "group.protocol": "consumer"}
    members = [Consumer(config | {"group.instance.id": name}) for name in ("one", "two")]
    for member in members:
        member.subscribe(["c-next-shared"])
    share(members, [2, 2])
    owned = [{part.partition for part in member.assignment()} for member in members]
    assert owned[0] | owned[1] == {0, 1, 2, 3} and not owned[0] & owned[1], owned
    # A static member keeps its partitions while it is away.
    members[1].close()
    members[1] = Consumer(config | {"group.instance.id": "two"})
    members[1].subscribe(["c-next-shared"])
    share(members, [2, 2])
    assert {part.partition for part in members[1].assignment()} == owned[1], (owned, members[1].assignment())
    third = Consumer(config)
    third.subscribe(["c-next-shared"])
    share([*members, third], [1, 1, 2])
    third.close()
    share(members, [2, 2])
    for member in members:
        member.close()


@case
@needs("consumer groups")
def an_expression_of_the_new_protocol_finds_later_topics(address, admin):
    create(admin, "c-next-seen-1")
    produce(address, "c-next-seen-1", [b"first"])
    consumer = Consumer({"bootstrap.servers": address, "group.id": "c-next-expression", "auto.offset.reset": "earliest",
                         "group.protocol": "consumer"})
    consumer.subscribe(["^c-next-seen-.*"])
    assert read(consumer, 1) == [b"first"]
    create(admin, "c-next-seen-2")
    produce(address, "c-next-seen-2", [b"second"])
    assert read(consumer, 1, seconds=90) == [b"second"]
    consumer.close()


@case
@needs("transactions")
def aborted_records_stay_hidden(address, admin):
    create(admin, "c-transactions")
    producer = Producer({"bootstrap.servers": address, "transactional.id": "c-transaction"})
    producer.init_transactions(30)
    for value, end in ((b"kept", producer.commit_transaction), (b"aborted", producer.abort_transaction),
                       (b"kept too", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce("c-transactions", value, partition=0)
        producer.flush(30)
        end(30)
    consumer = consumer_at(address, "c-transactions", **{"isolation.level": "read_committed"})
    assert read(consumer, 2) == [b"kept", b"kept too"]
    assert read(consumer, 1, seconds=1) == []
    consumer.close()
    everything = consumer_at(address, "c-transactions", **{"isolation.level": "read_uncommitted"})
    assert read(everything, 3) == [b"kept", b"aborted", b"kept too"]
    everything.close()


@case
@needs("transactions")
def offsets_commit_with_a_transaction(address, admin):
    create(admin, "c-source")
    create(admin, "c-target")
    produce(address, "c-source", [b"x"] * 5)
    consumer = Consumer({"bootstrap.servers": address, "group.id": "c-exactly", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe(["c-source"])
    assert len(read(consumer, 5)) == 5
    producer = Producer({"bootstrap.servers": address, "transactional.id": "c-exactly"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("c-target", b"five")
    producer.send_offsets_to_transaction([TopicPartition("c-source", 0, 5)], consumer.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    consumer.close()
    wanted = [ConsumerGroupTopicPartitions("c-exactly", [TopicPartition("c-source", 0)])]
    [found] = settled(admin.list_consumer_group_offsets(wanted))
    assert found.topic_partitions[0].offset == 5, found.topic_partitions


@case
@needs("transactions")
def a_newer_transactional_producer_fences_the_older(address, admin):
    create(admin, "c-fenced")
    config = {"bootstrap.servers": address, "transactional.id": "c-fenced"}
    older, newer = Producer(config), Producer(config)
    older.init_transactions(30)
    older.begin_transaction()
    older.produce("c-fenced", b"old", partition=0)
    older.flush(30)
    newer.init_transactions(30)
    try:
        older.commit_transaction(30)
    except KafkaException as refused:
        assert refused.args[0].fatal() or refused.args[0].name() in ("_FENCED", "INVALID_PRODUCER_EPOCH"), refused
    else:
        raise AssertionError("the older producer committed after it was fenced")


if __name__ == "__main__":
    report(sys.argv[1], AdminClient({"bootstrap.servers": sys.argv[1]}))
