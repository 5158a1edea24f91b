"""A server says since when it runs before the first value of a connection: node-opcua, also started anew."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import opcua
from adapters._opcua.binary import Sample
from adapters._opcua.outbox import Outbox
from adapters._opcua.started import started
from edge.contract import Quality, Signal, SourceError
from edge.observation import DEVICE, DeviceWord, Observation
from tests.support.intake import MemoryIntake
from tests.support.node_opcua import NAMESPACE, node_server
from tests.support.tasks import background

TOTAL, STATE = "press.total", "press.state"
_1970 = 116_444_736_000_000_000
"""In ticks."""


def signal(name: str, node: str, bits: int | None = None, table: str = "") -> Signal[Any]:
    address = opcua.Address.model_validate({"node": f"nsu={NAMESPACE};s={node}"})
    return Signal(name, address, timedelta(milliseconds=50), table, bits=bits)


SIGNALS = [
    signal(TOTAL, "Count.Total", 32),
    signal(STATE, "State"),
    signal("heat/t1", "Scalar.Double", 32, "heat"),
]


def words(intake: MemoryIntake) -> list[DeviceWord]:
    return [one.value for one in intake.seen if isinstance(one.value, DeviceWord)]


def first_value(seen: list[Observation]) -> int:
    return next(at for at, one in enumerate(seen) if one.signal == TOTAL and one.quality is Quality.GOOD)


async def test_a_server_that_is_started_anew_says_so_before_the_first_value(tmp_path: Path) -> None:
    intake = MemoryIntake("press", data=tmp_path)
    async with node_server(tmp_path / "plc") as server:
        settings = opcua.Settings.model_validate(
            {"type": "opcua", "endpoint": server.url, "security": "None", "publish": "100ms"}
        )

        async def again_and_again() -> None:
            while True:
                try:
                    await opcua.collect(settings, SIGNALS, intake)
                except SourceError:
                    continue

        async with background(again_and_again()):
            await intake.until(lambda: bool(intake.values(TOTAL)))
            assert intake.seen[0].signal == DEVICE
            seen = len(intake.seen)
            await server.kill()
            await server.start()
            await intake.until(lambda: len(words(intake)) > 1 and bool(intake.values(TOTAL)))
            await intake.until(lambda: any(one.signal == TOTAL for one in intake.seen[seen:]))
    before, after = words(intake)[0], words(intake)[-1]
    assert (before.device, before.signals, before.is_server) == ("press server", (TOTAL,), True)
    assert before.was_out_of_sight
    assert before.started_ms is not None
    assert after.started_ms is not None
    assert after.started_ms > before.started_ms
    assert after.uptime_ms is not None
    assert 0 <= after.uptime_ms < 60_000
    later = intake.seen[seen:]
    assert [one.signal for one in later].index(DEVICE) < first_value(later)


async def test_what_a_server_said_of_itself_is_said_once_more_where_the_journal_did_not_take_it() -> None:
    intake = MemoryIntake("press")
    owed: list[bool] = []
    outbox = Outbox(intake, lambda: owed.append(True))
    word = started(intake, "opc.tcp://plc:4840", SIGNALS, NOW, NOW)
    outbox.put([*word, intake.observe(TOTAL, 5)])
    intake.failing = True
    await outbox.hand_over()
    outbox.put([intake.observe(TOTAL, 6)])
    intake.failing = False
    await outbox.hand_over()
    assert owed == [True]
    assert [one.signal for one in intake.seen] == [DEVICE, TOTAL]


def date(ms: int, **more: Any) -> Sample:
    return Sample(_1970 + ms * 10_000, kind=13, **more)


NOW = date(1_777_000_000_000)


def test_a_server_says_how_long_it_has_run_and_since_when() -> None:
    intake = MemoryIntake("press")
    [one] = started(intake, "opc.tcp://plc:4840", SIGNALS, NOW, date(1_776_999_000_000))
    assert one.signal == DEVICE
    assert one.value == DeviceWord(
        "press server", (TOTAL,), uptime_ms=1_000_000, read_from="opc.tcp://plc:4840 StartTime",
        was_out_of_sight=True, started_ms=1_776_999_000_000, is_server=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "start",
    [
        Sample(None, status=0x80340000), Sample(5, kind=6), Sample(0, kind=13), Sample("2026", kind=12),
        Sample((1 << 63) - 1, kind=13), date(1_777_000_000_001),
    ],
)  # fmt: skip
def test_what_is_no_start_is_not_told_of(start: Sample) -> None:
    intake = MemoryIntake("press")
    assert started(intake, "opc.tcp://plc:4840", SIGNALS, NOW, start) == []
    assert started(intake, "opc.tcp://plc:4840", SIGNALS[1:], NOW, NOW) == []


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
def test_whatever_times_a_server_shows_the_core_gets_what_it_can_compare(now: int, start: int) -> None:
    intake = MemoryIntake("press")
    for one in started(intake, "x", SIGNALS, Sample(now, kind=13), Sample(start, kind=13)):
        assert isinstance(one.value, DeviceWord)
        assert one.value.uptime_ms is not None
        assert 0 <= one.value.uptime_ms < 1 << 50
