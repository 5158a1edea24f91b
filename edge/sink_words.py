"""How a far end is doing, and what waits for a person, as lines of text."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from edge.journal.sinks import Rejected, SetAside
from edge.status import SinkStatus

WORTH_SAYING_S = 10.0
"""Younger than this, nobody asks how long it has been waiting."""
SHOWN = 160
"""Characters of a reason or an observation."""


def backlog(status: SinkStatus) -> str:
    """`the oldest for 12 min, 480 a second, done in about 40 s`; empty where nothing waits for long."""
    if not status.pending or status.oldest_s is None or status.oldest_s < WORTH_SAYING_S:
        return ""
    said = [f"the oldest for {about(status.oldest_s)}"]
    if status.eta_s is not None:
        said += [f"{status.rate:,.0f} a second", f"done in about {about(status.eta_s)}"]
    return ", ".join(said)


def held(status: SinkStatus) -> str:
    """`51 wait until the clock is right: no time server has set it`; empty where none does."""
    if not status.held:
        return ""
    wait = "waits" if status.held == 1 else "wait"
    why = f": {status.doubt}" if status.doubt else ""
    return f"{status.held:,} {wait} until the clock is right{why}"


def listed(sinks: Mapping[str, SinkStatus]) -> Iterator[str]:
    """Some lines a sink."""
    for name, status in sinks.items():
        counts = [f"{status.delivered:,} delivered", f"{status.pending:,} to deliver", backlog(status)]
        yield f"{name}: {status.state}: {', '.join(filter(None, counts))}"
        if status.reason:
            yield f"  {status.reason}"
        if waiting := held(status):
            yield f"  {waiting}"
        if status.rejected:
            yield f"  {status.rejected:,} rejected for ever; see `lineside quarantine list`"
        if status.skipped:
            yield f"  {status.skipped:,} never sent: no longer kept, or given up"


def rejected(events: Iterable[Rejected]) -> Iterator[str]:
    """One line an event."""
    for one in events:
        what = f"{one.type} of {moment(one.at_ms)}" if one.type else "no longer kept"
        where = f" at {one.station}" if one.station else ""
        yield f"{one.sink}: event {one.seq}, {what}{where}: {one.reason[:SHOWN]}"


def set_aside(observations: Iterable[SetAside]) -> Iterator[str]:
    """Two lines an observation."""
    for one in observations:
        yield f"observation {one.id}, seen {moment(one.seen_ms)}: {one.error[:SHOWN]}"
        yield f"  {one.observation[:SHOWN].decode('utf-8', 'replace')}"


def moment(at_ms: int) -> str:
    """`2026-05-04 06:12:09 UTC`; what no calendar has is said as it is."""
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def about(seconds: float) -> str:
    """`42 s`, `12 min`, `7 h`, `3 days`."""
    for limit, unit_s, unit in ((100, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{round(seconds / unit_s)} {unit}"
    return f"{round(seconds / 86_400)} days"
