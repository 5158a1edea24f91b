"""Telemetry of a poll, decoded together: the same values as one by one, handed over as readings of a lane."""

import struct
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters import modbus
from adapters._modbus.plan import Point, block_of
from adapters._modbus.points import point_of
from adapters._modbus.together import samples_of, together
from adapters._modbus.values import Kind, orders_of
from edge.contract import NoValue, Quality, Signal
from tests.adapters.modbus_support import Device, collecting, settings, signal
from tests.support.intake import MemoryIntake

KINDS: st.SearchStrategy[Kind] = st.sampled_from(
    ["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool", "bcd16", "bcd32", "bcd64"]
)
SCALES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"scale": 0.1}, {"scale": "1/3", "offset": -40}, {"scale": 10}]
)
PLAIN: st.SearchStrategy[Kind] = st.just("u16")


def pointed(name: str, batch: str = "oven", **keys: Any) -> Point:
    """The point of a signal of telemetry; `as_` is the key `as`."""
    address = modbus.Address.model_validate({key.rstrip("_"): value for key, value in keys.items()})
    return point_of(Signal(name, address, timedelta(seconds=1), batch))


@st.composite
def points(draw: st.DrawFn) -> list[Point]:
    """By address, with gaps and some that overlap; many of one kind, order and scale, as in a real device."""
    found: list[Point] = []
    kinds, scales = draw(st.sampled_from([PLAIN, KINDS])), draw(SCALES.map(st.just) | st.just(SCALES))
    at = 0
    overlap = draw(st.sampled_from([0, 0, 4]))
    for number in range(draw(st.integers(1, 12))):
        kind = draw(kinds)
        scale: dict[str, Any] = {} if kind == "bool" else draw(scales)
        order = draw(st.sampled_from(orders_of(kind)))
        found.append(pointed(f"telemetry/oven/s{number}", holding=at, as_=kind, order=order, **scale))
        at += max(0, found[-1].width + draw(st.integers(-overlap, 2)))
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
    these = [pointed(f"s{at}", coil=at) for at in places]
    assert list(together(these, 0)(bits)) == [bits[at] for at in places]


def test_each_table_has_its_lane_and_the_rest_is_left() -> None:
    intake = MemoryIntake("plc")
    oven = [pointed(f"telemetry/oven/{at}", holding=at, as_="u16") for at in (0, 2)]
    bath = [pointed("telemetry/bath/x", "bath", holding=1, as_="u16")]
    count = pointed("press.total", "", holding=3, as_="u16")
    samples = samples_of(block_of([*oven, *bath, count]), intake)
    samples.hand_over([10, 11, 12, 13], intake)
    assert intake.samples == [
        {"telemetry/bath/x": 11},
        {"telemetry/oven/0": 10, "telemetry/oven/2": 12},
    ]
    assert samples.rest == [count]
    assert not intake.changed


def test_what_stands_for_no_value_is_none_in_words() -> None:
    intake = MemoryIntake("plc")
    plain = pointed("telemetry/oven/a", holding=0, as_="i16", scale=0.1)
    absent = pointed("telemetry/oven/b", holding=1, as_="i16", scale=0.1, invalid=0x8000)
    samples = samples_of(block_of([plain, absent]), intake)
    samples.hand_over([0x8000, 0x8000], intake)
    samples.hand_over([1, 1], intake)
    assert intake.samples == [
        {"telemetry/oven/a": -3276.8, "telemetry/oven/b": None},
        {"telemetry/oven/a": 0.1, "telemetry/oven/b": 0.1},
    ]
    [(_, _, why)] = samples.lanes
    assert why == "the registers hold no number, or one that stands for no value there (invalid)"


def test_a_text_of_telemetry_goes_by_itself_and_is_none_in_words_where_it_is_noise() -> None:
    intake = MemoryIntake("plc")
    word = pointed("telemetry/oven/program", holding=4, as_="text", length=2)
    number = pointed("telemetry/oven/a", holding=6, as_="u16")
    samples = samples_of(block_of([word, number]), intake)
    samples.hand_over([0x4142, 0x4300, 7], intake)
    samples.hand_over([0xFFFF, 0xFFFF, 8], intake, ago_ms=70)
    assert intake.ages_ms == [0, 70], "the time of receipt"
    assert intake.samples == [{"telemetry/oven/a": 7}, {"telemetry/oven/a": 8}]
    assert intake.changed == [
        ("telemetry/oven/program", "ABC", None),
        ("telemetry/oven/program", NoValue("unit 1 holding 4 holds no text"), None),
    ]


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


async def test_an_array_a_text_and_digits_are_read_in_one_request(plc: Device) -> None:
    intake = MemoryIntake("plc")
    await plc.set("holding", 100, 215, 216, 0xFFFF)
    await plc.set("holding", 103, *struct.unpack("<2H", b"RUN\0"))
    await plc.set("holding", 105, 0x5678, 0x1234)
    parts = sampled("zones", "i16", address=40101, scale=0.1, count=3).address.parts()
    zones = [
        Signal(f"telemetry/oven/zones_{end}", one, timedelta(seconds=0.05), "oven") for end, one in parts
    ]
    program = sampled("program", "text", holding=103, length=2, bytes="little")
    total, state = (
        signal("press.total", "bcd32", address="400106", order="CDAB"),
        signal("press.state", "text", holding=103, length=2, order="BA"),
    )
    await plc.tell("count")
    async with collecting(
        settings(host=f"tcp://127.0.0.1:{plc.port}"), [*zones, program, total, state], intake
    ):
        await intake.until(lambda: len(intake.values("press.total")) > 4)
        await plc.set("holding", 106, 0xA234)
        await intake.until(lambda: any(one.quality is Quality.BAD for one in intake.seen))
        polls = len(intake.samples)
        assert polls <= await plc.tell("count") <= polls + 1, "one request for all of it"
    assert intake.samples[0] == {
        f"telemetry/oven/zones_{at}": value for at, value in enumerate((21.5, 21.6, -0.1))
    }
    assert intake.changed[0] == ("telemetry/oven/program", "RUN", None)
    assert intake.values("press.state")[0] == "RUN"
    assert intake.values("press.total")[0] == 12345678
    bad = next(one for one in intake.seen if one.quality is Quality.BAD)
    assert (bad.signal, bad.detail) == (
        "press.total", "unit 1 holding 105 holds a digit above 9, which is no BCD",
    )  # fmt: skip
