"""Hostile answers of an OPC UA server, on a connection."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from asyncua import ua

from adapters import opcua
from adapters._opcua.client import Endpoint, endpoints
from adapters._opcua.connect import connect
from adapters._opcua.errors import LIBRARY_ERRORS
from adapters._opcua.nodes import UnknownNamespace
from adapters._opcua.security import Party
from adapters._opcua.session import Plan, Session
from edge.contract import SourceError
from tests.adapters.opcua_answers_support import CONTENTS, HEADERS, MIB, NULL, REFERENCE
from tests.adapters.opcua_odd_server import Connection
from tests.adapters.opcua_raw_server import RawServer, extension, filled, header
from tests.adapters.test_opcua_hostile import settings, signals
from tests.support.intake import MemoryIntake


@asynccontextmanager
async def beating() -> AsyncIterator[list[float]]:
    """The seconds of work between two turns of the event loop, the longest last."""
    longest = [0.0]

    async def beat() -> None:
        while True:
            began = time.process_time()
            await asyncio.sleep(0.005)
            longest[0] = max(longest[0], time.process_time() - began)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(beat())
        try:
            yield longest
        finally:
            task.cancel()


async def ended(url: str) -> SourceError:
    intake = MemoryIntake("press-plc")
    chosen: opcua.Settings = settings(url)
    try:
        async with (
            asyncio.timeout(20),
            connect(chosen, Party(intake.name, intake.data, intake.line)) as (link, _),
        ):
            await Session(link, signals("Count"), intake, Plan(0.05, chosen.subscribe)).run()
    except SourceError as error:
        return error
    raise AssertionError("a source never returns")


LIVE = ("OpenSecureChannel", "CreateSession", "ActivateSession", "CreateSubscription", "CreateMonitoredItems")
BOMBS = {name: change for name, change in HEADERS.items() if name != "diagnostics"}


@pytest.mark.parametrize("service", LIVE)
@pytest.mark.parametrize("what", ["a string table", "texts without end", "diagnostics without end"])
async def test_a_connection_ends_in_words_and_nothing_else_waits(service: str, what: str) -> None:
    server = RawServer()
    server.changed[service] = BOMBS[what]
    url = await server.start()
    try:
        async with beating() as longest:
            error = await ended(url)
    finally:
        await server.stop()
    assert url in error.reason
    assert len(error.reason) < 400
    assert longest[0] < 0.6


@pytest.mark.parametrize("service", ["OpenSecureChannel", "GetEndpoints"])
@pytest.mark.parametrize("what", BOMBS)
async def test_who_answers_at_its_address_stops_nobody_before_he_is_known(service: str, what: str) -> None:
    server = RawServer()
    server.changed[service] = BOMBS[what]
    url = await server.start()
    offered: list[Endpoint] = []
    try:
        async with beating() as longest:
            with suppress(*LIBRARY_ERRORS):
                offered = await endpoints(url, 5)
    finally:
        await server.stop()
    assert longest[0] < 0.6
    assert not offered or (service, what) == ("GetEndpoints", "an additional header"), "it is passed over"


async def test_answers_that_are_too_much_are_asked_for_in_parts() -> None:
    """A single node has as many references as were asked for; of many it is too much at once."""
    server, asked = RawServer(), list[int]()

    def changed(body: bytes) -> bytes:
        count: int = struct.unpack_from("<i", body, 28)[0]
        asked.append(count)
        return (
            body[:28]
            + struct.pack("<i", count)
            + (b"\0" * 4 + NULL + filled(REFERENCE, 25_000)) * count
            + NULL
        )

    server.changed["Browse"] = changed
    url = await server.start()
    intake = MemoryIntake("press-plc")
    try:
        async with (
            asyncio.timeout(20),
            connect(settings(url), Party(intake.name, intake.data, intake.line)) as (link, _),
        ):
            found = await link.browse([ua.BrowseDescription() for _ in range(20)], 2000)
    finally:
        await server.stop()
    assert [len(one) for one in found] == [25_000 // len(REFERENCE)] * 20
    assert asked == [20, 10, 5, 5, 5, 5]


async def test_an_answer_that_comes_as_another_kind_of_message_is_looked_at_too() -> None:
    """asyncua decodes what opens a channel by itself, whatever it answers."""
    server = RawServer()
    bomb = header(CONTENTS["tokens"][1][: MIB * 2], more=extension(MIB))
    server.changed["GetEndpoints"] = lambda _: bomb
    server.as_open.add("GetEndpoints")
    url = await server.start()
    try:
        async with beating() as longest:
            with pytest.raises(LIBRARY_ERRORS):
                await endpoints(url, 5)
    finally:
        await server.stop()
    assert longest[0] < 0.6


REBOUND = b"ERRF" + struct.pack("<IIi", 16, 0, -16)
"""An error of no error, whose text of -16 bytes ends where the message began."""


@pytest.mark.parametrize(
    "sent", [REBOUND, b"ACKF" + struct.pack("<I5I", 28 + 16 * 5000, 0, 65536, 65536, 0, 0) + REBOUND * 5000]
)
async def test_an_error_whose_text_leads_back_is_read_once(sent: bytes) -> None:
    server = RawServer()
    server.on_open = lambda connection: _written(connection, sent)
    url = await server.start()
    try:
        async with beating() as longest:
            with pytest.raises(LIBRARY_ERRORS):
                async with asyncio.timeout(5):
                    await endpoints(url, 1)
    finally:
        await server.stop()
    assert longest[0] < 0.6


async def _written(connection: Connection, sent: bytes) -> None:
    connection.writer.write(sent)
    await connection.writer.drain()


def test_a_wrong_namespace_is_compared_with_a_few_and_told_briefly() -> None:
    known = ["urn:acme:press-line:machine-three:count" + "s" * (one % 7) for one in range(85_000)]
    began = time.process_time()
    error = UnknownNamespace("urn:acme:press-line:machine-three:xxxxxxx", ["", "x" * 60_000, *known])
    assert time.process_time() - began < 0.3
    assert len(str(error)) < 3000
