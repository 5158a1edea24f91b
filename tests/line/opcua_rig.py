"""A line with one OPC UA press, and the faults that its server and its network have."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from adapters._opcua.trusted import TrustList
from edge.journal import JournalReader
from tests.support.agent import Agent, running_agent
from tests.support.black_hole import BlackHole
from tests.support.node_opcua import NAMESPACE, PASSWORD, USER, NodeServer

PART_MS = 50
TOLD_WITHIN_S = 10.0
"""From the begin of an outage until it is said."""
BACK_WITHIN_S = 15.0
"""From the server's return until every part of the outage is counted."""
CLEAR = 'security = "None"'
USED = f"""
user = "{USER}"
password = {{{{ file = "{{folder}}/password" }}}}
"""
LINE = """
[line]
name = "line-1"
badge = "optional"

[source.press]
type = "opcua"
endpoint = "opc.tcp://127.0.0.1:{port}"
publish = "200ms"
{keys}

[[station]]
name = "press"
ideal_cycle = "20ms"
good = {{ source = "press", node = "nsu={namespace};s=Count.Good", counter = "u32", every = "50ms" }}
reject = {{ source = "press", node = "nsu={namespace};s=Count.Reject", counter = "u32", every = "50ms" }}
state = {{ source = "press", node = "nsu={namespace};s=State", map = "packml" }}

[sink.file]
type = "file"
linger = "1ms"
{more}
"""


def line(folder: Path, port: int, keys: str = CLEAR, more: str = "") -> str:
    return LINE.format(port=port, keys=keys, namespace=NAMESPACE, more=more)


def protected(folder: Path, server: NodeServer) -> str:
    """The keys of a source that reaches a `SECURE` server; its certificate is trusted, as a person would."""
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    TrustList(folder / "data/pki").trust(server.certificate_der)
    return USED.format(folder=folder)


def agent(folder: Path, port: int, keys: str = CLEAR, more: str = "") -> AbstractAsyncContextManager[Agent]:
    return running_agent(folder, line(folder, port, keys, more))


def counted(folder: Path) -> tuple[int, int]:
    """(good, reject) of every count event of the journal; (0, 0) where there is no journal yet."""
    path = folder / "data/journal.db"
    if not path.exists():
        return 0, 0
    reader = JournalReader(path, "line-1")
    try:
        parts = Counter[str]()
        first, last = 1, reader.head()
        while records := reader.records(first, last, 5_000):
            for one in (json.loads(one.json)["data"] for one in records if one.type == "count"):
                parts[one["role"]] += one["produced"]
            first = records[-1].seq + 1
        return parts["good"], parts["reject"]
    finally:
        reader.close()


def made(server: NodeServer) -> tuple[int, int]:
    truth = server.truth
    return truth.made - truth.rejects, truth.rejects


def reached(has: tuple[int, int], wanted: tuple[int, int]) -> bool:
    return has[0] >= wanted[0] and has[1] >= wanted[1]


async def begin(running: Agent, server: NodeServer) -> None:
    """The plant goes once both counters have been read: what was made before is nobody's."""
    await running.until(lambda: len(running.events("count")) >= 2)
    await server.ask("run", on=True)


# --- outages --------------------------------------------------------------------------------


@dataclass(slots=True)
class Rig:
    """An agent, its server, and the network between them."""

    folder: Path
    running: Agent
    server: NodeServer
    hole: BlackHole
    back_s: list[float] = field(default_factory=list)
    """Of every outage: from the server's return until all of its parts were counted, and one made since."""
    sessions: list[int] = field(default_factory=list)
    """Of every outage: how many sessions the server made for it."""

    async def outage(self, fault: "Fault", away_s: float) -> None:
        """Let it happen, and wait until every part of it is counted; AssertionError where that never is."""
        before, starts = await self.server.ask("stats"), self.server.starts
        await fault(self, away_s)
        returned_s, (good, reject) = time.monotonic(), made(self.server)
        wanted = good + 2, reject  # and a part that was made since
        deadline_s = returned_s + BACK_WITHIN_S
        while not reached(has := counted(self.folder), wanted) and time.monotonic() < deadline_s:
            await asyncio.sleep(0.05)
        self.back_s.append(time.monotonic() - returned_s)
        after = await self.server.ask("stats")
        same = self.server.starts == starts
        self.sessions.append(after["sessions_created"] - (before["sessions_created"] if same else 0))
        words = f"{fault.__name__} for {away_s:.1f} s: {has} of {wanted} after {BACK_WITHIN_S:.0f} s"
        assert reached(has, wanted), f"{words}; the agent said:\n{self.running.log[-3000:]}"

    async def told(self, fault: "Fault", away_s: float) -> float:
        """As `outage`, and how long it took until the loss was said."""
        before, began_s = self.running.log.count("press: unavailable"), time.monotonic()
        said_s: list[float] = []

        async def listen() -> None:
            await self.running.until(lambda: self.running.log.count("press: unavailable") > before)
            said_s.append(time.monotonic() - began_s)

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            await self.outage(fault, away_s)
            listening.cancel()
        assert said_s, f"{fault.__name__} for {away_s} s was never said:\n{self.running.log}"
        return said_s[0]

    async def settle(self) -> None:
        """The plant rests, and what is counted is what was made, to the part."""
        await self.server.ask("run", on=False)
        await self.running.until(lambda: reached(counted(self.folder), made(self.server)), BACK_WITHIN_S)
        assert counted(self.folder) == made(self.server)
        assert "Traceback" not in self.running.log, self.running.log


