"""The Modbus source where a device refuses, a unit does not answer, or nothing can be reached."""

import asyncio
from pathlib import Path

import pytest

from adapters import modbus
from edge.contract import Quality, SourceLost, SourceRefused
from tests.adapters import modbus_source_support
from tests.adapters.modbus_source_support import bad, rtu, tcp
from tests.adapters.modbus_support import (
    Device,
    collecting,
    device,
    settings,
    signal,
)
from tests.support.intake import MemoryIntake

intake = modbus_source_support.intake
_quiet_log = modbus_source_support._quiet_log


# --- what a device refuses ----------------------------------------------------------------------


async def test_a_refused_register_is_isolated_named_once_and_tried_again(
    plc: Device, intake: MemoryIntake
) -> None:
    await plc.tell("code 5 2")
    signals = [signal(f"s{at}", "u16", holding=at) for at in range(12)]
    others = [f"s{at}" for at in range(12) if at != 5]
    async with collecting(tcp(plc, probe_every="700ms"), signals, intake):
        await intake.until(lambda: all(len(intake.values(name)) >= 5 for name in others))
        assert bad(intake, "s5") == ["unit 1 holding 5: exception 2, illegal data address"]
        assert not any(bad(intake, name) for name in others)
        await plc.tell("count")
        rounds = len(intake.values("s0")) + 5
        await intake.until(lambda: len(intake.values("s0")) >= rounds)
        assert await plc.tell("count") <= 7 * 5, "the refused register is asked for all the time"
        number = intake.ask("s5", "s6")
        await intake.until(lambda: len([one for one in intake.seen if one.answers == number]) == 2)
        asked = {one.signal: one.quality for one in intake.seen if one.answers == number}
        assert asked == {"s5": Quality.BAD, "s6": Quality.GOOD}
        await plc.tell("code 5 0")
        await intake.until(lambda: len(intake.values("s5")) >= 5)
    assert intake.connections == 1


async def test_a_gap_that_may_not_be_read_costs_no_signal(plc: Device, intake: MemoryIntake) -> None:
    await plc.tell("code 2 2")
    signals = [signal("low", "u16", holding=0), signal("high", "u16", holding=4)]
    async with collecting(tcp(plc), signals, intake):
        await intake.until(lambda: min(len(intake.values("low")), len(intake.values("high"))) >= 3)
    assert not bad(intake, "low") + bad(intake, "high")


async def test_a_busy_device_is_bad_once_and_read_on(plc: Device, intake: MemoryIntake) -> None:
    await plc.tell("code 0 6")
    async with collecting(tcp(plc), [signal("s", "u16", every=0.02, holding=0)], intake):
        while await plc.tell("look") < 3:
            await asyncio.sleep(0.01)
        await intake.until(lambda: bool(intake.seen))
        assert bad(intake, "s") == ["unit 1 holding 0: exception 6, server device busy"]
        await plc.tell("code 0 0")
        await intake.until(lambda: len(intake.values("s")) >= 2)


# --- units that do not answer -------------------------------------------------------------------


@pytest.mark.parametrize("gateway_speaks", [True, False])
async def test_a_dead_unit_behind_a_gateway_stops_no_other(
    plc: Device, intake: MemoryIntake, gateway_speaks: bool
) -> None:
    await plc.tell("fault 9 11" if gateway_speaks else "mute 9")
    signals = [signal("live", "u16", unit=1, holding=0)]
    signals += [signal(f"dead{at}", "u16", unit=9, holding=at) for at in (500, 600)]
    async with collecting(tcp(plc, timeout="150ms", probe_every="600ms", max_gap=0), signals, intake):
        await intake.until(lambda: bool(bad(intake, "dead500")))
        seen = len(intake.values("live"))
        await intake.until(lambda: len(intake.values("live")) >= seen + 20)
        assert len(bad(intake, "dead500")) == 1
        assert "unit 9 is lost" in bad(intake, "dead500")[0]
        number = intake.ask("dead500", "live")
        await intake.until(lambda: len([one for one in intake.seen if one.answers == number]) == 2, 1)
        await plc.tell("fault 9 0" if gateway_speaks else "speak 9")
        await intake.until(lambda: len(intake.values("dead500")) >= 3)
        await intake.until(lambda: len(intake.values("dead600")) >= 3)


async def test_units_that_are_all_dead_are_a_lost_source(plc: Device, intake: MemoryIntake) -> None:
    await plc.tell("mute 1")
    what = [signal("s", "u16", holding=0)]
    with pytest.raises(SourceLost, match=r"plc: no unit answers; unit 1 holding 0: no answer within 0\.1 s"):
        await asyncio.wait_for(modbus.collect(tcp(plc, timeout="100ms"), what, intake), 5)
    assert bad(intake, "s") == ["unit 1 is lost: no answer within 0.1 s"]
    assert intake.connections == 0


async def test_a_device_that_goes_away_is_a_lost_source(program: Path, intake: MemoryIntake) -> None:
    async with device(program, "tcp") as plc:
        task = asyncio.create_task(modbus.collect(tcp(plc), [signal("s", every=60, coil=0)], intake))
        await intake.until(lambda: bool(intake.seen))
        await plc.stop()
        with pytest.raises(
            SourceLost, match=r"plc: .*(closed the connection; .*refused|connection was closed)"
        ):
            await asyncio.wait_for(task, 5)


# --- connections that cannot be made ------------------------------------------------------------


async def test_a_refused_connect_says_what_to_do(unused_tcp_port: int, intake: MemoryIntake) -> None:
    how = settings(host=f"tcp://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(SourceLost, match=f"port {unused_tcp_port}: Connection refused .*switched on"):
        await modbus.collect(how, [signal("s", coil=0)], intake)


async def test_an_unknown_host_is_a_lost_source(intake: MemoryIntake) -> None:
    with pytest.raises(SourceLost, match=r"cannot open plc\.invalid port 502"):
        await modbus.collect(settings(host="tcp://plc.invalid"), [signal("s", coil=0)], intake)


async def test_a_serial_port_that_is_not_there_says_so(tmp_path: Path, intake: MemoryIntake) -> None:
    with pytest.raises(SourceLost, match=r"cannot open .*/none .*: No such file.*plugged in"):
        await modbus.collect(rtu(str(tmp_path / "none")), [signal("s", coil=0)], intake)


async def test_what_is_no_serial_port_is_a_lost_source(tmp_path: Path, intake: MemoryIntake) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceLost, match="cannot open"):
        await modbus.collect(rtu(str(tmp_path / "file")), [signal("s", coil=0)], intake)


async def test_a_unit_that_a_serial_line_cannot_have_is_refused(intake: MemoryIntake) -> None:
    with pytest.raises(SourceRefused, match="units 1 to 247, not 0"):
        await modbus.collect(rtu("/dev/null"), [signal("s", unit=0, coil=0)], intake)
