"""What a subscription and its items are asked for, and what a server grants."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

if TYPE_CHECKING:
    from adapters._opcua.resolve import Filter

_LONGEST_MS = 60_000.0
_KEEP_ALIVES = 10
_LIFETIME = 300
_MOST_CHANGES = 5_000
"""Changes that a server is asked to put into one message at the most."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item that is to be watched."""

    handle: int
    node: ua.NodeId
    sampling_ms: float
    queue: int = 64
    """Values that the server keeps between two messages; 0 or 1 would hide every loss."""
    filter: "Filter | None" = None


@dataclass(frozen=True, slots=True)
class Monitored:
    """What became of one item: `status` is 0 where the server watches it."""

    status: int
    sampling_ms: float
    number: int
    """The server's own, to delete it by."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription as the server granted it."""

    number: int
    publish_s: float
    keep_alive_s: float


def subscription_request(publish_s: float) -> ua.CreateSubscriptionRequest:
    """A subscription with short keep-alives, for a dead one is told by their absence."""
    parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=publish_s * 1000,
        RequestedLifetimeCount=ua.UInt32(_LIFETIME),
        RequestedMaxKeepAliveCount=ua.UInt32(_KEEP_ALIVES),
        MaxNotificationsPerPublish=ua.UInt32(_MOST_CHANGES),
        PublishingEnabled=True,
    )
    return ua.CreateSubscriptionRequest(Parameters=parameters)


def subscribed(granted: ua.CreateSubscriptionResult, publish_s: float) -> Subscribed:
    """What of it can be believed."""
    interval_s = _sane_ms(granted.RevisedPublishingInterval, publish_s * 1000) / 1000
    keep_alive_s = min(interval_s * max(1, granted.RevisedMaxKeepAliveCount), _LONGEST_MS / 1000)
    return Subscribed(int(granted.SubscriptionId), interval_s, keep_alive_s)


def item_request(one: Wanted) -> ua.MonitoredItemCreateRequest:
    wanted = ua.MonitoringParameters(
        ClientHandle=ua.UInt32(one.handle), SamplingInterval=one.sampling_ms, QueueSize=ua.UInt32(one.queue),
        DiscardOldest=True, Filter=_filter(one.filter),
    )  # fmt: skip
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=one.node, AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=wanted,
    )


def _filter(one: "Filter | None") -> ua.DataChangeFilter | None:
    if one is None:
        return None
    return ua.DataChangeFilter(
        ua.DataChangeTrigger(one.trigger), ua.UInt32(one.deadband_type), ua.Double(one.deadband)
    )


def monitored(one: ua.MonitoredItemCreateResult) -> Monitored:
    """What became of an item."""
    status = int(one.StatusCode.value) if one.StatusCode.is_bad() else 0
    return Monitored(status, _sane_ms(one.RevisedSamplingInterval, 0.0), int(one.MonitoredItemId))


def _sane_ms(revised: float, wanted: float) -> float:
    """A server's interval in ms, within reason; also when it is no number."""
    return revised if 0 < revised < _LONGEST_MS else wanted
