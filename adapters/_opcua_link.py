"""One connection to one server: opened, bounded, used for a few services, closed for certain."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua_errors import LIBRARY_ERRORS, converted
from adapters._opcua_frames import FrameGuard
from adapters._opcua_security import secure
from edge.contract import SourceLost, SourceRefused

if TYPE_CHECKING:
    from adapters._opcua_settings import Settings

T = TypeVar("T")

_PER_CALL = 500
"""Nodes in one request at the most, where the server names no smaller limit."""
_KEEP_ALIVES = 10
_LIFETIME = 300
_QUEUE = 64
"""Values a server keeps of one item between two publishes; 0 or 1 would hide every loss."""
_CLOSE_S = 1.0
_PROBE_NEVER_S = 86_400.0
_LONGEST_MS = 60_000.0
_LARGEST_MESSAGE = 4 * 1024 * 1024
_LARGEST_CHUNKS = 512
_LOUDEST = {
    "asyncua.client": logging.CRITICAL + 1,
    "asyncua.common": logging.CRITICAL + 1,
    "asyncua.uaprotocol": logging.CRITICAL + 1,
    "asyncua.crypto": logging.ERROR,
}


def _standard(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


CURRENT_TIME = _standard(ObjectIds.Server_ServerStatus_CurrentTime)
_NAMESPACES = _standard(ObjectIds.Server_NamespaceArray)
_READ_LIMIT = _standard(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead)
_ITEM_LIMIT = _standard(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall)


@dataclass(frozen=True, slots=True)
class Monitored:
    """What became of one item: `status` is 0 where the server watches it."""

    status: int
    sampling_ms: float


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription as the server granted it."""

    number: int
    publish_s: float
    keep_alive_s: float


class _Client(Client):
    """asyncua's client with a guard between the socket and its parser."""

    guard: FrameGuard | None = None

    async def connect_socket(self) -> None:
        await super().connect_socket()
        protocol = self.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            self.guard = FrameGuard(protocol, protocol.transport, _LARGEST_MESSAGE)
            protocol.transport.set_protocol(self.guard)


class Link:
    """The services that are used of one session. Every method raises SourceLost or SourceRefused."""

    def __init__(self, source: str, endpoint: str, session: UaSession, guard: FrameGuard) -> None:
        self._source = source
        self._endpoint = endpoint
        self._session = session
        self._guard = guard
        self._per_read = self._per_create = _PER_CALL

    def lost(self, reason: str) -> SourceLost:
        """An error about this connection."""
        return SourceLost(self._source, f"{self._endpoint}: {reason}")

    def refused(self, reason: str) -> SourceRefused:
        """An error about this server."""
        return SourceRefused(self._source, f"{self._endpoint}: {reason}")

    async def closed(self) -> None:
        """Return when the connection is gone."""
        await self._guard.closed.wait()

    def check(self) -> None:
        """Raise SourceLost or SourceRefused where the connection is gone."""
        if self._guard.fault:
            raise self.refused(self._guard.fault)
        if self._guard.closed.is_set():
            raise self.lost("the connection was closed")

    async def learn_limits(self) -> None:
        """Ask how many nodes the server takes at once; many PLCs name none, or a small number."""
        read, create = (_whole(one) for one in await self.read([_READ_LIMIT, _ITEM_LIMIT]))
        self._per_read = min(read or _PER_CALL, _PER_CALL)
        self._per_create = min(create or _PER_CALL, _PER_CALL)

    async def namespaces(self) -> list[str]:
        """The server's NamespaceArray; a node's index is the URI's place in it."""
        (data,) = await self.read([_NAMESPACES])
        raw = None if data.Value is None else data.Value.Value
        if not isinstance(raw, list):
            raise self.lost("the server does not tell its namespaces")
        return [str(uri) for uri in raw]

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[ua.DataValue]:
        """The values of now, from the device and not from the server's cache (MaxAge 0)."""
        values: list[ua.DataValue] = []
        for some in _slices(nodes, self._per_read):
            wanted = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in some]
            parameters = ua.ReadParameters(
                MaxAge=0, TimestampsToReturn=ua.TimestampsToReturn.Both, NodesToRead=wanted
            )
            with converted(self._source, self._endpoint):
                results = await self._session.read(parameters)
            values += self._complete(results, len(some))
        return values

    async def subscribe(self, publish_s: float, published: Callable[[ua.PublishResult], None]) -> Subscribed:
        """Create a subscription; `published` is called, in order, with every publish response."""
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publish_s * 1000,
            RequestedLifetimeCount=ua.UInt32(_LIFETIME),
            RequestedMaxKeepAliveCount=ua.UInt32(_KEEP_ALIVES),
        )
        with converted(self._source, self._endpoint):
            granted = await self._session.create_subscription(parameters, published)
        interval_s = _sane_ms(granted.RevisedPublishingInterval, publish_s * 1000) / 1000
        keep_alive_s = min(interval_s * max(1, granted.RevisedMaxKeepAliveCount), _LONGEST_MS / 1000)
        return Subscribed(granted.SubscriptionId, interval_s, keep_alive_s)

    async def monitor(
        self, subscription: int, items: Sequence[tuple[int, ua.NodeId, float]]
    ) -> list[Monitored]:
        """Watch nodes, given as (client handle, node, sampling interval in ms); one result each."""
        results: list[ua.MonitoredItemCreateResult] = []
        for some in _slices(items, self._per_create):
            parameters = ua.CreateMonitoredItemsParameters(
                SubscriptionId=ua.UInt32(subscription),
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[_item(*one) for one in some],
            )
            with converted(self._source, self._endpoint):
                made = await self._session.create_monitored_items(parameters)
            results += self._complete(made, len(some))
        return [_made(one) for one in results]

    def _complete(self, results: Sequence[T] | None, wanted: int) -> Sequence[T]:
        if results is None or len(results) != wanted:
            raise self.lost(f"the server answered {len(results or ())} of {wanted} items")
        return results


