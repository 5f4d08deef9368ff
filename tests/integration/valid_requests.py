"""Requests of every API in every version that a broker advertises, encoded by the schemas of src/protocol/schema.

Values come from a Names: topics and groups that exist now and then, counts and times that keep a request short.
"""
import pathlib
import random
import struct
import sys
from dataclasses import dataclass, field

import wire

PROTOCOL = pathlib.Path(__file__).resolve().parents[2] / "src/protocol"
sys.path.insert(0, str(PROTOCOL))
from schema import load  # noqa: E402

FORMATS = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "int64": ">q", "float64": ">d"}
NO_ID = bytes(16)
# Values of fields by name. All other fields get a small number or a short text.
NUMBERS = {
    "timeout_ms": (50, 500), "max_wait_ms": (0, 20, 100), "min_bytes": (0, 1), "max_bytes": (1, 1 << 20),
    "partition_max_bytes": (1, 1 << 20), "acks": (-1, -1, 1, 0), "replica_id": (-1,), "session_id": (0,),
    "session_epoch": (-1, 0), "session_timeout_ms": (300,), "rebalance_timeout_ms": (100, 300), "num_partitions": (-1, 1, 3),
    "replication_factor": (-1, 1), "count": (2, 4, 6), "current_leader_epoch": (-1,), "last_fetched_epoch": (-1,),
    "leader_epoch": (-1, 0), "timestamp": (-1, -2, -3, 0), "offset": (-1, 0, 1), "fetch_offset": (0, 0, 1),
    "committed_offset": (0, 7), "committed_leader_epoch": (-1,), "generation_id": (-1, 1), "resource_type": (2, 4, 8, 16, 32),
    "generation_id_or_member_epoch": (-1,), "retention_time_ms": (-1,), "producer_id": (-1,), "producer_epoch": (-1,),
    "transaction_timeout_ms": (1000,), "log_start_offset": (-1,), "isolation_level": (0, 1), "key_type": (0, 0, 1),
    "config_operation": (0, 1, 2, 3), "broker_ids": (1,), "replicas": (1,), "response_partition_limit": (1, 2000),
    "high_watermark": (-1,),
}
TOPIC_FIELDS = {"topic", "topic_name", "topic_names"}
GROUP_FIELDS = {"group_id", "groups", "groups_names", "key", "coordinator_keys"}
CONFIGS = {"retention.ms": ("60000", "-1"), "segment.bytes": ("1048576",), "cleanup.policy": ("delete", "compact"), "nonsense": ("x",)}


@dataclass
class Names:
    """The names that requests use. `ids` of topics may be out of date: topics are deleted and created all the time."""
    topics: list[str]
    groups: list[str]
    ids: list[bytes] = field(default_factory=list)


def served(port: int) -> list[tuple]:
    """Returns (message, version) of each request that the broker advertises and the schemas know."""
    requests = {m.api_key: m for each in load(PROTOCOL / "schema") for m in each.messages if m.kind == "request"}
    with wire.Client(port) as client:
        answer = client.ask(wire.request(wire.API_VERSIONS, 0, b""))
    (count,) = struct.unpack_from(">i", answer, 2)
    found = []
    for number in range(count):
        key, low, high = struct.unpack_from(">hhh", answer, 6 + 6 * number)
        message = requests[key]
        found += [(message, version) for version in range(max(low, message.versions.low), min(high, message.versions.high) + 1)]
    return found


def frame(message, version: int, names: Names, chance: random.Random, correlation: int) -> bytes:
    flexible = version >= message.flexible
    head = struct.pack(">hhi", message.api_key, version, correlation) + wire.text("churn") + (b"\0" if flexible else b"")
    whole = head + Encoder(message, version, names, chance).fields(message.root)
    return struct.pack(">i", len(whole)) + whole


def expects_answer(message, version: int, whole: bytes) -> bool:
    """False for a produce request with acks=0: it gets no answer."""
    if message.api_key != wire.PRODUCE:
        return True
    at = 4 + 8 + 2 + len("churn")
    if version >= message.flexible:
        at += 1  # no tagged fields
        at += max(whole[at], 1)  # the transactional id: its length and one more, 0 for null
    else:
        at += 2 + max(struct.unpack_from(">h", whole, at)[0], 0)
    return struct.unpack_from(">h", whole, at)[0] != 0


