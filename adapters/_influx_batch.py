"""A batch of events for an InfluxDB: what of it is taken, and which events are at fault. All of it blocks."""

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from adapters._influx_server import Faulty, Server
from adapters._influx_wire import Wire
from adapters._line_protocol import points
from adapters._line_telemetry import without
from edge.contract import TELEMETRY, Receipt, Record, SinkError

log = logging.getLogger("lineside.influxdb")

REQUESTS = 64
"""Requests of one write at the most, while bad events are searched for; the rest is for the next write."""

PROBE = b"lineside_probe ok=true"
"""A point that any InfluxDB takes, for it has no time of its own; it tells a bad event from a bad server."""

MANY = 3
"""Types of event. Where events of so many are rejected and none is taken, it is not the events."""


class One(NamedTuple):
    """An event and its points."""

    record: Record
    text: bytes


class Search:
    """Writes batches; halves what the server finds fault with until the bad events stand alone.

    The good half of a batch may have been stored with the bad one: writing it again changes nothing.
    """

    def __init__(self, server: Server, wire: Wire) -> None:
        self._server = server
        self._wire = wire
        self._wanted: float = inf
        """Bytes of half the smallest request that was too large; later ones are no larger."""
        self._left_out: set[tuple[str, str]] = set()
        """Batch of telemetry and field: of another type in the bucket, and so not written."""
        self._spurned: dict[str, One] = {}
        """Of each type the last that was rejected, since anything was taken."""

    def deliver(self, records: Sequence[Record]) -> Receipt:
        """Raises SinkError where nothing at all was taken for a reason that is not the events'."""
        said = [one for one in map(self._written, records) if one.text]
        silent = {record.seq for record in records} - {one.record.seq for one in said}
        run = _Run(deque(self._packed(said)))
        while run.parts and run.requests + 2 <= REQUESTS:
            if run.acknowledged and self._wire.hung_up():
                break  # what it took may be gone: no more goes over a new connection before that is known
            try:
                self._one_part(run, run.parts.popleft())
            except SinkError:
                if not run.acknowledged and not run.rejected:
                    raise
                break
        if run.rejected and not run.acknowledged:
            self._believe(run, said)
        return Receipt([*run.acknowledged, *silent], run.rejected)

    def _one_part(self, run: "_Run", part: list[One]) -> None:
        """A rejection is asked for twice: what says no by chance, or in turn, costs no event."""
        run.requests += 1
        fault = self._send(part)
        if fault is not None and _all_of_it(part, fault):
            run.requests += 1
            fault = self._send(part)
        if fault is None:
            run.acknowledged.extend(one.record.seq for one in part)
        elif not _all_of_it(part, fault):
            run.parts.extendleft([part[len(part) // 2 :], part[: len(part) // 2]])
        elif any(self._leaves_out(one, fault) for one in part):
            run.parts.appendleft(part)
            run.parts = deque([self._reduced(one) for one in waiting] for waiting in run.parts)
        else:
            run.rejected.update((one.record.seq, fault.reason) for one in part)

    def _send(self, part: Iterable[One]) -> Faulty | None:
        text = b"\n".join(one.text for one in part if one.text)
        if not text:
            return None
        try:
            self._server.write(text)
        except Faulty as fault:
            if fault.is_too_large:
                self._wanted = min(self._wanted, len(text) // 2)
            return fault
        self._wanted = max(self._wanted, len(text))
        self._spurned.clear()
        return None

    def _packed(self, said: Iterable[One]) -> Iterable[list[One]]:
        """Requests that are smaller than what was too large."""
        part: list[One] = []
        size = 0
        for one in said:
            size += len(one.text) + 1
            if part and size > self._wanted:
                yield part
                part, size = [], len(one.text) + 1
            part.append(one)
        if part:
            yield part

    def _written(self, record: Record) -> One:
        return self._reduced(One(record, points(record)))

    def _reduced(self, one: One) -> One:
        record, text = one
        for name, field in self._left_out if record.type == TELEMETRY else ():
            text = without(text, field) if name == record.name else text
        return One(record, text)

    def _leaves_out(self, one: One, fault: Faulty) -> bool:
        """A batch of telemetry goes without the one signal that has another type in the bucket.

        An event does not: it would say something else than what was recorded.
        """
        is_named = one.record.type == TELEMETRY and fault.field
        if not is_named or without(one.text, fault.field) == one.text:
            return False
        self._left_out.add((one.record.name, fault.field))
        words = "telemetry %s: %s is not written from now on, for it has another type in the bucket: %s"
        log.error(words, one.record.name, fault.field, fault.reason)
        return True

    def _believe(self, run: "_Run", said: Iterable[One]) -> None:
        """A server that takes nothing of ours is no InfluxDB, or the wrong bucket: no event is given up then.

        It is tried with a point that is always good. Then, where there are events of many types, with the
        newest of each, and with a point of its time: where that is good too, it is no matter of their age.
        """
        reason = self._refused(PROBE)
        if reason:
            raise self._server.refuses(reason)
        self._spurned.update((one.record.type, one) for one in said if one.record.seq in run.rejected)
        known = sorted([*said, *self._spurned.values()], key=lambda one: one.record.at_ms)
        newest = list({one.record.type: one for one in known}.values())
        if len(newest) < MANY:
            return
        for one in sorted(newest, key=lambda one: -one.record.at_ms)[:MANY]:
            fault = self._send([one])
            if fault is None:
                if run.rejected.pop(one.record.seq, None):
                    run.acknowledged.append(one.record.seq)
                return
            if self._refused(b"%b %d" % (PROBE, one.record.at_ms * 1_000_000)):
                return
            reason = fault.reason
        raise self._server.refuses(reason)

    def _refused(self, probe: bytes) -> str:
        """Why; empty where it is taken."""
        try:
            self._server.write(probe)
        except Faulty as fault:
            return fault.reason
        return ""


class _Run:
    """How far one write has come."""

    def __init__(self, parts: deque[list[One]]) -> None:
        self.parts = parts
        self.requests = 0
        self.acknowledged: list[int] = []
        self.rejected: dict[int, str] = {}


def _all_of_it(part: Sequence[One], fault: Faulty) -> bool:
    """Whether there is nothing to search for: one event, or every point was dropped (1.x counts them)."""
    return len(part) == 1 or fault.dropped == sum(one.text.count(b"\n") + 1 for one in part)
