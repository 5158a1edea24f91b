"""From what was made, what is in the journal and what arrived, to lost, duplicated, late and recovered.

Pure: it is given everything, and waits for nothing.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edge.drill.books import Books
from edge.drill.far import FarEnd
from edge.drill.people import Device
from edge.drill.report import Fault, Row

LATE_S = 2.0
"""An event is late when it arrives so long after it was on disk, its sink's `linger` apart."""
SOON_S = 0.25
"""What came sooner did not wait for anything."""
_PLURAL = {"scan": "scans", "test": "results", "work_order": "orders"}


@dataclass(slots=True)
class Moment:
    """How far everything was at one moment."""

    at_s: float
    head: int
    made: Counter[str]
    counted: Counter[str]
    recovered: Counter[str]
    said: Mapping[str, int]
    """By device, how many things it had handed over."""


@dataclass(slots=True)
class Scene:
    """One fault, played: from where it began to where all was quiet again."""

    name: str
    words: str
    begin: Moment
    end: Moment
    cut_s: float
    healed_s: float
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outlet:
    """One sink and its far end."""

    name: str
    linger_s: float
    end: FarEnd


def judge(scene: Scene, books: Books, devices: Sequence[Device], outlets: Sequence[Outlet]) -> Fault:
    """One scene, once everything that will come has come."""
    rows = [*_parts(scene), *_spoken(scene, books, devices), *(_sent(scene, books, one) for one in outlets)]
    remarks = [*scene.remarks, *_deaf(rows, devices)]
    return Fault(scene.name, scene.words, rows, remarks)


def _parts(scene: Scene) -> Iterator[Row]:
    """What was counted too late for one scene is not twice in the next."""
    for signal in sorted(scene.end.made | scene.begin.made):
        made = scene.end.made[signal] - scene.begin.made[signal]
        short, was_short = (one.made[signal] - one.counted[signal] for one in (scene.end, scene.begin))
        recovered = scene.end.recovered[signal] - scene.begin.recovered[signal]
        lost, twice = max(short, 0) - max(was_short, 0), max(-short, 0) - max(-was_short, 0)
        yield Row(f"counts of {signal}", made, max(lost, 0), max(twice, 0), recovered=recovered)


def _spoken(scene: Scene, books: Books, devices: Sequence[Device]) -> Iterator[Row]:
    """A scan may be on record twice: who got no answer scans again. A test or an order may not."""
    for device in devices:
        said = device.said[scene.begin.said.get(device.name, 0) : scene.end.said.get(device.name, 0)]
        found = books.of(device.kind)
        twice = 0 if device.kind == "scan" else sum(found[one] > 1 for one in said)
        lost = sum(not found[one] for one in said)
        yield Row(f"{_PLURAL[device.kind]} of {device.name}", len(said), lost, twice)


def _deaf(rows: Sequence[Row], devices: Sequence[Device]) -> Iterator[str]:
    lost = {row.what for row in rows if row.lost}
    for device in devices:
        if device.unknown:
            yield f"{device.name} gave up {device.unknown} times so far: nobody told it what became of it"
        if not device.is_told and f"{_PLURAL[device.kind]} of {device.name}" in lost:
            yield f"{device.name} waits for no answer: set `confirm`, and the device to wait for it"


def _sent(scene: Scene, books: Books, outlet: Outlet) -> Row:
    """The events that were written while the scene was on, at the far end of one sink."""
    arrivals = outlet.end.arrivals
    expected = {
        key: fact
        for key, fact in outlet.end.expected(books.facts).items()
        if scene.begin.head < fact.seq <= scene.end.head
    }
    there = {key: fact for key, fact in expected.items() if key in arrivals.first_s}
    took = {key: max(arrivals.first_s[key] - books.written_s(fact.seq), 0.0) for key, fact in there.items()}
    waited = [
        key
        for key, fact in there.items()
        if took[key] > SOON_S + outlet.linger_s
        and _waited(scene, books.written_s(fact.seq), arrivals.first_s[key])
    ]
    return Row(
        f"events to {outlet.name}", len(expected), len(expected) - len(there),
        len(arrivals.changed & expected.keys()) + _strangers(scene, books, outlet),
        sum(one > LATE_S + outlet.linger_s for one in took.values()), len(waited),
        _between(arrivals.repeats, scene), round(max(took.values(), default=0.0), 3),
    )  # fmt: skip


def _waited(scene: Scene, written_s: float, arrived_s: float) -> bool:
    """Written while the fault lasted, and come after it."""
    return scene.cut_s <= written_s <= scene.healed_s < arrived_s


def _strangers(scene: Scene, books: Books, outlet: Outlet) -> int:
    """Events that came and of which the journal knows nothing: the same again under another id."""
    first_s = outlet.end.arrivals.first_s
    strangers = outlet.end.strangers([*books.facts, *books.dropped])
    return sum(scene.begin.at_s < first_s[key] <= scene.end.at_s for key in strangers)


def _between(moments: Sequence[float], scene: Scene) -> int:
    return bisect_left(moments, scene.end.at_s) - bisect_left(moments, scene.begin.at_s)
