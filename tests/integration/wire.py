"""Kafka's protocol by hand, as far as hostile clients need it: one connection, old versions without tagged fields."""
import socket
import struct
import time

PRODUCE, FETCH, LIST_OFFSETS, METADATA, FIND_COORDINATOR, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS = 0, 1, 2, 3, 10, 18, 19, 20
STORAGE_ERROR = 56
RETRIABLE = {1: False, 3: True, 6: True, 7: True, 56: True}


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def varint(value: int) -> bytes:
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def batch(payload: bytes) -> bytes:
    """A batch of one record without a key, with the present time: retention takes records of 1970 within minutes."""
    record = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(payload)) + payload + varint(0)
    now_ms = int(time.time() * 1000)
    rest = struct.pack(">hiqqqhii", 0, 0, now_ms, now_ms, -1, -1, -1, 1) + varint(len(record)) + record
    return struct.pack(">qiib", 0, len(rest) + 9, 0, 2) + struct.pack(">I", crc32c(rest)) + rest


def timed_batch(times: list[int], largest: int, attributes: int = 0, key: bytes = b"k", value: bytes = b"v" * 20,
                base_offset: int = 0, compress=lambda records: records) -> bytes:
    """A batch of records at these times, under a header that says `largest`."""
    records = b""
    for delta, at in enumerate(times):
        record = b"\0" + varint(at - times[0]) + varint(delta) + varint(len(key)) + key
        record += varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    rest = struct.pack(">hiqqqhii", attributes, len(times) - 1, times[0], largest, -1, -1, -1, len(times)) + compress(records)
    return struct.pack(">qiib", base_offset, len(rest) + 9, 0, 2) + struct.pack(">I", crc32c(rest)) + rest


def request(key: int, version: int, body: bytes, correlation: int = 1) -> bytes:
    frame = struct.pack(">hhi", key, version, correlation) + text("hostile") + body
    return struct.pack(">i", len(frame)) + frame


def produce_request(topic: str, records: bytes, partition: int = 0) -> bytes:
    body = struct.pack(">hhi", -1, -1, 30000) + struct.pack(">i", 1) + text(topic)
    body += struct.pack(">iii", 1, partition, len(records)) + records
    return request(PRODUCE, 7, body)


def fetch_request(topic: str, offset: int, most: int = 1 << 20, wait_ms: int = 500) -> bytes:
    body = struct.pack(">iiiib", -1, wait_ms, 1, most, 0) + struct.pack(">i", 1) + text(topic)
    body += struct.pack(">iiqi", 1, 0, offset, most)
    return request(FETCH, 4, body)


