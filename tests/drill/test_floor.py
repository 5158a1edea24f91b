"""Whose cells they are: counters and states show what they must, whatever is read beside them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._modbus.values import Form, orders_of
from edge.config import LineConfig, load
from edge.drill.floor import BEFORE_END, Floor, open_floor
from edge.drill.spots import Spot, gauges_of, refuse_shared, spot_in
from edge.errors import DrillFailed
from simulators.modbus_image import Cell, Image

LINE = """
[line]
name = "l"

[source.plc]
type = "modbus"
host = "tcp://192.0.2.7"

[source.press]
type = "opcua"
endpoint = "opc.tcp://192.0.2.8"

[[station]]
name = "s"
ideal_cycle = "100ms"
"""


def config(folder: Path, text: str) -> LineConfig:
    file = folder / "line.toml"
    file.write_text(LINE + text, encoding="utf-8")
    return load(file, folder)


@contextlib.asynccontextmanager
async def floor(folder: Path, text: str) -> AsyncIterator[Floor]:
    async with contextlib.AsyncExitStack() as stack:
        yield await open_floor(stack, config(folder, text), folder)


def reads(image: Image, cell: Cell) -> Any:
    """As the agent decodes it; a number of the right width without one it has never been given."""
    values: Any = image.cells[cell.unit, cell.table]
    kind: Any = cell.kind
    if cell.table in ("coil", "discrete"):
        return bool(values[cell.start])
    registers = [values.get(at, 0) for at in range(cell.start, cell.start + 4)]
    return Form(kind, cell.order, cell.bit).decode()(registers, 0)


@st.composite
def numbers(draw: st.DrawFn) -> Cell:
    kinds = st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd32", "bcd64"])
    kind: Any = draw(kinds)
    table: Any = draw(st.sampled_from(["holding", "input"]))
    return Cell(1, table, draw(st.integers(0, 8)), kind, draw(st.sampled_from(orders_of(kind))))


NUMBERS = numbers()
FLAGS = st.builds(
    Cell, st.just(1), st.just("holding"), st.integers(0, 8), st.just("bool"), st.sampled_from(["AB", "BA"]),
    st.none() | st.integers(0, 15),
)  # fmt: skip
COILS = st.builds(Cell, st.just(1), st.just("coil"), st.integers(0, 3), st.just("bool"))


@given(NUMBERS, st.lists(NUMBERS | FLAGS | COILS, max_size=8), st.integers(0, 30_000))
def test_no_gauge_writes_into_a_counter(counter: Cell, others: list[Cell], count: int) -> None:
    async def scene() -> None:
        image = Image()
        spots = {f"t{at}": spot_in(image, cell, "plc", f"t{at}") for at, cell in enumerate(others)}
        spots["s.total"] = spot_in(image, counter, "plc", "s.total")
        await spots["s.total"].show(count)
        for show in gauges_of(spots, ["s.total"]):
            await show(119.7)
        assert reads(image, counter) == count

    asyncio.run(scene())


@given(FLAGS | COILS, FLAGS | COILS)
def test_bits_of_one_register_are_apart(one: Cell, other: Cell) -> None:
    """What does not overlap moves, and what does moves once."""
    image = Image()
    spots = {name: spot_in(image, cell, "plc", name) for name, cell in (("a", one), ("b", other))}
    shows = gauges_of(spots, [])
    assert len(shows) == 1 + spots["a"].cells.isdisjoint(spots["b"].cells)


def spot(form: str, *cells: int) -> Spot:
    async def show(_value: float | str) -> None:
        raise AssertionError("nothing is shown")

    return Spot(form, frozenset(cells), 64, show)


def test_two_states_of_one_place_are_shown_where_they_say_the_same() -> None:
    spots = {"a.state": spot("x", 1), "b.state": spot("x", 1), "c.state": spot("y", 1)}
    refuse_shared(spots, {"a.state": 6, "b.state": 6})
    with pytest.raises(DrillFailed, match=r"b\.state cannot be played"):
        refuse_shared(spots, {"a.state": 6, "b.state": 7})
    with pytest.raises(DrillFailed, match=r"c\.state .* same place as a\.state"):
        refuse_shared(spots, {"a.state": 6, "c.state": 6})


async def test_one_node_is_a_counter_and_twice_telemetry(tmp_path: Path) -> None:
    text = """
total = { source = "press", node = "ns=2;i=1", counter = "u16" }
[telemetry.t]
source = "press"
again = { node = "ns=2;i=1" }
heat = { node = "ns=2;i=2" }
heat_again = { node = "ns=2;i=2" }
"""
    async with floor(tmp_path, text) as one:
        assert len(one.gauges) == 1
        [station] = one.stations
        assert [dial.first for dial in station.counters] == [65_536 - BEFORE_END]


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        (
            'total = { source = "press", node = "i=2258", counter = "u16" }',
            "s.total cannot be played: i=2258 is a node that every OPC UA server has",
        ),
        (
            'state = { source = "plc", holding = 1, as = "u16", map = { 70000 = "Execute" } }',
            "s.state cannot be played: 70000 is no u16",
        ),
        (
            'state = { source = "plc", holding = 1, as = "u16", map = { running = "Execute" } }',
            "s.state cannot be played: 'running' is no u16",
        ),
    ],
)
async def test_what_cannot_be_played_is_a_sentence(tmp_path: Path, signals: str, words: str) -> None:
    with pytest.raises(DrillFailed, match=words):
        async with floor(tmp_path, signals):
            pass


@pytest.mark.parametrize(
    ("kind", "first"), [("i16", 0), ("f64", 65_536 - BEFORE_END), ("u16", 65_536 - BEFORE_END)]
)
async def test_a_counter_rolls_over_soon_where_it_can(tmp_path: Path, kind: str, first: int) -> None:
    words = 'words = "big", ' if kind == "f64" else ""
    text = f'total = {{ source = "plc", holding = 5, as = "{kind}", {words}counter = "u16" }}'
    async with floor(tmp_path, text) as one:
        assert [dial.first for dial in one.stations[0].counters] == [first]
