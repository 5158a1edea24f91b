"""Telemetry of a poll, decoded together: the same values as one by one, handed over as readings of a lane."""

import struct
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters import modbus
from adapters._modbus.plan import Point, block_of
from adapters._modbus.together import samples_of, together
from edge.contract import Quality, Signal
from tests.adapters.modbus_support import Device, collecting, settings, signal
from tests.support.intake import MemoryIntake

KINDS = st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool"])
ORDERS_OF = st.sampled_from([st.just("big"), st.just("big"), st.sampled_from(["big", "little"])])


@st.composite
def points(draw: st.DrawFn) -> list[Point]:
    """By address, with gaps and some that overlap; most of one kind, as in a real device."""
    found: list[Point] = []
    at, kinds, orders = 0, draw(st.sampled_from([st.just("u16"), KINDS])), draw(ORDERS_OF)
    overlap = draw(st.sampled_from([0, 0, 4]))
    for number in range(draw(st.integers(1, 12))):
        kind = draw(kinds)
        place = {"holding": at, "as": kind, "bytes": draw(orders)}
        wide = kind in ("u32", "i32", "f32", "u64", "i64", "f64")
        address = modbus.Address.model_validate(place | ({"words": draw(orders)} if wide else {}))
        name = f"telemetry/oven/s{number}"
        decoder = address.decode()
        found.append(Point(name, 1, "holding", at, address.width, 1.0, decoder, "oven", address.letter()))
        at += max(0, address.width + draw(st.integers(-overlap, 2)))
    return list(block_of(found).points)


@given(points(), st.data())
def test_values_are_the_same_together_as_one_by_one(these: list[Point], data: st.DataObject) -> None:
    end = max(point.end for point in these)
    word = st.integers(0, 0xFFFF) | st.sampled_from([0x7FC0, 0x7F80, 0xFFF0])  # NaN and infinities
    cells = data.draw(st.lists(word, min_size=end, max_size=end))
    expected = [point.decode(cells, point.start) for point in these]
    assert list(together(these, 0)(cells)) == expected
    assert [type(one) for one in together(these, 0)(cells)] == [type(one) for one in expected]


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_bits_too(bits: list[bool], data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.integers(0, len(bits) - 1), min_size=1)))
    read = modbus.Address(coil=0).decode()
    these = [Point(f"s{at}", 1, "coil", at, 1, 1.0, read, "oven", "?") for at in places]
    assert list(together(these, 0)(bits)) == [bits[at] for at in places]


def test_each_table_has_its_lane_and_the_rest_is_left() -> None:
    intake = MemoryIntake("plc")
    read = modbus.Address.model_validate({"holding": 0, "as": "u16"}).decode()
    oven = [Point(f"telemetry/oven/{at}", 1, "holding", at, 1, 1.0, read, "oven", "H") for at in (0, 2)]
    bath = [Point("telemetry/bath/x", 1, "holding", 1, 1, 1.0, read, "bath", "H")]
    count = Point("press.total", 1, "holding", 3, 1, 1.0, read)
    samples = samples_of(block_of([*oven, *bath, count]), intake)
    samples.hand_over([10, 11, 12, 13], intake)
    assert intake.samples == [
        {"telemetry/bath/x": 11},
        {"telemetry/oven/0": 10, "telemetry/oven/2": 12},
    ]
    assert samples.rest == [count]


# --- on the wire ----------------------------------------------------------------------------------


def sampled(name: str, as_: str, **keys: Any) -> Signal[modbus.Address]:
    return replace(signal(f"telemetry/oven/{name}", as_, **keys), table="oven")


async def test_one_request_gives_readings_of_a_lane_and_counts(plc: Device) -> None:
    intake = MemoryIntake("plc")
    await plc.set("holding", 0, 7, *struct.unpack(">2H", struct.pack(">f", 1.5)), 41)
    these = [sampled("a", "u16", holding=0), sampled("b", "f32", holding=1, words="big")]
    counter = signal("press.total", "u16", holding=3)
    async with collecting(settings(host=f"tcp://127.0.0.1:{plc.port}"), [*these, counter], intake):
        await intake.until(lambda: 41 in intake.values("press.total"))
        await plc.set("holding", 1, 0x7FC0)
        await plc.set("holding", 3, 42)
        await intake.until(lambda: 42 in intake.values("press.total"))
    assert intake.samples[0] == {"telemetry/oven/a": 7, "telemetry/oven/b": 1.5}
    assert intake.samples[-1] == {"telemetry/oven/a": 7, "telemetry/oven/b": None}
    assert {one.signal for one in intake.seen} == {"press.total"}


async def test_a_register_that_is_refused_is_bad_and_the_others_go_on(plc: Device) -> None:
    intake = MemoryIntake("plc")
    these = [sampled("a", "u16", holding=998), sampled("b", "u16", holding=1000)]
    async with collecting(settings(host=f"tcp://127.0.0.1:{plc.port}"), these, intake):
        await intake.until(lambda: bool(intake.seen))
        before = len(intake.samples)
        await intake.until_sampled(lambda: len(intake.samples) > before)
    assert {one.signal for one in intake.seen if one.quality is Quality.BAD} == {"telemetry/oven/b"}
    assert {name for one in intake.samples for name in one} == {"telemetry/oven/a"}
