"""Work orders that come in: new, again, changed, refused; and what stations see of it."""

from pathlib import Path

import pytest

from edge.journal import JournalReader
from edge.observation import ORDER, Outcome, Verdict, WorkOrder
from edge.production.events import OrderReceived
from edge.production.state import Job, job_key, order_key
from edge.readmodel import order_view, order_views, station_views
from tests.support.clock import ManualClock
from tests.support.line import Core, line, recording, scan, see, station

NEW = WorkOrder("WO-7", "P7", 100, "C", "L12", (10, 20))


class Floor:
    """A core with a press and a packer, and its clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.core = Core(line(station(), station("packer", gun="gun-2")))

    def order(self, order: WorkOrder) -> Outcome:
        self.clock.pass_ms(2_000)
        return self.core.see(see(self.clock, ORDER, order)).outcome

    def scan(self, text: str, gun: str = "gun-1") -> Outcome:
        self.clock.pass_ms(2_000)
        return self.core.see(scan(self.clock, text, gun, fresh=())).outcome

    def received(self) -> list[OrderReceived]:
        return [event.data for event in self.core.events if isinstance(event.data, OrderReceived)]

    def verdict(self, order: WorkOrder) -> Verdict:
        return self.order(order).verdict


@pytest.fixture
def floor() -> Floor:
    return Floor()


def changed(**fields: object) -> WorkOrder:
    values = {name: getattr(NEW, name) for name in NEW.__struct_fields__}
    return WorkOrder(**{**values, **fields})


def test_a_new_order_is_said_once_and_can_be_started(floor: Floor) -> None:
    assert floor.order(NEW) == Outcome(Verdict.ACCEPTED, "WO-7 is new: 100 of P7")
    assert floor.received() == [OrderReceived("WO-7", "P7", 100, "new", "C", "L12", (10, 20))]
    assert floor.scan("J WO-7-10").words == "WO-7-10 started at press, 100 of P7"
    context = floor.core.station().context
    assert (context.order, context.operation, context.item, context.revision, context.batch) == (
        "WO-7", 10, "P7", "C", "L12",
    )  # fmt: skip


def test_the_same_again_is_a_duplicate_and_changes_nothing(floor: Floor) -> None:
    floor.order(NEW)
    before = dict(floor.core.rows)
    for _ in range(3):
        assert floor.order(NEW) == Outcome(Verdict.DUPLICATE, "WO-7 is here already")
    assert (floor.core.rows, len(floor.received())) == (before, 1)


@pytest.mark.parametrize(
    "fields", [{"item": "P8"}, {"revision": None}, {"batch": "L13"}, {"operations": (10,)}, {"quantity": 5}]
)
def test_before_its_start_everything_may_change(floor: Floor, fields: dict[str, object]) -> None:
    floor.order(NEW)
    assert floor.verdict(changed(**fields)) is Verdict.ACCEPTED
    assert floor.core.row(order_key("WO-7")) == changed(**fields)
    assert [one.change for one in floor.received()] == ["new", "changed"]


@pytest.mark.parametrize(
    "fields", [{"item": "P8"}, {"revision": None}, {"batch": "L13"}, {"operations": (10,)}]
)
@pytest.mark.parametrize("afterwards", [[], ["C PAUSE"], ["C DONE"]])
def test_after_its_start_only_the_quantity_may_change(
    floor: Floor, fields: dict[str, object], afterwards: list[str]
) -> None:
    floor.order(NEW)
    for text in ("J WO-7-20", *afterwards):
        assert floor.scan(text).verdict is Verdict.ACCEPTED
    before = dict(floor.core.rows)
    refused = floor.order(changed(**fields, quantity=7))
    assert refused == Outcome(Verdict.REFUSED, "WO-7 has been started: only its quantity can be changed")
    assert floor.core.rows == before
    assert floor.verdict(changed(quantity=7)) is Verdict.ACCEPTED


def test_a_quantity_reaches_every_station_where_it_runs(floor: Floor) -> None:
    floor.order(NEW)
    floor.scan("J WO-7-10")
    floor.scan("J WO-7-20", "gun-2")
    floor.order(changed(quantity=250))
    for name in ("press", "packer"):
        run = floor.core.station(name).run
        assert run is not None
        assert run.quantity == 250
    assert floor.scan("J WO-7-10").words == "WO-7-10 is running: 0 of 250"


def test_a_quantity_of_one_order_is_not_anothers(floor: Floor) -> None:
    floor.order(NEW)
    floor.scan("J WO-1002")
    floor.order(changed(quantity=250))
    run = floor.core.station().run
    assert run is not None
    assert run.quantity == 50


def test_an_order_without_operations_is_one_job(floor: Floor) -> None:
    floor.order(WorkOrder("A", "P7", 5))
    assert floor.scan("J A").verdict is Verdict.ACCEPTED
    assert floor.verdict(WorkOrder("A", "P7", 6)) is Verdict.ACCEPTED
    run = floor.core.station().run
    assert run is not None
    assert run.quantity == 6
    assert isinstance(floor.core.row(job_key("A", None)), Job)


@pytest.mark.parametrize("name", ["", "wo-1", "-1", "A B", "A" * 33, "Ä", "A\n", "A/B", "$JA", "A\x00"])
def test_an_id_that_no_card_can_hold_is_refused(floor: Floor, name: str) -> None:
    outcome = floor.order(WorkOrder(name, "P7", 1))
    assert (outcome.verdict, outcome.words.isprintable()) == (Verdict.REFUSED, True)
    assert (floor.core.rows, floor.core.events) == ({}, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"quantity": 0}, {"quantity": -1}, {"quantity": 10**10}, {"item": ""}, {"item": "x" * 101},
        {"item": "\x1b[2J"}, {"revision": "a\nb"}, {"batch": "\u202e"}, {"operations": (10, 10)},
        {"operations": (-1,)}, {"operations": (100_000,)},
    ],
)  # fmt: skip
def test_what_no_order_holds_is_refused(floor: Floor, fields: dict[str, object]) -> None:
    assert floor.verdict(changed(**fields)) is Verdict.REFUSED
    assert (floor.core.rows, floor.core.events) == ({}, [])


def test_an_order_of_the_lines_file_is_changed_there(floor: Floor) -> None:
    outcome = floor.order(WorkOrder("WO-1001", "P7", 100, "C", operations=(10,)))
    assert outcome == Outcome(Verdict.REFUSED, "WO-1001 is written in the line's file: change it there")


def test_an_id_that_is_a_job_card_is_refused(floor: Floor) -> None:
    floor.order(NEW)
    for name in ("WO-7-10", "WO-1001-10"):
        outcome = floor.order(WorkOrder(name, "P7", 1))
        assert (outcome.verdict, "job card of another order" in outcome.words) == (Verdict.REFUSED, True)


def test_what_is_not_an_order_is_refused(floor: Floor) -> None:
    outcome = floor.core.see(see(floor.clock, ORDER, "WO-7")).outcome
    assert outcome == Outcome(Verdict.REFUSED, "not a work order")


async def test_an_order_that_came_in_is_resumed_after_a_restart(tmp_path: Path) -> None:
    path, clock, floor = tmp_path / "journal.db", ManualClock(), line()
    said: list[str] = []

    async def say(*texts: str) -> None:
        for text in texts:
            clock.pass_ms(2_000)
            [outcome] = await recorder.emit([scan(clock, text, fresh=("press.total",))])
            said.append(outcome.words)

    async def read(total: int) -> None:
        clock.pass_ms(10_000)
        await recorder.emit([see(clock, "press.total", total, answers=1)])

    async with recording(floor, path) as recorder:
        await recorder.emit([see(clock, ORDER, NEW)])
        await read(100)
        await say("J WO-7-10")
        await read(105)
        await say("C PAUSE")
    async with recording(floor, path) as recorder:
        assert (await recorder.emit([see(clock, ORDER, NEW)]))[0].verdict is Verdict.DUPLICATE
        await say("C RESUME")
        await read(108)
        assert (await recorder.emit([see(clock, ORDER, changed(quantity=9))]))[0].recorded
    reader = JournalReader(path, "line-1")
    [press] = station_views(reader, floor)
    view = order_view(reader, floor, "WO-7")
    names = [one.id for one in order_views(reader, floor)]
    reader.close()
    assert said[0] == "WO-7-10 started at press, 100 of P7"
    assert (press.order, press.quantity, press.good, press.batch) == ("WO-7", 9, 8, "L12")
    assert view is not None
    assert (view.quantity, [(one.operation, one.state) for one in view.operations]) == (
        9, [(10, "Running"), (20, "AllowedToStart")],
    )  # fmt: skip
    assert [(one.station, one.good, one.running) for one in view.operations[0].stations] == [
        ("press", 8, True)
    ]
    assert names == ["WO-1001", "WO-1002", "WO-1003", "WO-7"]
