"""Switching coils and registers between polls, against devices on libmodbus: TCP, and RTU over two ports."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import modbus
from adapters._modbus.outputs import Lamp, Outputs, Place
from edge.contract import SourceLost, SourceRefused
from tests.adapters.modbus_support import (
    Device,
    collecting,
    device,
    output,
    serial_line,
    settings,
    signal,
)
from tests.support.intake import MemoryIntake

GREEN, RED, HORN = output(unit=5, coil=0), output(unit=5, coil=1), output(unit=5, holding=9, bit=3)
LOW, HIGH = output(unit=5, holding=10, on=2), output(unit=5, holding=10, on=7)


def intake_with(*outputs: Any) -> MemoryIntake:
    intake = MemoryIntake("bus")
    intake.outputs = outputs
    return intake


def tcp(plc: Device, **keys: object) -> modbus.Settings:
    return settings(host=f"tcp://127.0.0.1:{plc.port}", **keys)


async def switch(intake: MemoryIntake, *on: Any) -> str:
    """The trouble in words, once the adapter has answered."""
    number = intake.switch(one.name for one in on)
    await intake.until_sampled(lambda: number in intake.answered)
    return intake.answered[number]


async def test_what_is_on_after_a_start_goes_off_and_only_what_is_asked_goes_on(plc: Device) -> None:
    await plc.set("coil", 0, 1, 1)
    await plc.set("holding", 9, 0xFFFF, 7)
    intake = intake_with(GREEN, RED, HORN, LOW, HIGH)
    async with collecting(tcp(plc), [], intake):
        await intake.until_sampled(lambda: 0 in intake.answered)
        assert await plc.wrote() == ["5 coil 0 0", "5 coil 1 0", "5 holding 9 65527", "5 holding 10 0"]
        assert intake.connections == 1
        assert await switch(intake, GREEN, HORN, LOW) == ""
        assert await plc.wrote() == ["5 coil 0 1", "5 holding 9 65535", "5 holding 10 2"]
        assert await switch(intake, RED, HIGH) == ""
        assert await plc.wrote() == ["5 coil 0 0", "5 holding 9 65527", "5 coil 1 1", "5 holding 10 7"]
        assert await switch(intake, RED, HIGH) == ""
        assert await plc.wrote() == [""]


async def test_on_a_serial_line(program: Path, tmp_path: Path) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "5") as plc:
        await plc.set("coil", 0, 1)
        await plc.set("holding", 0, 41)
        intake = intake_with(GREEN, RED, HORN)
        polled = signal("s", "u16", unit=5, holding=0)
        async with collecting(settings(port=near, parity="none"), [polled], intake):
            assert await switch(intake, GREEN, HORN) == ""
            assert await switch(intake) == ""
            await intake.until(lambda: len(intake.values("s")) >= 3)
        wrote = [one for one in await plc.wrote() if not one.endswith(" coil 1 0")]
        assert wrote[-4:] == ["5 coil 0 1", "5 holding 9 8", "5 coil 0 0", "5 holding 9 0"]
        assert set(intake.values("s")) == {41}


async def test_a_unit_that_cannot_write_single_bits_gets_the_whole_register(plc: Device) -> None:
    await plc.tell("lacks 22")
    await plc.set("holding", 9, 0b0110)
    intake = intake_with(HORN)
    async with collecting(tcp(plc), [], intake):
        assert await switch(intake, HORN) == ""
        assert await plc.wrote() == ["5 holding 9 6", "5 holding 9 14"]


async def test_what_the_device_refuses_is_said_and_the_others_are_switched(plc: Device) -> None:
    await plc.tell("code 0 2")
    intake = intake_with(GREEN, RED)
    async with collecting(tcp(plc), [], intake):
        trouble = await switch(intake, GREEN, RED)
        assert trouble == "unit 5 coil 0: exception 2, illegal data address"
        assert (await plc.wrote())[-1] == "5 coil 1 1"
        await plc.tell("code 0 0")
        assert await switch(intake, GREEN) == ""


async def test_a_lost_unit_is_not_asked_by_every_scan_and_is_switched_off_when_it_is_back(
    plc: Device,
) -> None:
    await plc.set("holding", 0, 41)
    intake = intake_with(GREEN)
    how = tcp(plc, timeout="50ms", probe_every="300ms")
    async with collecting(how, [signal("s", "u16", unit=3, holding=0)], intake):
        assert await switch(intake, GREEN) == ""
        await plc.tell("mute 5")
        while await switch(intake) != "unit 5 is lost":
            pass
        await plc.tell("count")
        for _ in range(50):
            assert await switch(intake, GREEN) == "unit 5 is lost"
        await switch(intake)
        polls = len(intake.values("s"))
        assert await plc.tell("count") <= polls + 2
        await plc.wrote()
        await plc.tell("speak 5")
        await intake.until(lambda: len(intake.values("s")) > polls + 10)
        assert await plc.wrote() == ["5 coil 0 0"]
        assert await switch(intake, GREEN) == ""


async def test_a_unit_that_was_away_may_have_come_back_with_its_lamp_on(plc: Device) -> None:
    intake = intake_with(GREEN)
    polled = [signal("s", "u16", unit=5, holding=0), signal("other", "u16", unit=3, holding=0)]
    async with collecting(tcp(plc, timeout="50ms", probe_every="300ms"), polled, intake):
        assert await switch(intake) == ""
        await plc.tell("mute 5")
        await intake.until(lambda: any(one.signal == "s" and one.value is None for one in intake.seen))
        await plc.set("coil", 0, 1)
        await plc.wrote()
        read = len(intake.values("s"))
        await plc.tell("speak 5")
        await intake.until(lambda: len(intake.values("s")) > read + 3)
        assert await plc.wrote() == ["5 coil 0 0"]


async def test_nothing_but_a_lost_lamp_loses_the_source(plc: Device) -> None:
    await plc.tell("mute 5")
    intake = intake_with(GREEN)
    with pytest.raises(SourceLost, match=r"no unit answers; unit 5 coil 0 .function 5.: no answer"):
        await asyncio.wait_for(modbus.collect(tcp(plc, timeout="30ms"), [], intake), 5)


async def test_between_two_polls_there_is_one_write_at_the_most(plc: Device) -> None:
    """The bus has no time to spare: both take turns."""
    intake = intake_with(*(output(unit=5, coil=at) for at in range(40)))
    polled = [signal(f"s{at}", "u16", every=0.001, holding=30 * at) for at in range(30)]
    async with collecting(tcp(plc), polled, intake):
        await intake.until_sampled(lambda: 0 in intake.answered)
        await plc.tell("watch")
        await plc.wrote()
        await switch(intake, *intake.outputs)
        log = await plc.wrote()
    writes = [at for at, one in enumerate(log) if one != "read"]
    assert len(writes) == 40
    assert writes == list(range(writes[0], writes[0] + 80, 2))


async def test_what_is_wanted_changes_faster_than_the_bus(plc: Device) -> None:
    """Only the newest counts, and nothing queues up."""
    intake = intake_with(GREEN, RED)
    async with collecting(tcp(plc), [], intake):
        for turn in range(500):
            last = intake.switch([GREEN.name] if turn % 2 else [RED.name])
        await intake.until_sampled(lambda: last in intake.answered)
        assert len(await plc.wrote()) < 20
        assert [await plc.tell("get coil 0"), await plc.tell("get coil 1")] == [1, 0]


async def test_a_serial_line_has_units_1_to_247(tmp_path: Path) -> None:
    intake = intake_with(output(unit=0, coil=0))
    with pytest.raises(SourceRefused, match="unit 0 coil 0: a serial line has units 1 to 247"):
        await modbus.collect(settings(port=str(tmp_path / "none")), [], intake)


# --- what is written where ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "give exactly one of coil, holding and address"),
        ({"coil": 1, "holding": 1}, "give exactly one of coil, holding and address"),
        ({"holding": 1, "address": 40002}, "give exactly one of coil, holding and address"),
        ({"address": 30002}, "nobody can write an input register"),
        ({"address": 10002}, "nobody can write a discrete input"),
        ({"address": "00002", "bit": 1}, "a coil has no bit"),
        ({"address": "40011.3", "bit": 3}, "the bit is in the address already"),
        ({"address": "40011.3", "on": 2}, "a coil and a bit know 0 and 1 only"),
        ({"address": 11}, "with five or six digits"),
        ({"address": 40011.3}, 'as text: address = "40011.3"'),
        ({"coil": 1, "bit": 1}, "a coil has no bit"),
        ({"coil": 1, "on": 2}, "a coil and a bit know 0 and 1 only"),
        ({"holding": 1, "bit": 0, "off": 3}, "a coil and a bit know 0 and 1 only"),
        ({"holding": 1, "on": 0}, "on and off are the same"),
        ({"coil": 65536}, "less than or equal to 65535"),
    ],
)
def test_a_wrong_output_is_refused_in_words(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        modbus.Switch.model_validate(keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"address": "00017"}, {"coil": 16}),
        ({"address": 40011, "on": 2}, {"holding": 10, "on": 2}),
        ({"address": "400011.3"}, {"holding": 10, "bit": 3}),
        ({"address": 40011, "bit": 3}, {"holding": 10, "bit": 3}),
    ],
)
def test_an_output_is_the_same_as_the_manual_writes_it(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = modbus.Switch.model_validate(one), modbus.Switch.model_validate(other)
    assert (first.identity(), first.span()) == (second.identity(), second.span())
    assert first.lamp() == second.lamp()


def test_two_colours_of_one_register_are_two_outputs_at_one_place() -> None:
    assert LOW.name != HIGH.name
    assert LOW.address.lamp().place == HIGH.address.lamp().place
    assert output(unit=5, coil=0).name == GREEN.name


# --- what is to be done ---------------------------------------------------------------------------

LAMPS = {
    "a": Lamp(Place(1, "coil", 0)),
    "b": Lamp(Place(1, "coil", 1), on=0, off=1),
    "c": Lamp(Place(2, "holding", 0), on=3),
    "d": Lamp(Place(2, "holding", 0), on=4),
}
STEPS = st.lists(
    st.one_of(
        st.sets(st.sampled_from(sorted(LAMPS))),
        st.sampled_from(["written", "failed", "refused", "away", "back", "late"]),
    ),
    max_size=60,
)


@given(STEPS)
def test_in_the_end_every_place_holds_what_is_wanted(steps: list[Any]) -> None:
    outputs, real, lost, now = Outputs(LAMPS, 60.0), dict[Place, int](), set[int](), 0.0
    wanted: set[str] = set()
    for number, step in enumerate(steps, 1):
        now += 0.1
        if isinstance(step, set):
            wanted = step
            outputs.want(number, step)
        elif step == "away":
            lost.add(2)
        elif step == "back":
            outputs.forget(2)
            real.pop(Place(2, "holding", 0), None)
            lost.clear()
        elif step == "late":
            now += 61
        else:
            _try(outputs, real, now, lost.__contains__, step)
        outputs.answer(lost.__contains__)
    outputs.forget(2)
    now += 61
    for _ in range(4):
        _try(outputs, real, now, lambda unit: False, "written")
    assert outputs.next_at(lambda unit: False) is None
    assert real == {
        Place(1, "coil", 0): int("a" in wanted),
        Place(1, "coil", 1): int("b" not in wanted),
        Place(2, "holding", 0): 4 if "d" in wanted else 3 if "c" in wanted else 0,
    }


def _try(
    outputs: Outputs, real: dict[Place, int], now: float, is_lost: Callable[[int], bool], what: str
) -> None:
    write = outputs.next(now, is_lost)
    if write is None:
        return
    if what == "written":
        real[write.place] = write.value
        outputs.written(write)
    else:
        outputs.failed(write, "no", now, passes=what == "failed")
