"""What the tests of the OPC UA source share."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from adapters import opcua
from adapters._opcua.connect import connect
from adapters._opcua.security import Party
from adapters._opcua.session import Pace, Plan, Session
from edge.contract import (
    Signal,
    SourceError,
)
from tests.adapters.opcua_server import NAMESPACE, OpcUaServer, opcua_server
from tests.support.intake import MemoryIntake
from tests.support.proxy import Proxy

FAST = timedelta(milliseconds=50)


def settings(endpoint: str, **more: object) -> opcua.Settings:
    usual = {"type": "opcua", "endpoint": endpoint, "publish": "100ms", "security": "None"}
    return opcua.Settings.model_validate(usual | more)


def through(proxy: Proxy, **more: object) -> opcua.Settings:
    return settings(f"opc.tcp://127.0.0.1:{proxy.port}", **more)


def signals(*names: str, namespace: str = NAMESPACE) -> list[Signal[opcua.Address]]:
    return [Signal(name.lower(), opcua.Address(node=f"nsu={namespace};s={name}"), FAST) for name in names]


async def failure(
    chosen: opcua.Settings,
    watched: Sequence[Signal[opcua.Address]],
    intake: MemoryIntake,
    pace: Pace | None = None,
) -> SourceError:
    """How a connection ended; `pace` hurries what takes seconds otherwise."""
    try:
        if pace is None:
            await opcua.collect(chosen, watched, intake)
        else:
            party = Party(intake.name, intake.data, intake.line)
            async with connect(chosen, party) as (link, _):
                plan = Plan(chosen.publish.total_seconds(), chosen.subscribe)
                await Session(link, watched, intake, plan, pace).run()
    except SourceError as error:
        return error
    raise AssertionError("a source never returns")


@asynccontextmanager
async def collecting(
    chosen: opcua.Settings,
    watched: Sequence[Signal[opcua.Address]],
    intake: MemoryIntake,
    pace: Pace | None = None,
) -> AsyncIterator[asyncio.Task[SourceError]]:
    """A connection in the background; the body may wait for its failure."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(failure(chosen, watched, intake, pace))
        yield task
        task.cancel()


def counts(intake: MemoryIntake) -> list[int]:
    """The good values of the counter, in the order in which they were handed over."""
    return [value for value in intake.values("count") if isinstance(value, int)]


@pytest.fixture(scope="module")
def running() -> Iterator[OpcUaServer]:
    with opcua_server() as started:
        yield started


@pytest.fixture
def server(running: OpcUaServer) -> OpcUaServer:
    """One server for all, as after its start; a test that kills starts its own."""
    running.tell("reset")
    return running