Fault = Callable[[Rig, float], Awaitable[None]]


async def killed(rig: Rig, away_s: float) -> None:
    await rig.server.kill()
    await asyncio.sleep(away_s)
    await rig.server.start(gone="", before=0)


async def ended(rig: Rig, away_s: float) -> None:
    """An orderly end: the server says goodbye."""
    await rig.server.stop()
    await asyncio.sleep(away_s)
    await rig.server.start(gone="", before=0)


async def shifted(rig: Rig, away_s: float) -> None:
    """Back with other namespace indexes."""
    await rig.server.kill()
    await asyncio.sleep(away_s)
    await rig.server.start(gone="", before=rig.server.starts)


async def halved(rig: Rig, away_s: float) -> None:
    """Back without half of its nodes; the counters are there."""
    await rig.server.kill()
    await asyncio.sleep(away_s)
    await rig.server.start(gone="odd")


async def stalled(rig: Rig, away_s: float) -> None:
    rig.server.stall()
    await asyncio.sleep(away_s)
    rig.server.resume()


async def swallowed(rig: Rig, away_s: float) -> None:
    """The network is a black hole; the plant goes on."""
    await rig.hole.swallow()
    await asyncio.sleep(away_s)
    rig.hole.heal()


async def unsubscribed(rig: Rig, _away_s: float) -> None:
    """The server deletes the subscription."""
    await rig.server.ask("drop_subscriptions")


async def forgotten(rig: Rig, _away_s: float) -> None:
    """The server keeps the subscription, and forgets what it should watch."""
    await rig.server.ask("forget_items")


async def muted(rig: Rig, _away_s: float) -> None:
    """The server answers what is read and sends its keep-alives, but notifies nothing more."""
    await rig.server.ask("mute", on=True)


async def thrown_out(rig: Rig, _away_s: float) -> None:
    """The server closes the session, and keeps the connection."""
    await rig.server.ask("end_sessions")


async def frozen(rig: Rig, away_s: float) -> None:
    """The agent itself stands still, as a box that swaps or a virtual machine that is moved."""
    rig.running.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(away_s)
    rig.running.process.send_signal(signal.SIGCONT)


FAULTS: tuple[Fault, ...] = (
    killed, ended, shifted, halved, stalled, swallowed, unsubscribed, forgotten, muted, thrown_out,
    frozen,
)  # fmt: skip


# --- faults that need more than a moment ------------------------------------------------------


async def vanished(rig: Rig, away_s: float) -> None:
    """A counter's node is deleted in the running server, and made again; the plant goes on."""
    await rig.server.ask("remove", names=["Count.Good"])
    await asyncio.sleep(away_s)
    await rig.server.ask("add", names=["Count.Good"])


async def late_reads(rig: Rig, away_s: float) -> None:
    """Every read is answered later than a request may take."""
    await held(rig, "Read", away_s)


async def late_sessions(rig: Rig, away_s: float) -> None:
    """The session is ended, and the next ones are created later than a request may take."""
    await rig.server.ask("hold", service="CreateSession", ms=6_000)
    await rig.server.ask("end_sessions")
    await asyncio.sleep(away_s)
    await rig.server.ask("hold", service="CreateSession", ms=0)


async def late_notifications(rig: Rig, away_s: float) -> None:
    await held(rig, "Publish", away_s)


async def held(rig: Rig, service: str, away_s: float) -> None:
    await rig.server.ask("hold", service=service, ms=6_000)
    await asyncio.sleep(away_s)
    await rig.server.ask("hold", service=service, ms=0)


SLOW: tuple[Fault, ...] = (vanished, late_reads, late_sessions, late_notifications)
