"""The whole line, end to end, by the command that a newcomer types."""

import asyncio
import contextlib
import io
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edge.demo.far import held_by_influx, probe_influx
from edge.demo.floor import Floor
from edge.demo.operator import Log, Operator
from edge.demo.result import settle
from edge.demo.view import live_view
from edge.errors import DemoFailed
from edge.journal import Journal, JournalReader
from edge.readmodel import StationView
from edge.status import SinkStatus
from simulators.far_ends import victoria_metrics
from simulators.launch import Running
from simulators.records import Scan

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


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_everything_made_is_counted_for_its_order_and_delivered(tmp_path: Path, seed: int) -> None:
    async with demo(tmp_path, "--for", "8s", "--seed", str(seed)) as process:
        result = await settled(process)
    assert_exact(result)
    assert set(result["orders"]) == {"WO-1001", "WO-1002"}


async def test_the_agent_is_killed_twice_at_twenty_parts_a_second(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "10s", "--rate", "20", "--kills", "2", "--seed", "4") as process:
        result = await settled(process)
    assert_exact(result)
    assert set(result["orders"]) == {"WO-1001", "WO-1002"}


async def test_the_agent_is_killed_by_somebody_else_during_the_changeover(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "8s", "--rate", "20") as process:
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


async def said_and_failed(tmp_path: Path, *arguments: str) -> str:
    """What a demo that could not be played says; it leaves no files."""
    async with demo(tmp_path, *arguments) as process:
        _, err = await process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in err.decode()
    return err.decode()


async def test_a_broker_that_is_not_there_is_named_before_the_floor_opens(tmp_path: Path) -> None:
    said = await said_and_failed(tmp_path, "--for", "5s", "--mqtt", "mqtt://127.0.0.1:1")
    assert "MQTT broker does not answer" in said
    assert not list(tmp_path.glob("*/truth"))


async def test_a_database_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    said = await said_and_failed(tmp_path, "--for", "5s", "--influx", "http://127.0.0.1:1")
    assert said.splitlines() == [
        "--influx: no database answers at http://127.0.0.1:1: [Errno 111] Connection refused"
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404: no v2 write API"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "answers 401: it wants a token"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no database answers at"),
        (b"", "no database answers at"),
    ],
)
async def test_a_server_that_is_no_open_database_is_told_apart(answer: bytes, words: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DemoFailed, match=words):
            await probe_influx(f"http://127.0.0.1:{port}", "lineside")


