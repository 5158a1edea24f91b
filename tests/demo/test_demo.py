"""The whole line, end to end, by the command that a newcomer types."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(180)


@contextlib.asynccontextmanager
async def demo(tmp_path: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "demo", "--json", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def settled(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The last line of standard output, of a demo in which everything agreed."""
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    result: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return result


def assert_exact(result: dict[str, Any]) -> None:
    assert result["differences"] == []
    for what in ("lost", "duplicated", "misattributed", "unassigned"):
        assert result[what] == 0, result
    for both in (*result["stations"].values(), *result["orders"].values()):
        assert both["made"] == both["counted"]
        assert both["made"]["good"] > 0
    for what in ("tests", "scans"):
        assert result[what]["sent"] == result[what]["recorded"] > 0
    assert set(result["sinks"]) == {"file", "mqtt", "influx"}
    for sink in result["sinks"].values():
        assert sink["pending"] == 0
        assert sink["delivered"] > 0


async def heard(process: asyncio.subprocess.Process, is_it: Callable[[str], bool]) -> None:
    """Wait for something that the demo says on standard error."""
    assert process.stderr is not None
    async for line in process.stderr:
        if is_it(line.decode()):
            return
    raise AssertionError("the demo ended without saying it")


def agents(folder: Path) -> list[int]:
    """Process ids of the agents whose journal lies under `folder`."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
            if b"run" in words and any(word.startswith(str(folder).encode()) for word in words):
                found.append(int(process.name))
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_everything_made_is_counted_for_its_order_and_delivered(tmp_path: Path, seed: int) -> None:
    async with demo(tmp_path, "--for", "8s", "--seed", str(seed)) as process:
        result = await settled(process)
    assert_exact(result)
    assert set(result["orders"]) == {"WO-1001", "WO-1002"}


async def test_the_agent_is_killed_twice_at_twenty_parts_a_second(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "15s", "--rate", "20", "--kills", "2", "--seed", "4") as process:
        result = await settled(process)
    assert_exact(result)


async def test_the_agent_is_killed_by_somebody_else_during_the_changeover(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "12s", "--rate", "20") as process:
        await heard(process, lambda line: "job cards of WO-1002" in line)
        for agent in agents(tmp_path):
            os.kill(agent, signal.SIGKILL)
        result = await settled(process)
    assert_exact(result)


async def test_ctrl_c_ends_the_shift_and_settles_it(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "1h") as process:
        await heard(process, lambda line: "starts the machines" in line)
        await heard(process, lambda line: "press WO-1001" in line)
        process.send_signal(signal.SIGINT)
        result = await settled(process)
    assert_exact(result)
    assert agents(tmp_path) == []


async def test_nothing_survives_a_killed_demo(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "1h") as process:
        await heard(process, lambda line: "starts the machines" in line)
        process.kill()
        await process.wait()

    def left() -> list[str]:
        found = []
        for one in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if one.name.isdigit() and str(tmp_path).encode() in (one / "cmdline").read_bytes():
                    found.append((one / "cmdline").read_text().replace("\0", " "))
        return found

    async with asyncio.timeout(15):
        while left():
            await asyncio.sleep(0.05)


async def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "5s", "--mqtt", "mqtt://127.0.0.1:1") as process:
        _, err = await process.communicate()
    assert process.returncode == 1
    assert "MQTT broker does not answer" in err.decode()
    assert "Traceback" not in err.decode()