class Client:
    def __init__(self, port: int, seconds: float = 30, host: str = "127.0.0.1", source: str | None = None):
        self.socket = socket.create_connection((host, port), timeout=seconds, source_address=(source, 0) if source else None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def answer(self) -> bytes:
        (size,) = struct.unpack(">i", self.exactly(4))
        return self.exactly(size)[4:]

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self.socket.recv(min(count - len(data), 1 << 20))
            if not got:
                raise ConnectionError("the broker closed the connection")
            data += got
        return data

    def ask(self, frame: bytes) -> bytes:
        self.socket.sendall(frame)
        return self.answer()

    def brokers(self) -> list[tuple[str, int]]:
        """Returns host and port of each broker, by Metadata."""
        answer = self.ask(request(METADATA, 1, struct.pack(">i", 0)))
        (count,), at, found = struct.unpack_from(">i", answer), 4, []
        for _ in range(count):
            (size,) = struct.unpack_from(">h", answer, at + 4)
            host = answer[at + 6:at + 6 + size].decode()
            port, rack = struct.unpack_from(">ih", answer, at + 6 + size)
            found.append((host, port))
            at += 12 + size + max(rack, 0)
        return found

    def coordinator(self, group: str) -> tuple[str, int]:
        """Returns host and port of the group's coordinator."""
        answer = self.ask(request(FIND_COORDINATOR, 0, text(group)))
        error, _, size = struct.unpack_from(">hih", answer)
        if error:
            raise AssertionError(f"FindCoordinator of {group}: error {error}")
        return answer[8:8 + size].decode(), struct.unpack_from(">i", answer, 8 + size)[0]

    def create_topic(self, name: str, partitions: int = 1, **configs: str) -> None:
        """`configs`: configurations, with `_` where the name has a dot."""
        body = struct.pack(">i", 1) + text(name) + struct.pack(">ihii", partitions, 1, 0, len(configs))
        body += b"".join(text(key.replace("_", ".")) + text(value) for key, value in configs.items()) + struct.pack(">ib", 30000, 0)
        answer = self.ask(request(CREATE_TOPICS, 2, body))
        (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name))
        if error not in (0, 36):
            raise AssertionError(f"CreateTopics of {name}: error {error}")

    def delete_topic(self, name: str) -> int:
        """Returns the error code."""
        answer = self.ask(request(DELETE_TOPICS, 1, struct.pack(">i", 1) + text(name) + struct.pack(">i", 30000)))
        return struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name))[0]

    def produce(self, topic: str, records: bytes) -> tuple[int, int]:
        """Returns error code and base offset."""
        answer = self.ask(produce_request(topic, records))
        error, offset = struct.unpack_from(">hq", answer, 4 + 2 + len(topic) + 4 + 4)
        return error, offset

    def fetch(self, topic: str, offset: int, most: int = 1 << 20) -> tuple[int, int, bytes]:
        """Returns error code, high watermark and whole batches."""
        answer = self.ask(fetch_request(topic, offset, most))
        at = 4 + 4 + 2 + len(topic) + 4 + 4
        error, high_watermark, _ = struct.unpack_from(">hqq", answer, at)
        (aborted,) = struct.unpack_from(">i", answer, at + 18)
        at += 22 + 16 * max(aborted, 0)
        (size,) = struct.unpack_from(">i", answer, at)
        return error, high_watermark, answer[at + 4:at + 4 + max(size, 0)]

    def batches(self, topic: str, offset: int = 0) -> list[tuple[int, int, int, int, int]]:
        """Returns of each batch: base offset, attributes, base and max timestamp, number of records."""
        found = []
        while True:
            error, high_watermark, data = self.fetch(topic, offset)
            assert error == 0, f"Fetch of {topic} at {offset}: error {error}"
            at = 0
            while at < len(data):
                base, size = struct.unpack_from(">qi", data, at)
                attributes, delta, first, largest, _, _, _, count = struct.unpack_from(">hiqqqhii", data, at + 21)
                found.append((base, attributes, first, largest, count))
                offset = base + delta + 1
                at += 12 + size
            if offset >= high_watermark:
                return found

    def offset_for(self, topic: str, timestamp: int) -> tuple[int, int, int]:
        """Returns error code, offset and timestamp, by ListOffsets 7 (-3 asks for the largest timestamp)."""
        name = bytes([len(topic) + 1]) + topic.encode()
        body = struct.pack(">ib", -1, 0) + b"\2" + name + b"\2" + struct.pack(">iiq", 0, -1, timestamp) + b"\0\0\0"
        frame = struct.pack(">hhi", LIST_OFFSETS, 7, 1) + text("times") + b"\0" + body
        answer = self.ask(struct.pack(">i", len(frame)) + frame)
        error, found, offset = struct.unpack_from(">hqq", answer, 1 + 4 + 1 + len(name) + 1 + 4)
        return error, offset, found


def intact(batches: bytes, at: int) -> bool:
    """True if the batch at `at` matches its checksum."""
    (length,) = struct.unpack_from(">i", batches, at + 8)
    return struct.unpack_from(">I", batches, at + 17)[0] == crc32c(batches[at + 21:at + 12 + length])


def payloads(batches: bytes):
    """Yields base offset and payload of batches as batch() makes them."""
    at = 0
    while at + 12 <= len(batches):
        base, length = struct.unpack_from(">qi", batches, at)
        if at + 12 + length > len(batches):
            return
        if struct.unpack_from(">i", batches, at + 57)[0] == 0:  # holds the place of offsets
            at += 12 + length
            continue
        record = batches[at + 61:at + 12 + length]
        sizes, position = [], 0
        for _ in range(5):  # length, [attributes], timestamp and offset deltas, key, value
            if len(sizes) == 1:
                position += 1
            value = shift = 0
            while True:
                byte = record[position]
                position += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            sizes.append(value >> 1 ^ -(value & 1))
        yield base, record[position:position + sizes[4]]
        at += 12 + length
