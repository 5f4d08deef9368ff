"""A member of a classic group, as its broker sees it: it joins, syncs, sends heartbeats, and joins again when the broker says so."""
import asyncio
import struct

from group_client import (HEARTBEAT, ILLEGAL_GENERATION, JOIN_GROUP, LEAVE_GROUP, MEMBER_ID_REQUIRED, NONE,
                          REBALANCE_IN_PROGRESS, RETRIABLE, SYNC_GROUP, UNKNOWN_MEMBER_ID, Connection, array, blob, string)


class Group:
    """The common settings of a group's members, and their notes about the group."""

    def __init__(self, address: str, name: str, topic: str, partitions: int, session_ms: int = 10_000, beat_s: float = 0.25):
        self.address, self.name, self.topic, self.partitions = address, name, topic, partitions
        self.session_ms, self.beat_s = session_ms, beat_s
        self.members: set["Member"] = set()
        self.changed = asyncio.Condition()
        self.told_at: float | None = None  # when a member first heard of a rebalance

    def stable(self) -> bool:
        """True if exactly the present members share the partitions in one generation."""
        generations = {member.generation for member in self.members}
        return len(generations) == 1 and None not in generations and \
            sum(len(member.owned) for member in self.members) == self.partitions and \
            all(member.size == len(self.members) for member in self.members if member.leads)

    async def until_stable(self, seconds: float = 120) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(self.stable), seconds)

    async def until_told(self, seconds: float = 120) -> float:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: self.told_at is not None), seconds)
        return self.told_at

    async def add(self) -> "Member":
        member = Member(self)
        self.members.add(member)
        member.task = asyncio.create_task(member.live())
        return member


class Member:
    def __init__(self, group: Group):
        self.group = group
        self.id = ""
        self.generation: int | None = None  # None: between two generations
        self.size = 0
        self.leads = False
        self.owned: list[int] = []
        self.task: asyncio.Task | None = None
        self.connection: Connection | None = None

    async def live(self) -> None:
        self.connection = await Connection.open(self.group.address, "member")
        while True:
            await self.join()
            async with self.group.changed:
                self.group.changed.notify_all()
            while await self.beat() == NONE:
                await asyncio.sleep(self.group.beat_s)
            self.generation = None
            self.group.told_at = self.group.told_at or asyncio.get_running_loop().time()
            async with self.group.changed:
                self.group.changed.notify_all()

    async def join(self) -> None:
        subscription = struct.pack(">h", 0) + array([string(self.group.topic)]) + struct.pack(">i", -1)
        while True:
            answer = await self.connection.call(JOIN_GROUP, string(self.group.name) + struct.pack(
                ">ii", self.group.session_ms, 60_000) + string(self.id) + string(None) + string("consumer") +
                array([string("range") + blob(subscription)]))
            answer.take("i")
            error, generation = answer.take("h"), answer.take("i")
            answer.string()
            leader, self.id = answer.string(), answer.string()
            if error == NONE and await self.sync(generation, leader, answer):
                return
            if error == UNKNOWN_MEMBER_ID:
                self.id = ""
            elif error in RETRIABLE:
                await asyncio.sleep(0.05)
            elif error not in (NONE, MEMBER_ID_REQUIRED, REBALANCE_IN_PROGRESS):
                raise RuntimeError(f"joining failed with error {error}")

    async def sync(self, generation: int, leader: str, joined) -> bool:
        self.leads = leader == self.id
        assignments = []
        if self.leads:
            ids = []
            for _ in range(joined.take("i")):
                ids.append(joined.string())
                if (size := joined.take("h")) > 0:
                    joined.raw(size)
                joined.blob()
            self.size = len(ids)
            parts = [list(range(i, self.group.partitions, len(ids))) for i in range(len(ids))]
            assignments = [string(one) + blob(array([struct.pack(">i", partition) for partition in part]))
                           for one, part in zip(ids, parts)]
        answer = await self.connection.call(SYNC_GROUP, string(self.group.name) + struct.pack(">i", generation) +
                                            string(self.id) + string(None) + array(assignments))
        answer.take("i")
        error = answer.take("h")
        if error == UNKNOWN_MEMBER_ID:
            self.id = ""
        if error != NONE:
            return False
        part = answer.blob()
        self.owned = list(struct.unpack(f">{struct.unpack_from('>i', part)[0]}i", part[4:]))
        self.generation = generation
        return True

    async def beat(self) -> int:
        answer = await self.connection.call(HEARTBEAT, string(self.group.name) + struct.pack(">i", self.generation) +
                                            string(self.id) + string(None))
        answer.take("i")
        error = answer.take("h")
        if error in (UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION):
            self.id = "" if error == UNKNOWN_MEMBER_ID else self.id
        return error

    async def end(self) -> None:
        self.group.members.discard(self)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def leave(self) -> None:
        await self.end()
        self.connection.close()
        goodbye = await Connection.open(self.group.address, "member")
        await goodbye.call(LEAVE_GROUP, string(self.group.name) + array([string(self.id) + string(None)]))
        goodbye.close()

    async def die(self) -> None:
        """Ends the connection without leaving the group, as a killed process does."""
        await self.end()
        self.connection.close()
