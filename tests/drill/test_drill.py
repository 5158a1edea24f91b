"""The whole drill, by the command that a user types."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(240)

DEAF_GUN = """
[line]
name = "deaf"
data = "never"

[source.gun]
type = "serial-scanner"
port = "/dev/serial/by-id/no-such-gun"
confirm = ""
refuse = ""

[[station]]
name = "bench"
ideal_cycle = "1s"
scanner = "gun"
"""

ALL_KINDS = """
[line]
name = "rich"
path = "acme/leeds"

[[order]]
id = "A-1"
item = "P7"
quantity = 10

[source.bus]
type = "modbus"
port = "/dev/serial/by-id/no-such-bus"

[source.plc]
type = "modbus"
host = "tcp://192.0.2.7"

[source.press]
type = "opcua"
endpoint = "opc.tcp://192.0.2.11"

[source.office]
type = "mqtt-orders"
broker = ["mqtts://192.0.2.8", "mqtts://192.0.2.9"]
user = "x"
password = { credential = "no-such-credential" }

[source.rig]
type = "testrig"
port = "/dev/serial/by-id/no-such-rig"
separator = "|"
end = "\\u0003"
confirm = "OK!"
refuse = "NO!"
fields = { unit = "sn", result = "verdict" }
pass = ["GUT"]
fail = ["SCHLECHT"]

[source.gun]
type = "serial-scanner"
port = "/dev/serial/by-id/no-such-gun"
confirm = "\\u001b[3q"

[[station]]
name = "s1"
ideal_cycle = "200ms"
scanner = "gun"
rig = "rig"
total = { source = "bus", unit = 3, input = 10, as = "u16", parts_per_count = 4, every = "100ms" }
reject = { source = "bus", unit = 3, input = 11, as = "u16", bytes = "little", parts_per_count = 4 }
state = { source = "bus", unit = 3, coil = 5, map = { 0 = "Stopped", 1 = "Execute" } }

[[station]]
name = "s2"
ideal_cycle = "50ms"
good = { source = "plc", unit = 255, holding = 65534, as = "f32", words = "little", counter = "u24" }

[[station]]
name = "s3"
ideal_cycle = "100ms"
total = { source = "plc", holding = 100, as = "u32", words = "big" }
reject = { source = "press", node = "ns=2;i=1001", counter = "u32" }

# All of it lies where counters do, or twice in one place.
[telemetry.shared]
source = "plc"
every = "200ms"
again = { holding = 100, as = "u32", words = "big" }
high = { holding = 100, as = "u16" }
alarm = { holding = 100, bit = 9 }
across = { holding = 99, as = "f32", words = "big" }

[telemetry.press]
source = "press"
every = "200ms"
rejects = { node = "ns=2;i=1001" }
heat = { node = "nsu=urn:acme:press;s=Heat" }
heat_again = { node = "nsu=urn:acme:press;s=Heat" }
clock = { node = "i=2258" }

[telemetry.oven]
source = "bus"
unit = 4
every = "200ms"
station = "s1"
zone_1 = { input = 0, as = "f32", words = "big", deadband = 0.2 }
fan = { coil = 7 }

[sink.uns]
type = "mqtt"
broker = "mqtts://192.0.2.10"

[sink.lines]
type = "file"
format = "line-protocol"
folder = "/srv/no-such-folder"

[sink.erp]
type = "results"
folder = "/srv/no-such-folder/erp"
"""


@dataclass(frozen=True, slots=True)
class Played:
    """A drill that came to its end."""

    status: int
    report: dict[str, Any]
    """The last line of standard output."""
    said: str
    folder: Path
    """Where it kept what it keeps."""


def command(file: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "edge", "drill", file, "--for", "1s", *arguments]


def play(folder: Path, file: str) -> Played:
    done = subprocess.run(
        command(file, "--json"), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return Played(done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr, folder)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Played]]:
    """Three drills beside each other, for they mostly wait."""
    files = {"press-line": "config/press-line.toml"}
    for name, text in (("rich", ALL_KINDS), ("deaf", DEAF_GUN)):
        file = tmp_path_factory.mktemp("line") / f"{name}.toml"
        file.write_text(text, encoding="utf-8")
        files[name] = str(file)
    with ThreadPoolExecutor(len(files)) as pool:
        drills = {
            name: pool.submit(play, tmp_path_factory.mktemp(name), file) for name, file in files.items()
        }
        yield lambda name: drills[name].result()


@contextlib.asynccontextmanager
async def drill(tmp_path: Path, file: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command(file, *arguments),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def sent(report: dict[str, Any], what: str) -> list[int]:
    """Per fault, how many of them there were."""
    rows = [row for fault in report["faults"] for row in fault["rows"]]
    return [row["sent"] for row in rows if row["what"] == what]


def processes(folder: Path) -> list[int]:
    """Whatever still runs in or for this folder."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes() if process.name.isdigit() else b""
            if str(folder).encode() in words and int(process.name) != os.getpid():
                found.append(int(process.name))
    return found


