"""Cases on kafka-python, whose protocol code is its own: kafka_python_clients.py HOST:PORT."""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from reporting import case, report


def create(admin: KafkaAdminClient, name: str, partitions: int = 1) -> None:
    admin.create_topics([NewTopic(name, partitions, 1)])


def produce(address: str, topic: str, values: list[bytes], **config) -> None:
    producer = KafkaProducer(bootstrap_servers=address, **config)
    sent = [producer.send(topic, value, partition=0) for value in values]
    for future in sent:
        future.get(30)
    producer.close()


def read(address: str, topic: str, count: int, **config) -> list:
    consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=20_000, **config)
    if config.get("group_id"):
        consumer.subscribe([topic])
    else:
        consumer.assign([TopicPartition(topic, 0)])
    records = []
    for record in consumer:
        records.append(record)
        if len(records) == count:
            break
    if config.get("group_id"):
        consumer.commit()
    consumer.close()
    return records


@case
def creates_and_describes_topics(address, admin):
    create(admin, "k-created", 3)
    [topic] = admin.describe_topics(["k-created"])
    assert len(topic["partitions"]) == 3, topic
    admin.delete_topics(["k-created"])


@case
def returns_keys_values_and_headers(address, admin):
    create(admin, "k-shaped")
    producer = KafkaProducer(bootstrap_servers=address)
    producer.send("k-shaped", b"value", key=b"key", headers=[("colour", b"red")], timestamp_ms=1_700_000_000_000).get(30)
    producer.close()
    [record] = read(address, "k-shaped", 1)
    assert (record.key, record.value, record.timestamp) == (b"key", b"value", 1_700_000_000_000), record
    assert list(record.headers) == [("colour", b"red")], record.headers


@case
def returns_gzip(address, admin):
    create(admin, "k-gzip")
    values = [b"repeated %d" % i for i in range(2000)]
    produce(address, "k-gzip", values, compression_type="gzip")
    assert [record.value for record in read(address, "k-gzip", 2000)] == values


@case
def takes_an_idempotent_producer(address, admin):
    create(admin, "k-idempotent")
    values = [b"%d" % i for i in range(2000)]
    produce(address, "k-idempotent", values, enable_idempotence=True)
    assert [record.value for record in read(address, "k-idempotent", 2000)] == values


@case
def finds_offsets_by_time(address, admin):
    create(admin, "k-timed")
    producer = KafkaProducer(bootstrap_servers=address)
    for i in range(10):
        producer.send("k-timed", b"x", partition=0, timestamp_ms=1_700_000_000_000 + 1000 * i)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=address)
    where = TopicPartition("k-timed", 0)
    assert consumer.offsets_for_times({where: 1_700_000_003_500})[where].offset == 4
    assert consumer.beginning_offsets([where])[where] == 0
    assert consumer.end_offsets([where])[where] == 10
    consumer.close()


@case
def a_group_goes_on_where_it_committed(address, admin):
    create(admin, "k-group")
    produce(address, "k-group", [b"%d" % i for i in range(20)])
    config = {"group_id": "k-readers", "enable_auto_commit": False, "max_poll_records": 5}
    assert [record.value for record in read(address, "k-group", 5, **config)] == [b"%d" % i for i in range(5)]
    assert [record.value for record in read(address, "k-group", 5, **config)] == [b"%d" % i for i in range(5, 10)]


def assigned_together(members: list[KafkaConsumer], seconds: float = 40) -> list[set]:
    """Polls all until each has partitions and none is there twice."""
    deadline = time.monotonic() + seconds
    while True:
        for member in members:
            member.poll(50)
        parts = [member.assignment() for member in members]
        if all(parts) and len(set().union(*parts)) == sum(map(len, parts)):
            return parts
        assert time.monotonic() < deadline, parts


@case
def members_share_partitions_and_take_over(address, admin):
    create(admin, "k-shared", 4)
    config = {"bootstrap_servers": address, "group_id": "k-pair", "session_timeout_ms": 6000, "heartbeat_interval_ms": 300}
    members = [KafkaConsumer("k-shared", **config) for _ in range(2)]
    assert sorted(map(len, assigned_together(members))) == [2, 2]
    group = admin.describe_groups(["k-pair"])["k-pair"]
    assert group["group_state"] == "Stable" and len(group["members"]) == 2, group
    members[1].close()
    deadline = time.monotonic() + 40
    while len(members[0].assignment()) != 4:
        members[0].poll(50)
        assert time.monotonic() < deadline, members[0].assignment()
    members[0].close()


@case
def offsets_are_reset_and_deleted(address, admin):
    create(admin, "k-offsets")
    produce(address, "k-offsets", [b"%d" % i for i in range(10)])
    read(address, "k-offsets", 10, group_id="k-offsets", enable_auto_commit=False)
    where = TopicPartition("k-offsets", 0)
    assert admin.list_group_offsets("k-offsets")["k-offsets"][where].offset == 10
    admin.delete_group_offsets("k-offsets", [where])
    assert where not in admin.list_group_offsets("k-offsets")["k-offsets"]
    admin.delete_groups(["k-offsets"])
    assert not any("k-offsets" in str(group) for group in admin.list_groups())


if __name__ == "__main__":
    report(sys.argv[1], KafkaAdminClient(bootstrap_servers=sys.argv[1]))
