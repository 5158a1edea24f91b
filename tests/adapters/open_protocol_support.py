"""What the tests of Open Protocol share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from adapters import open_protocol
from adapters.open_protocol import Settings
from edge.contract import (
    Observation,
    Outcome,
    Quality,
    SourceError,
    TestResult,
    Verdict,
)
from simulators.torque import Joint, message
from tests.support.intake import MemoryIntake

JOINT = Joint(4711, "U-0001", 4, 2, 20.04, 61, datetime(2026, 5, 4, 6, 12, 9))


def settings(port: int = 4545, **keys: object) -> Settings:
    table = {"type": "open-protocol", "connect": f"127.0.0.1:{port}", **keys}
    return Settings.model_validate(table)


class OnceIntake(MemoryIntake):
    """A journal that knows what it has: the same detail again is a duplicate."""

    def __init__(self) -> None:
        self.details: list[str] = []
        super().__init__("torque-1", self._judge)

    def _judge(self, observation: Observation) -> Outcome:
        if observation.quality is not Quality.GOOD:
            return Outcome(Verdict.REFUSED)
        known = observation.detail in self.details
        self.details += [] if known else [observation.detail]
        return Outcome(Verdict.DUPLICATE if known else Verdict.ACCEPTED)

    def results(self) -> list[TestResult]:
        """Each once, in order."""
        found = {one.value.number: one.value for one in self.seen if isinstance(one.value, TestResult)}
        return list(found.values())


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    done = asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
            await done.wait()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(once, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        done.set()
        await asyncio.sleep(0)


def saying(*answers: bytes) -> Talk:
    """One answer a message; then silence."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\0")
            writer.write(answer)

    return talk


STARTED = message(2, f"010001020103{'torque-1':25}")
HELLO = (STARTED, message(5, "0060"), message(4, "008099"))


async def lost(talk: Talk, intake: MemoryIntake | None = None, **keys: object) -> SourceError:
    async with server(talk) as port:
        of = settings(port, answer="300ms", keep_alive="200ms", **keys)
        with pytest.raises(SourceError) as caught:
            await asyncio.wait_for(open_protocol.collect(of, [], intake or OnceIntake()), 10)
    return caught.value