def _item(handle: int, node: ua.NodeId, sampling_ms: float) -> ua.MonitoredItemCreateRequest:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=ua.UInt32(handle), SamplingInterval=sampling_ms, QueueSize=ua.UInt32(_QUEUE)
        ),
    )


def _made(one: ua.MonitoredItemCreateResult) -> Monitored:
    status = int(one.StatusCode.value) if one.StatusCode.is_bad() else 0
    return Monitored(status, _sane_ms(one.RevisedSamplingInterval, 0.0))


def _slices(whole: Sequence[T], size: int) -> list[Sequence[T]]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _whole(data: ua.DataValue) -> int:
    raw = None if data.Value is None else data.Value.Value
    return raw if isinstance(raw, int) and raw > 0 else 0


def _sane_ms(revised: float, wanted: float) -> float:
    """A server's interval in ms, within reason; also when it is no number."""
    return revised if 0 < revised < _LONGEST_MS else wanted


# --- life and death -------------------------------------------------------------------------


@asynccontextmanager
async def connect(settings: "Settings", source: str) -> AsyncIterator[Link]:
    """A new client, for one connection; whatever happens, its socket is closed at the end.

    Raises SourceLost or SourceRefused.
    """
    _hush()
    client = await _client(settings, source)
    try:
        with converted(source, settings.endpoint):
            await client.connect()
        if client.guard is None:
            raise SourceLost(source, f"{settings.endpoint}: the connection was closed")
        yield Link(source, settings.endpoint, client.uaclient.session, client.guard)
    finally:
        await _close(client)


async def _client(settings: "Settings", source: str) -> _Client:
    client = _Client(
        settings.endpoint,
        timeout=settings.request_timeout.total_seconds(),
        watchdog_intervall=_PROBE_NEVER_S,
        auto_reconnect=False,
    )
    client.name = client.description = f"Lineside {source}"
    client.application_uri = "urn:lineside:edge"
    client.session_timeout = int(settings.session_timeout.total_seconds() * 1000)
    client.max_messagesize, client.max_chunkcount = _LARGEST_MESSAGE, _LARGEST_CHUNKS
    await secure(client, settings, source)
    return client


async def _close(client: _Client) -> None:
    """Say goodbye within a second, then cut.

    `disconnect` alone leaves the socket open once asyncua takes itself for disconnected.
    """
    try:
        await asyncio.wait_for(client.disconnect(), _CLOSE_S)
    except LIBRARY_ERRORS:
        pass
    finally:
        if client.guard is not None:
            client.guard.abort()
    if client.guard is not None:
        await client.guard.closed.wait()


def _hush() -> None:
    """Keep asyncua's log out of ours: its tracebacks repeat each second, and errors are raised here.

    A level that somebody has set stays.
    """
    for name, level in _LOUDEST.items():
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
