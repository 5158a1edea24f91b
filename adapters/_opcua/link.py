"""The services that are used of one session. What the server answers is bounded before it is believed."""

import asyncio
from collections.abc import Sequence
from functools import partial

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.binary import Array
from adapters._opcua.calls import TOO_MUCH, Calls, Fault, Garbled, Most
from adapters._opcua.client import GuardedClient
from adapters._opcua.frames import Guard
from adapters._opcua.monitored import (
    Monitored,
    Subscribed,
    Wanted,
    item_request,
    monitored,
    subscribed,
    subscription_request,
)
from adapters._opcua.requests import Prepared, prepared_read
from adapters._opcua.wire import Published, Sample, publish_response, read_response, republish_response
from edge.contract import SourceLost, SourceRefused

__all__ = ["CURRENT_TIME", "Fault", "Garbled", "Link", "Monitored", "Prepared", "Subscribed", "Wanted"]

_MOST_SPOILT = 64
"""Values that may be no values in one read; a server that has more of them speaks something else."""
SPOILT = Sample(None, status=StatusCodes.BadDecodingError)
"""In the place of a value whose bytes are none."""
_LEAST_TOKEN_S = 1.0
_MOST_NAMESPACES = 1_000
_RENEW_AT = 0.75  # of a token's lifetime: OPC 10000-4, 5.6.2.1

_NOT_WATCHED = frozenset(
    (
        StatusCodes.BadTooManyMonitoredItems,
        StatusCodes.BadMonitoringModeInvalid,
        StatusCodes.BadServiceUnsupported,
        StatusCodes.BadNotSupported,
        StatusCodes.BadNotImplemented,
    )
)
"""Of CreateMonitoredItems: the nodes may be read all the same."""


