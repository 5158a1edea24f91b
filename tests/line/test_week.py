"""A week on three stations in virtual time: whatever happens, every part is somebody's, and once.

Two hundred and more jobs of a hundred orders, with wrong cards, late cards, scrap, rework, reassignments,
adjustments, lost sources, restarts, kills, glitches, a swapped controller and clocks that are wrong, through
the real recorder into a real journal.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace as changed
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge.contract import Record
from edge.errors import NotRecorded
from edge.journal import JournalReader
from edge.observation import (
    AGENT,
    COMMAND,
    ORDER,
    Adjust,
    Observation,
    Reassign,
    Stamp,
    Value,
    Verdict,
    WorkOrder,
)
from edge.production import Line
from edge.production.line import Role
from edge.production.slots import slots
from edge.production.state import Job, Station
from edge.production.totals import Totals, counted, disposed
from tests.support.clock import ManualClock
from tests.support.line import bulky, counter, label, no_room, recording, see, station

SEED = 20_260_504
SIGNALS = {
    "press": ("press.total", "press.reject"),
    "packer": ("packer.good", "packer.reject"),
    "wrapper": ("wrapper.good",),
}
GUNS = {"press": "gun-1", "packer": "gun-2", "wrapper": "gun-3"}
RESTART = "restart"
DISK_FULL = "disk full"
"""While the next step comes."""
Step = Sequence[Observation] | str
HOUR_MS = 3_600_000


def the_line() -> Line:
    press = station("press", counter("press", Role.TOTAL, 16), counter("press", Role.REJECT), ideal_ms=500)
    packer = station(
        "packer", counter("packer", Role.GOOD, source="plc-2", parts_per_count=2),
        counter("packer", Role.REJECT, source="plc-2", parts_per_count=2), gun="gun-2", ideal_ms=500,
    )  # fmt: skip
    wrapper = station("wrapper", counter("wrapper", Role.GOOD, source="plc-3"), gun="gun-3", ideal_ms=50)
    specs = (press, changed(packer, capacity=2), wrapper)
    return Line("line-1", tuple(changed(spec, state_signal=None) for spec in specs), badge_required=False)


class Week:
    """What happens, as steps: observations that come together, or a word for what happens to the agent."""

    def __init__(self) -> None:
        self.chance = random.Random(SEED)
        self.clock = ManualClock()
        self.raw = {"press.total": 65_000, "press.reject": 10, "packer.good": 7, "packer.reject": 0,
                    "wrapper.good": 4_000_000_000}  # fmt: skip
        self.made: Counter[str] = Counter()
        """What each counter has counted: the truth."""
        self.offset_ms = 0
        """Of the press's clock, as it was measured when it was connected."""
        self.runs: list[str] = []
        """Which the supervisor can choose from."""
        self.corrections: Counter[str] = Counter()

    # --- small things -----------------------------------------------------------------------

    def read(self, name: str, *counts: int) -> list[Observation]:
        """The station's counters were read, so much further than before."""
        return [self._seen(signal, more) for signal, more in zip(SIGNALS[name], counts, strict=False)]

    def _seen(self, signal: str, more: int) -> Observation:
        width = 1 << (16 if signal == "press.total" else 32)
        self.raw[signal] = (self.raw[signal] + more) % width
        self.made[signal] += more
        seen = see(self.clock, signal, self.raw[signal])
        if not signal.startswith("press."):
            return seen
        device_ms = self.clock.wall_ms() - 7 * 60_000 - self.chance.randint(0, 40)
        return replace(seen, at_ms=device_ms + self.offset_ms, stamp=Stamp.SOURCE)

    def scan(self, name: str, text: str, *counts: int) -> list[Observation]:
        """A scan, with the counters read for it where `counts` says what they had counted until then."""
        self.clock.pass_ms(2_000)
        seen = see(self.clock, GUNS[name], label(text))
        self.clock.pass_ms(40)
        boundary = self.read(name, *counts)
        fresh = tuple(one.signal for one in boundary)
        return [*boundary, replace(seen, fresh=fresh)]

    def ask(self, command: Value) -> list[Observation]:
        self.clock.pass_ms(1_000)
        return [see(self.clock, COMMAND, command)]

    def connect(self) -> None:
        """The press's clock is seven minutes slow; that is measured, with some error."""
        self.offset_ms = 7 * 60_000 + self.chance.randint(-20, 20)

    # --- the week ---------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        self.connect()
        yield [see(self.clock, AGENT, "start")]
        yield [one for name in SIGNALS for one in self.read(name, 0, 0)]
        for number in range(1, 101):
            operations = (10, 20, 30) if number % 5 == 0 or number > 97 else (10, 20)
            wanted = self.chance.randint(5, 60)
            order = WorkOrder(f"W-{number}", f"P{number % 7}", wanted, operations=operations)
            yield [see(self.clock, ORDER, order)]
        for number in range(1, 100, 2):
            yield from self.two_orders(number)
            yield from self.something_odd(number)
            self.clock.pass_ms(HOUR_MS)
            if number % 16 == 15:  # a night
                yield from self.the_long_order()
                self.clock.pass_ms(16 * HOUR_MS)

    def two_orders(self, number: int) -> Iterator[Step]:
        """Each at the press, then both together at the packer, some at the wrapper."""
        for order in (number, number + 1):
            yield from self.at_the_press(f"W-{order}-10")
        yield from self.both_at_the_packer(f"W-{number}-20", f"W-{number + 1}-20")
        for order in (number, number + 1):
            if order % 5 == 0:
                yield from self.at_the_wrapper(f"W-{order}-30")
        if number == 51:
            yield from self.at_all_three("W-98-30")

    def boundary(self, *most: int) -> list[int]:
        """What the counters are read at when a scan asks for it; mostly they answer."""
        return [] if self.chance.random() < 0.2 else [self.chance.randint(0, one) for one in most]

    def at_the_press(self, card: str) -> Iterator[Step]:
        chance = self.chance
        yield self.scan("press", f"E {4700 + chance.randint(1, 5)}")
        if chance.random() < 0.2:  # the wrong card, and parts, before somebody notices
            yield self.scan("press", f"J W-{chance.randint(1, 100)}-10", *self.boundary(3, 1))
            yield from self.works("press", 2)
            yield self.scan("press", "C UNDO", *self.boundary(3, 1))
        yield from self.works("press", 1)
        yield self.scan("press", f"J {card}", *self.boundary(3, 1))
        if chance.random() < 0.2:
            yield self.scan("press", "C BACK2", *self.boundary(3, 1))
        if chance.random() < 0.2:
            yield self.scan("press", "C SETUP", *self.boundary(3, 1))
            yield from self.works("press", 2)
            yield self.scan("press", "C START", *self.boundary(3, 1))
        yield from self.works("press", 6)
        yield from self.what_is_bad("press")
        yield self.scan("press", chance.choice(["C DONE", "C DONE", "C PAUSE"]), *self.boundary(3, 1))

    def works(self, name: str, readings: int) -> Iterator[Step]:
        for _ in range(readings):
            self.clock.pass_ms(self.chance.choice([250, 1_000, 5_000, 60_000]))
            yield self.read(name, self.chance.randint(0, 6), self.chance.choice([0, 0, 1]))

    def what_is_bad(self, name: str) -> Iterator[Step]:
        if self.chance.random() < 0.4:
            yield self.scan(name, "X BURR")
            yield self.scan(name, f"Q {self.chance.randint(1, 3)}")
        if self.chance.random() < 0.3:
            self.clock.pass_ms(31_000)
            yield self.scan(name, "C REWORK")
            yield self.scan(name, "Q 2")
            yield self.scan(name, "C OK")
            yield self.scan(name, "Q 1")
            if self.chance.random() < 0.5:
                yield self.scan(name, "C UNDO")

    def both_at_the_packer(self, one: str, other: str) -> Iterator[Step]:
        yield self.scan("packer", f"J {one}", *self.boundary(3, 1))
        yield from self.works("packer", 2)
        yield self.scan("packer", f"J {other}", *self.boundary(3, 1))
        yield from self.works("packer", 5)
        yield self.scan("packer", f"J {one}")
        yield self.scan("packer", "X DENT")
        yield self.scan("packer", "Q 1")
        if self.chance.random() < 0.5:
            yield self.scan("packer", "C UNDO")
        for card in (one, other):
            yield self.scan("packer", f"J {card}")
            yield self.scan("packer", "C DONE", *self.boundary(3, 1))
            yield from self.works("packer", 1)

    def at_the_wrapper(self, card: str) -> Iterator[Step]:
        """Twenty parts a second, also while the cards change."""
        yield self.scan("wrapper", f"J {card}", self.chance.randint(30, 40))
        for _ in range(10):
            self.clock.pass_ms(250)
            yield self.read("wrapper", 5)
        yield self.scan("wrapper", "C DONE", self.chance.randint(30, 40))

    def at_all_three(self, card: str) -> Iterator[Step]:
        for name in SIGNALS:
            yield self.scan(name, f"J {card}", *self.boundary(3, 1))
        for _ in range(3):
            for name in SIGNALS:
                yield from self.works(name, 1)
        for name in SIGNALS:
            yield self.scan(name, "C DONE", *self.boundary(3, 1))

    def the_long_order(self) -> Iterator[Step]:
        """It goes on at the wrapper in every shift."""
        yield self.scan("wrapper", "J W-99-30", *self.boundary(20))
        for _ in range(20):
            self.clock.pass_ms(60_000)
            yield self.read("wrapper", self.chance.randint(0, 600))
        yield self.scan("wrapper", "C PAUSE", *self.boundary(20))

    # --- what goes wrong --------------------------------------------------------------------

    def something_odd(self, number: int) -> Iterator[Step]:
        troubles = [
            self.source_is_lost, self.glitch, self.restarted, self.killed, self.wrong_run, self.wrong_window,
            self.counted_by_hand, self.clock_is_set, self.disk_is_full,
        ]  # fmt: skip
        yield from troubles[(number // 2) % len(troubles)]()
        if number == 61:
            yield from self.swapped()

    def source_is_lost(self) -> Iterator[Step]:
        yield [see(self.clock, "source/plc-2", "lost")]
        self.clock.pass_ms(600_000)
        yield [see(self.clock, "source/plc-2", "back"), *self.read("packer", 120, 3)]

    def glitch(self) -> Iterator[Step]:
        for signal in ("press.total", "wrapper.good"):
            yield [see(self.clock, signal, 0)]
            self.clock.pass_ms(200)
            yield [self._seen(signal, 2)]

    def restarted(self) -> Iterator[Step]:
        yield [see(self.clock, AGENT, "stop")]
        yield RESTART
        self.clock.pass_ms(30_000)
        self.connect()
        yield [see(self.clock, AGENT, "start"), *self.read("press", 20, 1), *self.read("packer", 9, 0)]

    def killed(self) -> Iterator[Step]:
        """What was seen and was not on disk yet is lost, but for the counters."""
        yield self.scan("wrapper", "J W-99-30", *self.boundary(20))
        self.read("wrapper", 15)
        self.read("press", 3, 1)
        yield RESTART
        self.clock = ManualClock(self.clock.wall_ms() + 90_000, 30_000, self.clock.boot + "+")
        self.connect()
        yield [see(self.clock, AGENT, "start"), *self.read("wrapper", 4), *self.read("press", 1, 0)]
        yield self.scan("wrapper", "C PAUSE", *self.boundary(20))

    def wrong_run(self) -> Iterator[Step]:
        for run in self.chance.sample(self.runs, 3):
            card = self.chance.choice(["W-7-10", "W-8-20", "W-90-30", None])
            yield self.ask(Reassign("chief", "wrong card", card, run))

    def wrong_window(self) -> Iterator[Step]:
        now_ms = self.clock.wall_ms()
        for name in SIGNALS:
            card = self.chance.choice(["W-9-10", "W-10-20", None])
            asked = Reassign(
                "chief", "no card", card, station=name, from_ms=now_ms - 900_000, to_ms=now_ms - 300_000
            )
            yield self.ask(asked)

    def counted_by_hand(self) -> Iterator[Step]:
        for run in self.chance.sample(self.runs, 3):
            good, scrap = self.chance.randint(1, 5), self.chance.randint(0, 2)
            yield self.ask(Adjust("chief", "counted by hand", run, good, scrap))

    def disk_is_full(self) -> Iterator[Step]:
        """What was decided is undone, and the counters are read again later."""
        yield DISK_FULL
        too_much = bulky(see(self.clock, "press.total", 0))
        yield [*self.read("press", 4, 1), *self.read("packer", 3, 0), too_much]
        self.clock.pass_ms(60_000)
        yield [*self.read("press", 1, 0), *self.read("packer", 2, 1)]

    def clock_is_set(self) -> Iterator[Step]:
        self.clock.step_ms(self.chance.choice([-600_000, -60_000, 60_000, 600_000]))
        yield from self.works("press", 1)

    def swapped(self) -> Iterator[Step]:
        """Another controller at the packer: its counters begin at 0, and that is believed the third time."""
        yield [see(self.clock, "source/plc-2", "lost")]
        self.clock.pass_ms(1_200_000)
        yield [see(self.clock, "source/plc-2", "back")]
        for signal in SIGNALS["packer"]:
            self.raw[signal] = 0
        for _ in range(3):
            self.clock.pass_ms(200)
            yield self.read("packer", 0, 0)
        self.clock.pass_ms(400_000)


def urgent(step: Sequence[Observation]) -> bool:
    return any(one.signal in (*GUNS.values(), AGENT, COMMAND, ORDER) for one in step)


async def live_through(week: Week, line: Line, path: Path) -> Counter[str]:
    """Every step through the recorder; a restart is a new one on the same file. Returns what was answered."""
    answers: Counter[str] = Counter()
    steps, over = week.steps(), False
    while not over:
        over = True
        async with recording(line, path) as recorder, asyncio.timeout(110):
            for step in steps:
                if step == RESTART:
                    over = False
                    break
                if step == DISK_FULL:
                    with no_room(recorder._journal), pytest.raises(NotRecorded):
                        await recorder.emit(as_seen(next(steps)))
                elif urgent(as_seen(step)):
                    outcomes = await recorder.emit(as_seen(step))
                    answers[f"{as_seen(step)[-1].signal} {outcomes[-1].verdict}"] += 1
                    assert all(one.verdict is not Verdict.QUARANTINED for one in outcomes)
                else:
                    recorder.post(as_seen(step))
                week.runs = [f"r{number}" for number in range(1, 1 + answers["gun-1 accepted"] // 4)]
    return answers


def as_seen(step: Step) -> Sequence[Observation]:
    assert not isinstance(step, str)
    return step


def totals_of(records: Sequence[Record]) -> dict[tuple[str, str], Totals]:
    """By station and owner (order and operation, `kind/...` where it is none of the quantity), as the
    journal's events have it in their newest attribution."""
    found: dict[tuple[str, str], Totals] = {}
    for record in records:
        data, context = record.data, record.context
        if record.type == "count":
            of_total = data.get("of_total", False)
            made = counted(data["role"], data["produced"], counts=data.get("counts", True), of_total=of_total)
        elif record.type == "disposition":
            made = disposed(data["disposition"], data["quantity"])
        elif record.type == "adjustment":
            made = Totals(added=data["good"] + data["scrap"], booked=data["scrap"])
        else:
            continue
        if made == Totals():
            continue
        owner = "UNASSIGNED"
        if context.get("order"):
            owner = f"{context['order']}/{context.get('operation', '')}"
            if context.get("kind") and record.type == "count":
                owner = f"{context['kind']}/{owner}"
        key = record.station, owner
        found[key] = found.get(key, Totals()).and_(made)
    return {key: made for key, made in found.items() if made != Totals()}


def rows_of(reader: JournalReader) -> dict[tuple[str, str], Totals]:
    """The same, as the core's rows have it."""
    found: dict[tuple[str, str], Totals] = {}

    def add(name: str, owner: str, made: Totals) -> None:
        found[name, owner] = found.get((name, owner), Totals()).and_(made)

    running: set[tuple[str, str]] = set()
    for _, row in reader.rows("station/"):
        assert isinstance(row, Station)
        there = slots(row)
        name = next((slot.run.station for slot in there), None) or (row.loose.station if row.loose else "")
        for slot in there:
            owner = f"{slot.run.order}/{'' if slot.run.operation is None else slot.run.operation}"
            add(name, owner, slot.run.order_totals)
            running.add((name, owner))
            if slot.run.kind != "production":
                add(name, f"{slot.run.kind}/{owner}", slot.run.totals.counts)
    for key, row in reader.rows("station/"):
        assert isinstance(row, Station)
        add(key.removeprefix("station/"), "UNASSIGNED", row.unassigned)
    for key, row in reader.rows("job/"):
        assert isinstance(row, Job)
        owner = key.removeprefix("job/")
        for name, made in row.totals.items():
            if (name, owner) not in running:
                add(name, owner, made)
        for aside, made in row.aside.items():
            kind, name = aside.split("/")
            add(name, f"{kind}/{owner}", made)
    return {key: made for key, made in found.items() if made != Totals()}


async def test_in_a_week_every_part_is_somebodys_once(tmp_path: Path) -> None:
    week, line, path = Week(), the_line(), tmp_path / "journal.db"
    answers = await live_through(week, line, path)
    reader = JournalReader(path, "line-1")
    try:
        records = reader.records(1, reader.head(), 10_000_000)
        rows = rows_of(reader)
    finally:
        reader.close()
    assert rows == totals_of(records)
    for signal, counts in week.made.items():
        name, role = signal.split(".")
        parts = counts * line.counters[signal].counter.parts_per_count
        assert sum(made.of(Role(role)) for (where, _), made in rows.items() if where == name) == parts
    corrected = Counter(record.data["why"] for record in records if record.type == "attribution")
    assert min(corrected[why] for why in ("undo", "back", "reassigned")) > 5
    assert answers["command accepted"] > 10
    assert len({record.data["order"] for record in records if record.type == "order"}) == 100
    assert {"gap", "reset", "rollover"} <= {record.data.get("quality") for record in records}
    assert week.clock.wall_ms() - records[0].at_ms > 6 * 24 * HOUR_MS
