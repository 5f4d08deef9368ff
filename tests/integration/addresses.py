"""The addresses that the broker listens on and announces, and the number of clients that it takes."""
import pathlib
import socket

import hostile
import wire
from harness import brokers

CASES = []


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


@case
def all_interfaces_answer_with_the_address_that_was_used(folder: pathlib.Path):
    """Each way to write it takes IPv4 and IPv6, as Java's wildcard does."""
    hosts = ["127.0.0.1", "127.0.0.2"]
    if socket.has_ipv6 and pathlib.Path("/proc/net/if_inet6").exists() and pathlib.Path("/proc/net/if_inet6").read_text():
        hosts.append("::1")
    arguments = ["--listeners", "ZERO://0.0.0.0:0,NONE://:0,COLONS://[::]:0", "--set",
                 "listener.security.protocol.map=ZERO:PLAINTEXT,NONE:PLAINTEXT,COLONS:PLAINTEXT"]
    with brokers.Weir(folder, arguments=arguments).start() as broker:
        for listener in broker.ready["listeners"]:
            assert listener["advertised"] is None, listener
            port = listener["bound"]["port"]
            for host in hosts:
                with wire.Client(port, host=host) as client:
                    assert client.brokers() == [(host, port)], f"{host}: {client.brokers()}"
                    assert client.coordinator("g") == (host, port), f"{host}: {client.coordinator('g')}"
    return ", ".join(hosts)


@case
def each_listener_tells_its_own_advertised_address(folder: pathlib.Path):
    arguments = ["--listeners", "IN://127.0.0.1:0,OUT://127.0.0.1:0", "--advertised-listeners",
                 "IN://in.example:1111,OUT://out.example:2222", "--set", "listener.security.protocol.map=IN:PLAINTEXT,OUT:PLAINTEXT"]
    with brokers.Weir(folder, arguments=arguments).start() as broker:
        told = {}
        for listener in broker.ready["listeners"]:
            assert (listener["host"], listener["port"]) == (listener["advertised"]["host"], listener["advertised"]["port"])
            with wire.Client(listener["bound"]["port"]) as client:
                told[listener["name"]] = client.brokers()
                assert [client.coordinator("g")] == told[listener["name"]]
        assert told == {"IN": [("in.example", 1111)], "OUT": [("out.example", 2222)]}, told


def served(port: int, source: str) -> socket.socket | None:
    """A connection that was answered; None if the broker let it go."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    try:
        connection.sendall(wire.request(wire.API_VERSIONS, 0, b""))
        if connection.recv(1 << 16):
            return connection
    except ConnectionError:
        pass
    connection.close()
    return None


def fills_up(folder: pathlib.Path, key: str, limit: int, other_address_is_served: bool) -> None:
    with brokers.Weir(folder, arguments=["--set", f"{key}={limit}"]).start() as broker:
        held: list[socket.socket] = []

        def one_more(source: str = "127.0.0.1") -> bool:
            connection = served(broker.port, source)
            if connection:
                held.append(connection)
            return connection is not None
        # Connections of the start may still be on their way out.
        for number in range(limit):
            hostile.wait_for(one_more, 10, f"connection {number + 1} of {limit} is refused")
        assert not one_more(), f"{len(held)} connections with {key}={limit}"
        assert one_more("127.0.0.2") == other_address_is_served, f"another address: {not other_address_is_served}"
        assert f"{key} is reached" in broker.log_path.read_text(), broker.log_tail()
        held.pop(0).close()
        hostile.wait_for(one_more, 10, "a connection went, and its place is not given to another")
        assert not one_more()
        for connection in held:
            connection.sendall(wire.request(wire.API_VERSIONS, 0, b""))
            assert connection.recv(1 << 16), "a connection that was admitted is gone"
            connection.close()


@case
def max_connections(folder: pathlib.Path):
    fills_up(folder, "max.connections", 20, other_address_is_served=False)


@case
def max_connections_of_one_address(folder: pathlib.Path):
    fills_up(folder, "max.connections.per.ip", 5, other_address_is_served=True)


@case
def idle_connections_leave_descriptors_to_the_log(folder: pathlib.Path):
    """New files of the log and of segments need descriptors, however many the clients use."""
    arguments = ["--shards", "1", "--set", "weir.dirty.bytes.max=1000000"]
    with brokers.Weir(folder, arguments=arguments, open_files=200).start() as broker, wire.Client(broker.port) as client:
        held = [connection for _ in range(250) if (connection := served(broker.port, "127.0.0.1"))]
        assert 80 <= len(held) <= 100, f"{len(held)} connections with 200 descriptors"
        for topic in range(20):
            client.create_topic(f"t{topic}")
            error, _ = client.produce(f"t{topic}", wire.batch(bytes(900_000)))
            assert error == 0, f"Produce: error {error}: {broker.log_tail()}"
        for connection in held:
            connection.close()
        assert "LimitNOFILE" in broker.log_path.read_text(), broker.log_tail()
        assert "Too many open files" not in broker.log_path.read_text(), broker.log_tail()
    return f"{len(held)} of 250 connections"
