"""A noisy device: what is broken is counted, what is good is one each."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import serial_scanner, testrig
from adapters._flood import ALONE, WINDOW_S, Flood
from edge.contract import Quality
from tests.support.ptys import PtyDevice, SlowIntake, running

NAK = b"\x15"


@given(st.lists(st.floats(0, 30), max_size=200))
def test_each_broken_one_is_told_or_counted(pauses: list[float]) -> None:
    flood, now_s, told, counted = Flood(), 100.0, 0, 0
    for pause_s in pauses:
        now_s += pause_s
        if flood.due_s is not None and now_s >= flood.due_s:
            counted += int(flood.words(now_s).split()[0])
        told += flood.is_told("it is broken", now_s)
    rest = flood.words(now_s)
    assert told + counted + int(rest.split()[0] if rest else 0) == len(pauses)
    assert flood.words(now_s) == ""


def test_a_flood_is_told_once_a_window_and_its_end_is_known() -> None:
    flood = Flood()
    assert sum(flood.is_told(f"n {one}", 50.0) for one in range(1_000)) == ALONE
    assert flood.due_s == 50.0 + WINDOW_S
    assert flood.words(60.0) == "980 more came broken within 10 s, the last: n 999"
    assert not flood.is_told("still", 61.0)
    assert flood.words(70.0) == "1 more came broken within 10 s, the last: still"
    assert flood.is_told("much later", 80.0)


@pytest.fixture
def device(tmp_path: Path):  # type: ignore[no-untyped-def]
    device = PtyDevice(tmp_path / "usb-ACME_if00")
    yield device
    device.unplug()


async def test_the_broken_frames_of_a_noisy_rig_are_counted_and_no_result_is_lost(device: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    of = testrig.Settings.model_validate({"type": "testrig", "port": device.port})
    good = b"unit=U-%d;program=P;number=%d;result=PASS\r"
    async with running(testrig.collect(of, [], intake), intake) as source:
        for number in range(5):
            await device.send(b"x\r" * 200 + good % (number, number))
        await intake.until(lambda: len(intake.values("rig-1")) == 5)
        device.unplug()
        await source
    broken = [one.detail for one in intake.seen if one.quality is Quality.BAD]
    assert len(broken) == ALONE + 1
    assert broken[-1].startswith("980 more came broken within")
    assert broken[-1].endswith("s, the last: 'x' is no name=value: x")


async def test_the_labels_of_a_flood_are_recorded_together_each_by_itself(device: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    of = serial_scanner.Settings.model_validate({"type": "serial-scanner", "port": device.port})
    intake.disk.clear()
    async with running(serial_scanner.collect(of, [], intake), intake) as source:
        await device.send(b"first\r")
        await intake.waiting.wait()
        await device.send(b"".join(b"L%d\r" % number + b"\0\r" * (number % 2) for number in range(300)))
        intake.disk.set()
        heard = await device.heard(451)
        device.unplug()
        await source
    assert intake.values("gun-1") == ["first", *(f"L{number}" for number in range(300))]
    broken = [one.detail for one in intake.seen if one.quality is Quality.BAD]
    assert len(broken) == ALONE + 1
    assert broken[-1].startswith("130 more came broken within")
    assert heard.count(NAK) == 150