def _standard(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


CURRENT_TIME = _standard(ObjectIds.Server_ServerStatus_CurrentTime)
_NAMESPACES = _standard(ObjectIds.Server_NamespaceArray)
_LIMITS = [
    _standard(number)
    for number in (
        ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
        ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
        ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
    )
]


class Link(Calls):
    """One session; calls may overlap.

    Every method raises SourceLost where the connection is unusable, and Fault where one request is refused.
    """

    def __init__(self, source: str, endpoint: str, client: GuardedClient, guard: Guard) -> None:
        super().__init__(source, endpoint, client, guard)
        self._read_most, self._monitor_most, self._browse_most, self._path_most = (Most() for _ in _LIMITS)

    async def closed(self) -> None:
        """Return when the connection is gone."""
        await self._guard.closed.wait()

    def fault(self) -> SourceLost | SourceRefused | None:
        """Why the connection is gone; None where it stands."""
        if self._guard.fault:
            return self.refused(self._guard.fault)
        return self.lost("the connection was closed") if self._guard.closed.is_set() else None

    async def renew(self) -> None:
        """Keep the channel's token fresh; returns never."""
        while True:
            lifetime_s = max(self._client.secure_channel_timeout / 1000, _LEAST_TOKEN_S)
            await asyncio.sleep(lifetime_s * _RENEW_AT)
            with self._converted():
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()

    # --- reading ---

    async def learn_limits(self) -> None:
        """Ask how many nodes the server takes at once; many PLCs name none, or a small number."""
        mosts = (self._read_most, self._monitor_most, self._browse_most, self._path_most)
        for most, limit in zip(mosts, await self.read(_LIMITS), strict=True):
            most.learn(limit)

    async def namespaces(self) -> list[str]:
        """The server's NamespaceArray; a node's index is the URI's place in it."""
        (sample,) = await self.read([_NAMESPACES])
        if not isinstance(sample.raw, Array):
            raise self.lost("the server does not tell its namespaces")
        if len(sample.raw) > _MOST_NAMESPACES:
            raise self.refused(f"the server tells {len(sample.raw)} namespaces: no real one has so many")
        return [str(uri) for uri in sample.raw]

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[Sample]:
        """The values of now, from the device and not from the server's cache (MaxAge 0)."""
        return await self.attributes(nodes, AttributeIds.Value)

    async def attributes(self, nodes: Sequence[ua.NodeId], attribute: int) -> list[Sample]:
        """One attribute of each node; a bad status is in its sample."""

        spoilt: list[ua.NodeId] = []

        async def ask(some: Sequence[ua.NodeId]) -> list[Sample]:
            """Where the answer cannot be read, each half of it alone, down to the one that is to blame."""
            body = await self._ask(prepared_read(some, attribute))
            try:
                return self._decoded(partial(read_response, body, len(some)))
            except Garbled:
                spoilt.extend(some if len(some) == 1 else ())
                if len(spoilt) > _MOST_SPOILT:
                    raise
            half = len(some) // 2
            return [*await ask(some[:half]), *await ask(some[half:])] if half else [SPOILT]

        return await self._sliced(nodes, self._read_most, ask)

    async def read_again(self, prepared: "Prepared") -> list[Sample]:
        """As `read`, of nodes that are read again and again."""
        if not prepared.requests or prepared.most != self._read_most.number:
            prepared.cut(self._read_most.number)
        values: list[Sample] = []
        try:
            for request, count in prepared.requests:
                values += self._decoded(partial(read_response, await self._ask(request), count))
        except (Fault, Garbled) as fault:
            if isinstance(fault, Fault) and fault.status not in TOO_MUCH:
                raise
            return await self.read(prepared.nodes)
        return values

    # --- looking around ---

    async def browse(
        self, wanted: Sequence[ua.BrowseDescription], most: int
    ) -> list[list[ua.ReferenceDescription]]:
        """At most `most` references of each node; none of one that is refused."""

        async def ask(some: Sequence[ua.BrowseDescription]) -> list[ua.BrowseResult]:
            parameters = ua.BrowseParameters(
                RequestedMaxReferencesPerNode=ua.UInt32(most), NodesToBrowse=list(some)
            )
            answer = await self._call(ua.BrowseRequest(Parameters=parameters), ua.BrowseResponse)
            return list(answer.Results or ())

        found: list[list[ua.ReferenceDescription]] = []
        for one, first in zip(wanted, await self._sliced(wanted, self._browse_most, ask), strict=True):
            is_full = int(first.StatusCode.value) == StatusCodes.BadNoContinuationPoints
            again = await ask([one]) if is_full else ()  # by now those before it have given theirs back
            found.append(await self._rest(again[0] if again else first, most))
        return found

    async def _rest(self, first: ua.BrowseResult, most: int) -> list[ua.ReferenceDescription]:
        """Follow the continuation point, and give it back where enough is known."""
        found = list(first.References or ())
        point = first.ContinuationPoint
        while point:
            enough = len(found) >= most
            parameters = ua.BrowseNextParameters(ReleaseContinuationPoints=enough, ContinuationPoints=[point])
            answer = await self._call(ua.BrowseNextRequest(Parameters=parameters), ua.BrowseNextResponse)
            results = answer.Parameters.Results
            if enough or not results or not results[0].References:
                break
            found += results[0].References
            point = results[0].ContinuationPoint
        return found[:most]

    async def translate(self, paths: Sequence[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """Where each path leads; a bad status is in its result."""

        async def ask(some: Sequence[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
            request = ua.TranslateBrowsePathsToNodeIdsRequest()
            request.Parameters.BrowsePaths = list(some)
            answer = await self._call(request, ua.TranslateBrowsePathsToNodeIdsResponse)
            return list(answer.Results or ())

        return await self._sliced(paths, self._path_most, ask)

    # --- writing ---

    async def write_value(self, node: ua.NodeId, value: ua.DataValue) -> int:
        """Write the Value attribute; the item's status code, 0 where the server took it."""
        wanted = ua.WriteValue(NodeId=node, AttributeId=AttributeIds.Value, Value=value)
        request = ua.WriteRequest(Parameters=ua.WriteParameters(NodesToWrite=[wanted]))
        answer = await self._call(request, ua.WriteResponse)
        (status,) = self._complete(answer.Results, 1)
        return int(status.value)

    # --- a subscription ---

    async def subscribe(self, publish_s: float) -> Subscribed:
        """Create a subscription; publish requests bring what it has to say."""
        answer = await self._call(subscription_request(publish_s), ua.CreateSubscriptionResponse)
        return subscribed(answer.Parameters, publish_s)

    async def monitor(self, subscription: int, items: Sequence[Wanted]) -> list[Monitored]:
        """Watch nodes; one result each."""
        refused = 0

        async def ask(some: Sequence[Wanted]) -> list[ua.MonitoredItemCreateResult]:
            """Some servers refuse the whole call for one item: then in halves, until one alone is refused."""
            nonlocal refused
            half = len(some) // 2
            try:
                if not refused:
                    return await create(some)
            except Fault as fault:
                if fault.status not in _NOT_WATCHED:
                    raise
                if half:
                    return [*await ask(some[:half]), *await ask(some[half:])]
                refused = fault.status
            return [ua.MonitoredItemCreateResult(ua.StatusCode(ua.UInt32(refused))) for _ in some]

        async def create(some: Sequence[Wanted]) -> list[ua.MonitoredItemCreateResult]:
            parameters = ua.CreateMonitoredItemsParameters(
                SubscriptionId=ua.UInt32(subscription),
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[item_request(one) for one in some],
            )
            request = ua.CreateMonitoredItemsRequest(Parameters=parameters)
            answer = await self._call(request, ua.CreateMonitoredItemsResponse)
            return list(answer.Results or ())

        return [monitored(one) for one in await self._sliced(items, self._monitor_most, ask)]

    async def forget(self, subscription: int, numbers: Sequence[int]) -> None:
        """Watch these no longer; whether the server still knew them does not matter."""

        async def ask(some: Sequence[int]) -> Sequence[int]:
            parameters = ua.DeleteMonitoredItemsParameters(
                SubscriptionId=ua.UInt32(subscription), MonitoredItemIds=[ua.UInt32(one) for one in some]
            )
            request = ua.DeleteMonitoredItemsRequest(Parameters=parameters)
            await self._call(request, ua.DeleteMonitoredItemsResponse)
            return some

        await self._sliced(numbers, self._monitor_most, ask)

    async def publish(self, subscription: int, acknowledged: Sequence[int]) -> bytes:
        """Ask for the next message, for as long as it takes; the answer is for `published`."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(ua.UInt32(subscription), ua.UInt32(one)) for one in acknowledged
        ]
        return await self._ask(request, timeout_s=0)

    def published(self, body: bytes) -> Published:
        """What a message says."""
        return self._decoded(partial(publish_response, body))

    async def republish(self, subscription: int, number: int) -> Published | None:
        """A message once more; None where the server has it no longer."""
        parameters = ua.RepublishParameters(ua.UInt32(subscription), ua.UInt32(number))
        try:
            body = await self._ask(ua.RepublishRequest(Parameters=parameters))
            found = self._decoded(partial(republish_response, body))
        except Garbled:
            return None
        except Fault as fault:
            if fault.status == StatusCodes.BadSubscriptionIdInvalid:
                raise self.lost("the subscription is dead: the server does not know it any more") from fault
            return None
        return found if found.sequence == number else None