def test_the_sample_line_loses_nothing(played: Callable[[str], Played]) -> None:
    one = played("press-line")
    report = one.report
    assert (one.status, report["passed"], report["lost"], report["duplicated"]) == (0, True, 0, 0), one.said
    full = [] if report["untried"] else ["disk"]
    sinks = ["sink archive", "sink plant-influx", "sink uns"]
    names = [fault["name"] for fault in report["faults"]]
    assert names == ["nothing", *sinks, "agent", "clock", *full, "end"]
    assert report["recovered"] > 0
    for what in ("counts of press-3.total", "counts of packer.good", "scans of gun-1", "results of rig-1"):
        assert sum(sent(report, what)) > 0
    told = {sink: sum(sent(report, f"events to {sink}")) for sink in ("archive", "plant-influx", "uns")}
    # The points of telemetry do not tell which batch they are of.
    assert told["archive"] == told["uns"] >= told["plant-influx"] > 50
    assert "not as in your file: sink.plant-influx: token left out" in one.said
    assert list(one.folder.iterdir()) == [], "nothing is left of a drill that went well"


def test_every_kind_of_source_and_sink_has_a_stand_in(played: Callable[[str], Played]) -> None:
    one = played("rich")
    report = one.report
    assert one.status == 0, one.said
    for what in (
        "counts of s1.total",
        "counts of s2.good",
        "counts of s3.total",
        "orders of office",
        "results of rig",
        "scans of gun",
    ):
        assert sum(sent(report, what)) > 0, what
    assert sum(sent(report, "events to erp")) == 1
    # Batches of telemetry are counted where they can be told apart: in JSON, not in points.
    assert sum(sent(report, "events to uns")) > sum(sent(report, "events to lines")) + 20
    assert not any("left out: there is no stand-in" in one for one in report["changed"])


def test_a_gun_that_waits_for_no_answer_loses_scans_and_the_drill_says_so(
    played: Callable[[str], Played],
) -> None:
    one = played("deaf")
    assert (one.status, one.report["passed"]) == (1, False)
    assert one.report["lost"] > 0
    assert "FAILED" in one.said
    assert "gun waits for no answer: set `confirm`" in one.said
    [kept] = one.folder.iterdir()
    assert {"agent.log", "drill.toml", "data"} <= {path.name for path in kept.iterdir()}


async def test_what_no_device_can_show_is_a_sentence(tmp_path: Path) -> None:
    """A state inside the u32 of a counter."""
    state = 'state = { source = "plc", holding = 101, as = "u16", map = { 6 = "Execute" } }'
    file = tmp_path / "line.toml"
    file.write_text(
        ALL_KINDS.replace('reject = { source = "press"', f'{state}\nreject = {{ source = "press"')
    )
    async with drill(tmp_path, str(file)) as process:
        _, err = await process.communicate()
    words = err.decode()
    assert process.returncode == 2, words
    assert "s3.state cannot be played: it lies in the same place as s3.total" in words
    assert "Traceback" not in words


async def test_a_drill_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    async with drill(tmp_path, "config/press-line.toml") as process:
        assert process.stdout is not None
        async for line in process.stdout:
            if b"the line is up" in line:
                break
        assert len(processes(tmp_path)) == 1
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with asyncio.timeout(10):
            while processes(tmp_path):
                await asyncio.sleep(0.05)
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert str(tmp_path) not in mounts


async def test_a_drill_that_is_interrupted_says_that_nothing_was_judged(tmp_path: Path) -> None:
    async with drill(tmp_path, "config/press-line.toml") as process:
        assert process.stdout is not None
        async for line in process.stdout:
            if b"the line is up" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 2
    assert "nothing was judged" in err.decode()
    assert "Traceback" not in err.decode()
    assert processes(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such.toml",), "there is no such file"),
        (("config/press-line.toml", "--for", "1h"), "a fault lasts"),
    ],
)
async def test_what_cannot_be_played_is_said(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    file, *more = arguments
    async with drill(tmp_path, file, *more) as process:
        _, err = await process.communicate()
    assert process.returncode in (1, 2)
    assert words in err.decode()
    assert list(tmp_path.iterdir()) == []
