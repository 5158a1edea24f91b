"""How a simulator begins and ends as a process."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.launch import Running, SimulatorFailed, simulator

MODULES = ["opcua_press", "modbus_packer", "scanner", "testrig", "scale", "torque"]


def arguments(module: str, folder: Path) -> list[str]:
    links = {module: ["--link", str(folder / module)] for module in ("scanner", "testrig", "scale")}
    return links.get(module, ["--tcp"] if module == "modbus_packer" else [])


async def gone(running: Running) -> None:
    async with asyncio.timeout(10):
        while Path(f"/proc/{running.pid}/stat").exists():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("module", MODULES)
async def test_it_ends_with_its_input_and_takes_its_port_along(module: str, tmp_path: Path) -> None:
    async with simulator(module, *arguments(module, tmp_path)) as running:
        assert await running.end() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", MODULES[1:])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_on_a_signal(module: str, number: signal.Signals, tmp_path: Path) -> None:
    async with simulator(module, *arguments(module, tmp_path)) as running:
        os.kill(running.pid, number)
        await gone(running)
        assert await running.end() == 0


@pytest.mark.parametrize("module", MODULES[1:])
def test_commands_before_the_end_of_input_are_obeyed(module: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"simulators.{module}", *arguments(module, tmp_path)],
        input=b"\xff nonsense\nexit\nstart\n", capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, b"")
    ready, refused = ended.stdout.splitlines()
    assert ready.startswith(b'{"ready":{')
    assert b"nonsense' is not a command; there are: " in refused


async def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """The parent starts a packer, tells its process id and is killed."""
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'simulators.modbus_packer', '--tcp'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        while _alive(child):
            await asyncio.sleep(0.01)


def _alive(pid: int) -> bool:
    """False for a zombie too: nobody may be there to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_simulator_that_cannot_begin_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SimulatorFailed, match="modbus_packer: ended without a word"):
        async with simulator("modbus_packer", "--tcp", "--scrap", "2"):
            raise AssertionError("it must not become ready")
    assert "such a machine cannot exist: the scrap ratio" in capfd.readouterr().err


def test_without_a_parent_it_says_what_is_missing() -> None:
    with Path("/dev/null").open() as nothing:
        ended = subprocess.run(
            [sys.executable, "-m", "simulators.scanner", "--link", "/nonexistent/gun"],
            stdin=nothing, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert ended.returncode != 0
    assert "standard input must be a pipe or a terminal" in ended.stderr
