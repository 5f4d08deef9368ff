"""Workloads of consumer groups: many members, members that die, and many offsets to load. The clients are group_member.py."""
import asyncio
import os
import pathlib
import statistics
import time

import group_client
from group_member import Group
from harness import brokers
from turns import Row, Settings
from workloads import workload


def cpu_s(broker: brokers.Broker) -> float:
    fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def on_each(settings: Settings, measure) -> dict[str, tuple]:
    """Runs the coroutine measure(broker) for each broker, one after the other."""
    answers = {}
    makers = [brokers.Weir] + ([brokers.Kafka] if settings.with_kafka else [])
    for make in makers:
        with make(settings.folder, settings.broker_cores).start() as broker:
            answers[broker.name] = asyncio.run(measure(broker))
    return answers


async def prepared(broker: brokers.Broker, name: str, partitions: int, **options) -> Group:
    connection = await group_client.Connection.open(broker.address)
    await group_client.create_topic(connection, name, partitions)
    await group_client.await_coordinator(connection, name)
    connection.close()
    return Group(broker.address, name, name, partitions, **options)


def rows_of(name: str, answers: dict[str, tuple], figures) -> list[Row]:
    kafka = answers.get("kafka", [None] * len(figures))
    return [Row(name, figure, unit, answers["weir"][i], kafka[i], gate=gate) for i, (figure, unit, gate) in enumerate(figures)]


@workload("group-200")
def group_200(settings: Settings) -> list[Row]:
    """a group of 200 members on 400 partitions: all join at once, then one after the other is replaced"""
    members, restarts = 200, settings.scaled(10, 200)

    async def measure(broker):
        group = await prepared(broker, "group-200", 2 * members)
        spent, began = cpu_s(broker), time.monotonic()
        for _ in range(members):
            await group.add()
        await group.until_stable()
        joining, joining_cpu = time.monotonic() - began, cpu_s(broker) - spent
        times = []
        spent = cpu_s(broker)
        for _ in range(restarts):
            began = time.monotonic()
            await next(iter(group.members)).leave()
            await group.add()
            await group.until_stable()
            times.append(time.monotonic() - began)
        restart_cpu = (cpu_s(broker) - spent) / restarts
        for member in list(group.members):
            await member.die()
        return joining, joining_cpu * 1000, statistics.median(times), max(times), restart_cpu * 1000

    return rows_of("group-200", on_each(settings, measure), [
        ("all have joined", "s", None), ("broker's processor time for it", "ms", None),
        ("one is replaced, median", "s", None), ("one is replaced, longest", "s", None),
        ("broker's processor time for one", "ms", None)])


@workload("group-kill")
def group_kill(settings: Settings) -> list[Row]:
    """24 members on 1,000 partitions, one of them killed: when the others hear of it and have its partitions (session 6 s)"""
    session_s = 6

    async def measure(broker):
        group = await prepared(broker, "group-kill", 1000, session_ms=session_s * 1000, beat_s=0.5)
        for _ in range(24):
            await group.add()
        await group.until_stable()
        await asyncio.sleep(1)
        group.told_at = None
        began = asyncio.get_running_loop().time()
        await next(iter(group.members)).die()
        heard = await group.until_told() - began
        await group.until_stable()
        taken = asyncio.get_running_loop().time() - began
        for member in list(group.members):
            await member.die()
        return heard, taken

    return rows_of("group-kill", on_each(settings, measure), [
        ("others hear of it", "s", session_s + 1), ("others have its partitions", "s", None)])


@workload("group-load")
def group_load(settings: Settings) -> list[Row]:
    """a million committed offsets of 1,000 groups: from the start until all are served, after SIGTERM and after kill -9"""
    groups, partitions = 1_000, 1_000

    async def fill(broker):
        group = await prepared(broker, "group-load", partitions)
        connection = await group_client.Connection.open(broker.address)
        for number in range(groups):
            while error := await group_client.commit(connection, f"g{number}", group.topic, range(partitions), number):
                if error not in group_client.RETRIABLE:
                    raise RuntimeError(f"committing failed with error {error}")
        connection.close()

    async def served(broker) -> int:
        """Returns how often the broker said that it still loads."""
        loading = 0
        connection = await group_client.Connection.open(broker.address)
        for number in range(groups):
            while True:
                error, offsets = await group_client.committed(connection, f"g{number}", "group-load", range(0, partitions, 100))
                if error == 0:
                    break
                if error not in group_client.RETRIABLE:
                    raise RuntimeError(f"offsets of group g{number} cannot be fetched: error {error}")
                loading += error == group_client.COORDINATOR_LOAD_IN_PROGRESS
                await asyncio.sleep(0.002)
            if offsets != [number] * len(offsets):
                raise RuntimeError(f"group g{number} has other offsets than it committed: {offsets}")
        connection.close()
        return loading

    def measure(broker):
        with broker.start():
            asyncio.run(fill(broker))
            times, loading = [], 0
            for end in (broker.stop, broker.kill):
                end()
                broker.start()
                began = time.monotonic()
                loading += asyncio.run(served(broker))
                times.append(time.monotonic() - began + broker.start_seconds)
            return tuple(times) + (broker.status_kb("VmRSS") / 1024, loading)

    answers = {"weir": measure(brokers.Weir(settings.folder))}
    if settings.with_kafka and settings.full:
        answers["kafka"] = measure(brokers.Kafka(settings.folder))
    return rows_of("group-load", answers, [("after SIGTERM", "s", 1), ("after kill -9", "s", 1), ("resident memory", "MiB", None),
                                             ("answers that it loads", "", None)])
