"""Settles a demo: made against counted against what each far end holds."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from edge.contract import Record
from edge.demo.far import Held
from edge.demo.floor import MACHINES, PACKER, PRESS
from edge.demo.operator import Log, meanings
from edge.journal import JournalReader
from edge.readmodel import UNASSIGNED, order_totals
from edge.status import SinkStatus
from simulators.records import Made, ResultMade, Scan, read_results, read_truth
from simulators.truth import (
    ByOrder,
    Change,
    Difference,
    Key,
    Tally,
    changes,
    judge,
    parts_by_order,
    reconcile,
)


class Parts(Struct, frozen=True):
    """Good parts and scrap."""

    good: int
    scrap: int


class MadeCounted(Struct, frozen=True):
    """The ground truth beside what the agent counted."""

    made: Parts
    counted: Parts


class SentRecorded(Struct, frozen=True):
    """What left a device beside what is in the journal."""

    sent: int
    recorded: int


class Delivered(Struct, frozen=True):
    """Events that a far end has acknowledged, and those it has not."""

    delivered: int
    pending: int


class DemoResult(Struct, frozen=True):
    """The last line of `lineside demo --json`."""

    stations: Mapping[str, MadeCounted]
    orders: Mapping[str, MadeCounted]
    tests: SentRecorded
    scans: SentRecorded
    lost: int
    duplicated: int
    misattributed: int
    unassigned: int
    sinks: Mapping[str, Delivered]
    differences: Sequence[str]
    """Everything that does not agree, in words; empty when all is well."""


def read_floor(truth: Path, log: Log) -> ByOrder:
    """What was made, by station and order; scrap that the operator booked included."""
    found: list[Change] = []
    for station, orders in meanings().items():
        found += changes(station, log.scans, orders)
    parts = [part for name in MACHINES for part in read_truth(truth / f"{name}.jsonl", Made)]
    made = parts_by_order(parts, found)
    definite = dict(made.definite)
    for one in log.booked:
        key = Key(one.station, one.order)
        was = definite.get(key, Tally())
        definite[key] = Tally(was.good - one.parts, was.scrap + one.parts)
    return ByOrder(definite, made.either)


def read_counted(reader: JournalReader) -> dict[Key, Tally]:
    """What the agent counted, from its state."""
    return {
        Key(station, None if order == UNASSIGNED else order): Tally(one.good_parts, one.scrap_parts)
        for (station, order), one in order_totals(reader).items()
        if station in MACHINES
    }


def as_held(counted: Mapping[Key, Tally]) -> Held:
    """The same in the form in which far ends are asked."""
    return {
        (key.station, key.order or UNASSIGNED): (one.good, one.scrap)
        for key, one in counted.items()
        if one != Tally()
    }


def settle(
    truth: Path, log: Log, reader: JournalReader, sinks: Mapping[str, SinkStatus], held: Mapping[str, Held]
) -> DemoResult:
    """Compare everything with everything."""
    made, counted = read_floor(truth, log), read_counted(reader)
    differences = reconcile(made, counted)
    verdict, settled = judge(differences), _settled(made, counted)
    events = reader.records(1, reader.head(), reader.head() + 1)
    tests, scans = _tests(truth, events), _scans(log.scans, events)
    orders = sorted({key.order for key in settled if key.order})
    return DemoResult(
        {station: _both(settled, counted, station=station) for station in (PRESS, PACKER)},
        {order: _both(settled, counted, order=order) for order in orders},
        tests, scans,
        verdict.lost, verdict.duplicated, verdict.misattributed,
        sum(one.good + one.scrap for key, one in counted.items() if key.order is None),
        {name: Delivered(one.delivered, one.pending) for name, one in sinks.items()},
        [
            *map(_in_words, differences),
            *_unrecorded(tests=tests, scans=scans),
            *_undelivered(sinks, held, as_held(counted)),
        ],
    )  # fmt: skip


def _unrecorded(**pairs: SentRecorded) -> list[str]:
    return [
        f"{what}: {one.sent} sent, {one.recorded} recorded"
        for what, one in pairs.items()
        if one.sent != one.recorded
    ]


def _undelivered(sinks: Mapping[str, SinkStatus], held: Mapping[str, Held], counted: Held) -> list[str]:
    waiting = [
        f"sink {name}: {one.pending} events wait; " + ": ".join(filter(None, (one.state, one.reason)))
        for name, one in sinks.items()
        if one.pending
    ]
    for name, theirs in held.items():
        parts = {key: one for key, one in theirs.items() if key[0] in MACHINES}
        if parts != counted:
            waiting.append(f"sink {name} holds {parts}, counted was {counted}")
    return waiting


def _settled(made: ByOrder, counted: Mapping[Key, Tally]) -> dict[Key, Tally]:
    """Every part under one order: those of either go where they are counted, if they fit there."""
    settled = defaultdict(Tally, made.definite)
    for part in made.either:
        keys = [Key(part.station, order) for order in part.orders]
        key = next(
            (key for key in keys if _is_short(settled[key], counted.get(key, Tally()), part.good)), keys[0]
        )
        was = settled[key]
        settled[key] = Tally(was.good + part.good, was.scrap + (not part.good))
    return dict(settled)


def _is_short(made: Tally, counted: Tally, good: bool) -> bool:
    return made.good < counted.good if good else made.scrap < counted.scrap


def _both(
    made: Mapping[Key, Tally],
    counted: Mapping[Key, Tally],
    station: str | None = None,
    order: str | None = None,
) -> MadeCounted:
    def parts(tallies: Mapping[Key, Tally]) -> Parts:
        own = [
            one
            for key, one in tallies.items()
            if (station is None or key.station == station) and (order is None or key.order == order)
        ]
        return Parts(sum(one.good for one in own), sum(one.scrap for one in own))

    return MadeCounted(parts(made), parts(counted))


def _tests(truth: Path, events: Sequence[Record]) -> SentRecorded:
    sent = [one for one in read_results(truth / "rig-1.jsonl") if isinstance(one, ResultMade)]
    recorded = Counter(one.data["unit"] for one in events if one.type == "test")
    return SentRecorded(len(sent), sum(recorded.values()))


def _scans(scans: Sequence[Scan], events: Sequence[Record]) -> SentRecorded:
    """Of the scans that were taken, how many are on record between trigger and answer.

    One that waited in the port while no agent was there is refused, without its label.
    """
    taken = [scan for scan in scans if scan.answer in ("confirmed", "duplicate")]
    recorded = [(one.data["label"], one.at_ms) for one in events if one.type == "scan"]
    found = [
        scan
        for scan in taken
        if any(
            text == scan.scan and scan.sent_ms - 1 <= at_ms <= (scan.answered_ms or 0)
            for text, at_ms in recorded
        )
    ]
    return SentRecorded(len(taken), len(found))


def _in_words(one: Difference) -> str:
    kind, orders = "good" if one.good else "scrap", " or ".join(order or UNASSIGNED for order in one.orders)
    return f"{one.station}, {orders}: {abs(one.excess)} {kind} too {'many' if one.excess > 0 else 'few'}"
