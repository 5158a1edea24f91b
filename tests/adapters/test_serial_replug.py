"""Unplugged and plugged in again, switched off and on: found within seconds, under the supervisor."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from adapters import serial_scanner
from adapters._stream import open_line
from adapters.serial_scanner import Settings
from edge.clock import SystemClock
from edge.contract import SourceLost
from edge.intake import SourceIntake
from edge.supervise import Supervisor
from tests.support.line import line, recording
from tests.support.ptys import PtyDevice, SlowIntake

NAK = b"\x15"
TCP_REPAIR = 19
"""linux/tcp.h: a socket that is closed under repair says nothing to its peer."""


@asynccontextmanager
async def kept_running(settings: Settings, path: Path) -> AsyncIterator[Supervisor]:
    """The scanner under its supervisor, on a real recorder and the real clock."""
    clock = SystemClock()
    async with recording(line(), path) as recorder:

        def back() -> None:
            supervisor.back()

        intake = SourceIntake("gun-1", clock, recorder, back)
        supervisor = Supervisor(intake, clock)

        def collect() -> Coroutine[Any, Any, None]:
            return serial_scanner.collect(settings, [], intake)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(supervisor.run(collect))
            yield supervisor
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def becomes(supervisor: Supervisor, state: str) -> float:
    """Seconds until it is in this state."""
    begun_s = time.monotonic()
    async with asyncio.timeout(20):
        while supervisor.presence.state != state:
            await asyncio.sleep(0.01)
    return time.monotonic() - begun_s


@pytest.mark.parametrize("away_s", [0.3, 3.0])
async def test_a_gun_is_found_again_soon_after_it_was_plugged_in(tmp_path: Path, away_s: float) -> None:
    device = PtyDevice(tmp_path / "usb-ACME_gun-if00")
    settings = Settings.model_validate({"type": "serial-scanner", "port": device.port})
    async with kept_running(settings, tmp_path / "journal.db") as supervisor:
        await becomes(supervisor, "connected")
        device.unplug()
        await becomes(supervisor, "lost")
        await asyncio.sleep(away_s)
        assert supervisor.presence.state == "lost"
        device.plug()
        took_s = await becomes(supervisor, "connected")
        await device.send(b"no label of ours\r")
        assert await device.heard(1) == NAK
    device.unplug()
    assert took_s < 2.5


async def test_a_device_that_is_switched_on_is_connected_to_soon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = Settings.model_validate({"type": "serial-scanner", "connect": f"127.0.0.1:{port}"})
    async with kept_running(settings, tmp_path / "journal.db") as supervisor:
        await becomes(supervisor, "lost")
        await asyncio.sleep(2)
        with socket.create_server(("127.0.0.1", port)):
            assert await becomes(supervisor, "connected") < 2.5


async def test_a_connection_that_only_this_side_believes_in_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        settings = Settings.model_validate({"type": "serial-scanner", "connect": place})
        async with open_line(settings, SlowIntake("gun-1")) as line:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
                except PermissionError:
                    assert os.geteuid() != 0
                    pytest.skip("only root can make a peer vanish without a word")
            begun_s = time.monotonic()
            with pytest.raises(SourceLost, match="broke the connection off; was the device restarted"):
                await line.next()
            assert time.monotonic() - begun_s < 10