def unsigned(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


class Encoder:
    def __init__(self, message, version: int, names: Names, chance: random.Random):
        self.message, self.version, self.names, self.chance = message, version, names, chance
        self.flexible = version >= message.flexible

    def fields(self, of) -> bytes:
        present = [each for each in of.fields if each.versions.contains(self.version) and each.tag is None]
        # A topic is named, or given by its id, where both are possible.
        named = {each.name: each for each in present}
        either = "topic_id" in named and "name" in named and named["name"].nullable is not None
        by_id = either and self.version >= (12 if self.message.api_key == wire.METADATA else 6) and self.chance.random() < 0.5
        out = b""
        for each in present:
            if either and each.name == "name":
                out += self.text(None if by_id else self.topic(), True)
            elif either and each.name == "topic_id":
                out += self.topic_id() if by_id else NO_ID
            else:
                out += self.field(each)
        return out + (b"\0" if self.flexible else b"")

    def field(self, each) -> bytes:
        nullable = each.nullable is not None and each.nullable.contains(self.version)
        null = nullable and self.is_null(each)
        if each.array:
            if null:
                return self.length(-1, 4)
            count = self.chance.choice((0, 1, 1, 2, 3))
            return self.length(count, 4) + b"".join(self.value(each) for _ in range(count))
        if each.struct is not None and nullable:
            return b"\xff" if null else b"\1" + self.value(each)
        if each.base in ("string", "bytes", "records"):
            value = None if null else self.content(each)
            return self.text(value, not each.rigid) if each.base == "string" else self.bytes(value)
        return self.value(each)

    def is_null(self, each) -> bool:
        if each.name in ("transactional_id", "group_instance_id"):
            return self.chance.random() < 0.95
        return each.base != "records" and self.chance.random() < 0.3

    def value(self, each) -> bytes:
        if each.struct is not None:
            return self.fields(each.struct)
        if each.base == "string":
            return self.text(self.content(each), not each.rigid)
        if each.base in ("bytes", "records"):
            return self.bytes(self.content(each))
        if each.base == "uuid":
            return self.topic_id() if each.name == "topic_id" else self.chance.randbytes(16)
        if each.base == "bool":
            return bytes([self.chance.random() < 0.3])
        return struct.pack(FORMATS[each.base], self.chance.choice(NUMBERS.get(each.name, (0, 0, 1, 2))))

    def content(self, each):
        if each.base == "records":
            return wire.batch(self.chance.randbytes(self.chance.choice((1, 100, 5000))))
        if each.base == "bytes":
            return self.chance.randbytes(self.chance.choice((0, 5, 60)))
        if each.name in TOPIC_FIELDS:
            return self.topic()
        if each.name in GROUP_FIELDS:
            # A join of a group with other members waits for them.
            return self.chance.choice(self.names.groups) if self.chance.random() < 0.8 else f"g{self.chance.getrandbits(32)}"
        if each.name in ("name", "resource_name", "value", "configuration_keys"):
            return self.chance.choice((self.topic(), self.topic(), self.chance.choice(list(CONFIGS)), "60000", "1"))
        if each.name == "client_software_name" or each.name == "client_software_version":
            return "churn"
        return self.chance.choice(("", "a", "consumer", "range"))

    def topic(self) -> str:
        return self.chance.choice(self.names.topics)

    def topic_id(self) -> bytes:
        return self.chance.choice(self.names.ids) if self.names.ids else NO_ID

    def length(self, count: int, width: int, compact: bool = True) -> bytes:
        if self.flexible and compact:
            return unsigned(count + 1)
        return struct.pack(">h" if width == 2 else ">i", count)

    def text(self, value, compact: bool) -> bytes:
        return self.length(-1, 2, compact) if value is None else self.length(len(value), 2, compact) + value.encode()

    def bytes(self, value) -> bytes:
        return self.length(-1, 4) if value is None else self.length(len(value), 4) + value
