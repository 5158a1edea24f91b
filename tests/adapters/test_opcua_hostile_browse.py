"""The OPC UA source against a server whose address space has no end, or takes for ever to be shown."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import wait_for
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from adapters import opcua
from adapters._opcua.connect import connect
from adapters._opcua.link import Link
from adapters._opcua.nodes import UnknownNamespace
from adapters._opcua.patience import MOST_SEEN, Patience, Spent
from adapters._opcua.resolve import resolve
from adapters._opcua.security import Party
from adapters._opcua.session import Pace, Plan, Session
from adapters._opcua.write import Node, Write
from adapters._writes import UnfitError
from edge.contract import Quality, Signal
from tests.adapters.opcua_odd_server import Connection, OddServer, value
from tests.support.intake import MemoryIntake

_SPACES = ["http://opcfoundation.org/UA/", "urn:odd", "http://opcfoundation.org/UA/PackML/"]
_SLOW = "the server takes too long to be looked through: name the signal's node with node"


class Maze(OddServer):
    """Answers Browse and TranslateBrowsePathsToNodeIds; paths lead nowhere, unless `target` says where to."""

    def __init__(self) -> None:
        super().__init__()
        self.children = 0
        """Of every node; each is new."""
        self.heeds = True
        """How many references are asked for at the most."""
        self.next_s: float | None = None
        """After that each BrowseNext gives one reference, and a continuation point; None: there is none."""
        self.most_points = 1_000
        """Continuation points that it keeps for a session."""
        self.spaces: Sequence[str] = _SPACES
        self.target: ua.ExpandedNodeId | None = None
        self.written: list[object] = []
        self.waiting_tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _Guide(self, reader, writer).run()
        self._open.discard(writer)
        writer.close()

    async def stop(self) -> None:
        for task in self.waiting_tasks:
            task.cancel()
        await super().stop()

    def reference(self) -> ua.ReferenceDescription:
        self._number += 1
        return ua.ReferenceDescription(
            ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.Organizes)),
            IsForward=True,
            NodeId=ua.ExpandedNodeId(ua.Int32(self._number), ua.Int16(1)),
            BrowseName=ua.QualifiedName(f"N{self._number}", 1),
            NodeClass=ua.NodeClass.Object,
            TypeDefinition=ua.ExpandedNodeId(ua.Int32(ObjectIds.FolderType)),
        )


class _Guide(Connection):
    server: Maze

    def __init__(self, server: Maze, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(server, reader, writer)
        self._points: set[bytes] = set()
        self._made = 0

    async def answer(self, request_id: int, response: Any) -> None:
        """What takes long holds up nothing else."""
        if isinstance(response, ua.BrowseNextResponse) and self.server.next_s:
            task = asyncio.create_task(self._late(request_id, response))
            self.server.waiting_tasks.add(task)
        else:
            await super().answer(request_id, response)

    async def _late(self, request_id: int, response: Any) -> None:
        await asyncio.sleep(self.server.next_s or 0)
        with suppress(ConnectionError):
            await super().answer(request_id, response)

    def _browse(self, request: Any) -> Any:
        most = int(request.Parameters.RequestedMaxReferencesPerNode) if self.server.heeds else 1_000_000
        results = []
        for _ in request.Parameters.NodesToBrowse:
            many = min(most, self.server.children) if self.server.next_s is None else 1
            is_more = many < self.server.children or self.server.next_s is not None
            if is_more and len(self._points) >= self.server.most_points:
                results.append(ua.BrowseResult(ua.StatusCode(ua.UInt32(StatusCodes.BadNoContinuationPoints))))
                continue
            references = [self.server.reference() for _ in range(many)]
            results.append(
                ua.BrowseResult(ContinuationPoint=self._point() if is_more else None, References=references)
            )
        return ua.BrowseResponse(Results=results)

    def _point(self) -> bytes:
        self._made += 1
        self._points.add(str(self._made).encode())
        return str(self._made).encode()

    def _browsenext(self, request: Any) -> Any:
        self._points -= {bytes(one) for one in request.Parameters.ContinuationPoints}
        result = ua.BrowseResult()
        if not request.Parameters.ReleaseContinuationPoints:
            result = ua.BrowseResult(ContinuationPoint=self._point(), References=[self.server.reference()])
        return ua.BrowseNextResponse(Parameters=ua.BrowseNextResult([result]))

    def _translatebrowsepathstonodeids(self, request: Any) -> Any:
        target, status = self.server.target, StatusCodes.Good
        if target is None:
            status = StatusCodes.BadNoMatch
        ends = [] if target is None else [ua.BrowsePathTarget(target, ua.UInt32(0xFFFF_FFFF))]
        results = [ua.BrowsePathResult(ua.StatusCode(ua.UInt32(status)), ends)] * len(
            request.Parameters.BrowsePaths
        )
        return ua.TranslateBrowsePathsToNodeIdsResponse(Results=results)

    def _write(self, request: Any) -> Any:
        self.server.written += [one.NodeId for one in request.Parameters.NodesToWrite]
        return ua.WriteResponse(Results=[ua.StatusCode() for _ in request.Parameters.NodesToWrite])

    def _one(self, wanted: ua.ReadValueId) -> ua.DataValue:
        if wanted.NodeId.Identifier == ObjectIds.Server_NamespaceArray:
            return value(self.server.spaces, ua.VariantType.String)
        return super()._one(wanted)


def settings(url: str) -> opcua.Settings:
    usual = {"type": "opcua", "endpoint": url, "publish": "50ms", "security": "None"}
    return opcua.Settings.model_validate(usual)


def signal(name: str = "press.total", **keys: Any) -> Signal[opcua.Address]:
    return Signal(name, opcua.Address.model_validate(keys), timedelta(milliseconds=50))


LOST: dict[str, Any] = {"path": "nsu=urn:odd;Press/Total"}
MODEL: dict[str, Any] = {"model": "packml", "part": "total"}


@asynccontextmanager
async def linked(server: Maze) -> AsyncIterator[Link]:
    url = await server.start()
    try:
        async with (
            asyncio.timeout(60),
            connect(settings(url), Party("plc", MemoryIntake("plc").data, "line-1")) as (link, _),
        ):
            await link.learn_limits()
            yield link
    finally:
        await server.stop()


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Callable[[], float]]:
    """How long the event loop stood still at the most, in CPU seconds: the cores are shared."""
    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            before_s = time.process_time()
            await asyncio.sleep(0.01)
            worst = max(worst, time.process_time() - before_s)

    task = asyncio.create_task(beat())
    try:
        yield lambda: worst
    finally:
        task.cancel()


# --- without end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [LOST, MODEL])
async def test_a_continuation_point_without_end_is_given_up(keys: dict[str, Any]) -> None:
    server = Maze()
    server.next_s = 0.05
    async with linked(server) as link:
        began_s = time.monotonic()
        made, other = await resolve(link, [signal(**keys), signal(node="nsu=urn:odd;s=Count")], 1.0)
        assert 0.9 < time.monotonic() - began_s < 3
        assert (made.fault.partition(": ")[2], made.given_up) == (_SLOW, True)
        assert (other.fault, other.given_up) == ("", False)
        await asyncio.sleep(0.1)  # a late answer harms nobody
        assert [one.status for one in await link.read([other.node])] == [0]


async def test_nodes_below_nodes_without_end_are_given_up() -> None:
    server = Maze()
    server.children = 1_900
    async with linked(server) as link, heartbeat() as stood_still_s:
        (made,) = await resolve(link, [signal(**MODEL)], 60)
        assert "has too many nodes to be looked through: name the signal's node" in made.fault
        assert made.given_up
        assert server._number < 2 * MOST_SEEN
        assert stood_still_s() < 4.0


@pytest.mark.parametrize(
    ("children", "says"),
    [
        (9_000, "the Objects folder has no 1:Press; it has N"),
        (50_000, "it has no 1:Press on this path, and cannot say what else"),
    ],
)
async def test_more_references_than_were_asked_for_hinder_no_other_signal(children: int, says: str) -> None:
    """Some servers do not heed what is asked for: bounded before it is decoded, and then cut."""
    server = Maze()
    server.children, server.heeds = children, False
    async with linked(server) as link, heartbeat() as stood_still_s:
        made, other = await resolve(link, [signal(**LOST), signal(node="nsu=urn:odd;s=Count")], 60)
        assert says in made.fault
        assert other.fault == ""
        assert stood_still_s() < 4.0


async def test_a_server_with_few_continuation_points_shows_all_of_its_nodes() -> None:
    server = Maze()
    server.children, server.most_points = 150, 1
    async with linked(server) as link:
        wanted = [
            ua.BrowseDescription(NodeId=ua.NodeId(ua.Int32(85)), ResultMask=ua.UInt32(63)) for _ in range(3)
        ]
        assert [len(one) for one in await link.browse(wanted, 100)] == [100, 100, 100]


async def test_an_answer_in_the_moment_in_which_patience_ends_ends_no_task() -> None:
    async def answered_just_then() -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.02, time.sleep, 0.1)
        asyncio.get_running_loop().call_later(0.05, answer.set_result, None)
        await wait_for(answer, 5)

    with suppress(Spent):
        await Patience(0.05).until(answered_just_then())
    with pytest.raises(Spent, match="takes too long"):
        await Patience(-1).until(asyncio.sleep(1))


# --- namespaces -----------------------------------------------------------------------------------------


async def test_a_namespace_array_without_end_costs_next_to_nothing() -> None:
    server = Maze()
    server.spaces = [f"urn:acme:press-line:machine-{number:05}" for number in range(20_000)]
    async with linked(server) as link, heartbeat() as stood_still_s:
        with pytest.raises(Exception, match="20000 namespaces: no real one has so many"):
            await resolve(link, [signal(node="nsu=urn:acme:press-line:machine-x;s=A")] * 3)
        assert stood_still_s() < 4.0


def test_a_wrong_namespace_is_compared_with_a_few_and_with_the_beginning_of_each() -> None:
    wrong = "urn:acme:press-line:machine-three:counters" * 40
    known = [f"{wrong[:-6]}{number:06}" for number in range(1_000)]
    began_s = time.process_time()
    words = str(UnknownNamespace(wrong, known))
    assert time.process_time() - began_s < 2.0
    assert len(words) < 5_000


# --- the whole session ----------------------------------------------------------------------------------


@asynccontextmanager
async def collecting(server: Maze, watched: list[Signal[opcua.Address]]) -> AsyncIterator[MemoryIntake]:
    intake, url = MemoryIntake("plc"), await server.start()

    async def run() -> None:
        async with connect(settings(url), Party("plc", MemoryIntake("plc").data, "line-1")) as (link, _):
            await Session(link, watched, intake, Plan(0.05), Pace(probe_s=60, mend_s=0.3, look_s=2.0)).run()

    task = asyncio.create_task(run())
    try:
        async with asyncio.timeout(20):
            yield intake
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await server.stop()


async def test_what_has_to_be_looked_for_delays_no_named_node() -> None:
    server = Maze()
    server.next_s = 0.2
    began_s = time.monotonic()
    watched = [signal("press.lost", **LOST), signal("press.count", node="nsu=urn:odd;s=Count")]
    async with collecting(server, watched) as intake:
        await intake.until(lambda: intake.values("press.count") != [])
        assert time.monotonic() - began_s < 1.5
        assert (intake.connections, intake.values("press.lost")) == (1, [])
        asked = intake.ask("press.lost", "press.count")
        await intake.until(lambda: any(one.signal == "press.lost" for one in intake.seen))
        assert 1.8 < time.monotonic() - began_s < 6
        lost = next(one for one in intake.seen if one.signal == "press.lost")
        assert (lost.quality, lost.detail.partition(": ")[2]) == (Quality.BAD, _SLOW)
        await intake.until(lambda: Counter(one.answers for one in intake.seen)[asked] == 2)
        browsed = server.requests["Browse"]
        await asyncio.sleep(1.0)
        assert server.requests["Browse"] == browsed  # left alone for a while


async def test_a_path_that_leads_somewhere_later_is_found_then() -> None:
    server = Maze()
    server.children = 3
    watched = [signal("press.lost", **LOST), signal("press.count", node="nsu=urn:odd;s=Count")]
    async with collecting(server, watched) as intake:
        await intake.until(lambda: any(one.signal == "press.lost" for one in intake.seen))
        server.target = ua.ExpandedNodeId(ua.String("State"), ua.Int16(1))
        await intake.until(lambda: 6 in intake.values("press.lost"))


# --- writing --------------------------------------------------------------------------------------------


def elsewhere(index: int, uri: str | None, server: int = 0) -> ua.ExpandedNodeId:
    name = None if uri is None else ua.String(uri)
    return ua.ExpandedNodeId(
        ua.String("Count"), ua.Int16(index), ua.NodeIdType.String, name, ua.Int32(server)
    )


@pytest.mark.parametrize(
    "target", [elsewhere(1, "urn:other", 3), elsewhere(1, None, 3), elsewhere(1, "urn:other")]
)
async def test_a_path_to_another_server_is_not_written_on_this_one(target: ua.ExpandedNodeId) -> None:
    server = Maze()
    server.target = target
    async with linked(server) as link:
        node = Node(link, Write(path="nsu=urn:odd;Press/Release"))
        for what in (node.look(7), node.write(7, lambda: True)):
            with pytest.raises(UnfitError, match="Press/Release leads to another server"):
                await what
    assert server.written == []


async def test_a_path_by_the_uri_of_its_namespace_is_written_there() -> None:
    server = Maze()
    server.target = elsewhere(2, "urn:odd")
    async with linked(server) as link:
        node = Node(link, Write(path="nsu=urn:odd;Press/Release"))
        await node.look(7)
        await node.write(7, lambda: True)
    (written,) = server.written
    assert written == ua.NodeId(ua.String("Count"), ua.Int16(1))
