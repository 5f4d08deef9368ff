"""A client of the group APIs, on asyncio and raw frames: cheap enough to have hundreds of members in one process.

All requests are of versions without tagged fields, which Weir and Apache Kafka both serve.
"""
import asyncio
import struct

NONE, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR = 0, 14, 15, 16
ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED = 22, 25, 27, 79
RETRIABLE = {COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR}
CREATE_TOPICS, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = (19, 2), (8, 2), (9, 3), (10, 1)
JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP, DESCRIBE_GROUPS = (11, 5), (12, 3), (13, 3), (14, 3), (15, 4)


def string(text: str | None) -> bytes:
    if text is None:
        return struct.pack(">h", -1)
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def blob(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def array(items: list[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


class Fields:
    """Reads the fields of an answer one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, layout: str):
        (value,) = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return value

    def raw(self, size: int) -> bytes:
        self.at += max(size, 0)
        return self.data[self.at - max(size, 0):self.at]

    def string(self) -> str:
        return self.raw(self.take("h")).decode()

    def blob(self) -> bytes:
        return self.raw(self.take("i"))


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client_id: str):
        self.reader, self.writer, self.client_id = reader, writer, client_id
        self.turn = asyncio.Lock()

    @classmethod
    async def open(cls, address: str, client_id: str = "bench") -> "Connection":
        host, port = address.rsplit(":", 1)
        return cls(*await asyncio.open_connection(host, int(port)), client_id)

    async def call(self, api: tuple[int, int], body: bytes) -> Fields:
        frame = struct.pack(">hhi", *api, 7) + string(self.client_id) + body
        async with self.turn:
            self.writer.write(blob(frame))
            (size,) = struct.unpack(">i", await self.reader.readexactly(4))
            fields = Fields(await self.reader.readexactly(size))
        fields.take("i")  # correlation id
        return fields

    def close(self) -> None:
        """Closes the connection at once, as the end of a process does."""
        self.writer.transport.abort()


async def create_topic(connection: Connection, name: str, partitions: int) -> None:
    topic = string(name) + struct.pack(">ih", partitions, 1) + array([]) + array([])
    answer = await connection.call(CREATE_TOPICS, array([topic]) + struct.pack(">ib", 60_000, 0))
    answer.take("i")
    answer.take("i")
    answer.string()
    if error := answer.take("h"):
        raise RuntimeError(f"the topic {name} cannot be created: error {error}")


async def await_coordinator(connection: Connection, group: str) -> None:
    while True:
        answer = await connection.call(FIND_COORDINATOR, string(group) + b"\0")
        answer.take("i")
        if answer.take("h") == NONE:
            return
        await asyncio.sleep(0.05)


async def commit(connection: Connection, group: str, topic: str, partitions: range, offset: int) -> int:
    """Commits without being a member. Returns the first error of a partition, or 0."""
    items = [struct.pack(">iq", partition, offset) + string("") for partition in partitions]
    answer = await connection.call(OFFSET_COMMIT, string(group) + struct.pack(">i", -1) + string("") + struct.pack(">q", -1) +
                                   array([string(topic) + array(items)]))
    answer.take("i")
    answer.string()
    for _ in range(answer.take("i")):
        answer.take("i")
        if error := answer.take("h"):
            return error
    return NONE


async def committed(connection: Connection, group: str, topic: str, partitions: range) -> tuple[int, list[int]]:
    """Returns the error and the offsets."""
    items = [struct.pack(">i", partition) for partition in partitions]
    answer = await connection.call(OFFSET_FETCH, string(group) + array([string(topic) + array(items)]))
    answer.take("i")
    offsets = []
    for _ in range(answer.take("i")):
        answer.string()
        for _ in range(answer.take("i")):
            answer.take("i")
            offsets.append(answer.take("q"))
            answer.string()
            answer.take("h")
    return answer.take("h"), offsets