async def test_a_running_database_passes_and_gives_back_what_it_holds(tmp_path: Path) -> None:
    async with victoria_metrics(tmp_path / "metrics") as database:
        await probe_influx(database.url, "lineside")
        assert await held_by_influx(database.url, "lineside", {}) == {}
    with pytest.raises(DemoFailed, match="does not say what it holds"):
        await held_by_influx(database.url, "lineside", {})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--for", "4s"), "--for: "),
        (("--mqtt", "nonsense"), "--mqtt: 'nonsense' is not a broker"),
        (("--mqtt", "mqtts://127.0.0.1"), "--mqtt: "),
        (("--influx", "file:///etc/passwd"), "--influx: 'file:///etc/passwd' is not a database"),
        (("--influx", "http://127.0.0.1:99999"), "--influx: "),
    ],
)
async def test_a_faulty_argument_is_blamed_itself(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert (await said_and_failed(tmp_path, *arguments)).startswith(words)
    assert not list(tmp_path.iterdir())


def test_a_sink_that_did_not_deliver_says_why(tmp_path: Path) -> None:
    sinks = {
        "uns": SinkStatus("lost", "nothing listens there", 3, 7),
        "file": SinkStatus("connected", "", 10, 0),
    }
    (tmp_path / "truth").mkdir()
    for name in ("press", "packer", "rig-1"):
        (tmp_path / "truth" / f"{name}.jsonl").touch()
    with contextlib.closing(Journal(tmp_path / "journal.db")):
        pass
    with contextlib.closing(JournalReader(tmp_path / "journal.db", "demo")) as reader:
        result = settle(tmp_path / "truth", Log(), reader, sinks, {})
    assert result.differences == ["sink uns: 7 events wait; lost: nothing listens there"]


# --- in a terminal ----------------------------------------------------------------------------


def station(**known: Any) -> StationView:
    empty: dict[str, Any] = dict.fromkeys(StationView.__struct_fields__)
    made = {"good": 248, "scrap": 12, "rework": 0, "over": 0, "also": (), "unassigned": 0, "held": 0}
    made |= {"said": "", "live": True, "unreadable": {}}
    return StationView(**{**empty, **made, "ideal_cycle_s": 0.5, **known})


STATIONS = [
    station(
        station="leak-test-3", order="WO-1002-A", operation=20, batch="L-2026-11", operator="4711 Ada",
        quantity=12_500, state="Unsuspending", last_cycle_s=10.51, mean_cycle_s=11.02,
    ),
    station(station="packer"),
]  # fmt: skip
BOARD = "http://127.0.0.1:43211/"


def shown(width: int, lines: int = 4) -> list[str]:
    """The live view as a terminal of that width has it."""
    console = Console(width=width, file=io.StringIO())
    console.print(live_view(STATIONS, None, ["operator stops the press"] * lines, BOARD, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_board_stands_above_the_table_and_nothing_that_matters_is_cut(width: int) -> None:
    head, *rest = shown(width)
    assert head.split("   ") == [f"board: {BOARD}", "(Ctrl-C ends the shift early)"]
    row = next(line for line in rest if "leak-test" in line)
    for whole in ("leak-test-3", "WO-1002-A-20", "248 / 12500", "10.51 s", "11.02 s", "Unsuspending"):
        assert whole in row
    assert all(len(line) <= width for line in rest)


def test_batch_and_operator_are_for_wide_terminals() -> None:
    assert "4711 Ada" not in "\n".join(shown(80))
    assert "4711 Ada" in "\n".join(shown(100))
    assert "L-2026-11" in "\n".join(shown(100))


async def test_in_a_terminal_the_address_is_always_there(tmp_path: Path) -> None:
    terminal, inner = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "demo", "--for", "1h",
        stdin=inner, stdout=inner, stderr=inner,
        env={**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    os.close(inner)

    def read() -> str:
        """Everything that the terminal shows; Ctrl-C when the table has been drawn eight times."""
        screens, told = "", False
        with contextlib.suppress(OSError):  # the other end is closed
            while received := os.read(terminal, 65_536):
                screens += received.decode("utf-8", "replace")
                if not told and screens.count("WO-1001-10") > 8:
                    told = True
                    process.send_signal(signal.SIGINT)
        return screens

    try:
        screens = await asyncio.to_thread(read)
        assert await process.wait() == 0
    finally:
        os.close(terminal)
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert screens.count("Ctrl-C ends the shift early") >= screens.count("WO-1001-10") > 8


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, 11))
async def test_ten_shifts_with_six_kills_each(tmp_path: Path, seed: int) -> None:
    async with demo(
        tmp_path, "--for", "1min", "--rate", "20", "--kills", "6", "--seed", str(seed)
    ) as process:
        result = await settled(process)
    assert_exact(result)


class Gun(Running):
    """Answers without a wire: the first answer is lost, the second says that the scan is known."""

    def __init__(self) -> None:
        self.scans = 0

    async def scan(self, label: str, verb: str = "scan") -> Scan:
        self.scans += 1
        return Scan(label, "none" if self.scans == 1 else "duplicate", 1.0, None)


async def test_a_scan_whose_answer_was_lost_is_not_made_a_third_time(tmp_path: Path) -> None:
    gun = Gun()
    operator = Operator(Floor(gun, gun, gun, gun, gun, tmp_path), tmp_path / "journal.db", lambda _: None)
    async with asyncio.timeout(5):
        await operator._scan(gun, "$Q31")
    assert [one.answer for one in operator.log.scans] == ["none", "duplicate"]
