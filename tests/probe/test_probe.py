"""A device is probed, its TOML is taken as it is printed, and the agent's own adapter reads it with that."""

import asyncio
import os
import signal
import sys
import termios
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import _serial_probe
from edge.config import load
from edge.errors import ConfigError, ProbeRefused
from edge.observation import Quality, TestResult, Value
from edge.probe.find import Found
from edge.probe.listen import Wire, Wish, probe
from edge.probe.show import Dump
from edge.probe.toml import source_table
from edge.production.scanning import OWN_LABELS, LabelRules
from simulators.labels import label
from simulators.launch import simulator
from simulators.testrig import Result, enclosed, lined
from tests.support.ptys import PtyDevice, SlowIntake, running

WIRE = cast(Wire, _serial_probe)
LABELS = [label("E", "4711"), label("J", "WO-1042-10"), label("C", "START"), label("Q", "12")]
RESULTS = [Result(number, 0.1 * number) for number in range(1, 7)]
EVERY_S = 0.1


@asynccontextmanager
async def sending(
    device: PtyDevice, frames: Sequence[bytes], every_s: float = EVERY_S
) -> AsyncIterator[None]:
    """Again and again, with a pause after each."""

    async def send() -> None:
        while True:
            for frame in frames:
                await device.send(frame)
                await asyncio.sleep(every_s)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(send())
        yield
        task.cancel()


async def probed(
    device: PtyDevice,
    frames: Sequence[bytes],
    every_s: float = EVERY_S,
    rules: LabelRules = OWN_LABELS,
    **wish: object,
) -> tuple[Found, list[str]]:
    """Heard until each frame has come and the first one again; however long that takes."""
    told: list[str] = []
    asked = Wish(device.port, 60, None, **wish)  # type: ignore[arg-type]
    listening = asyncio.Event()
    left = sum(map(len, frames)) + len(frames[0])

    def tell(row: str) -> None:
        nonlocal left
        told.append(row)
        if listening.is_set() and left > 0:
            left -= len(shown(row))
            if left <= 0:
                asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        listening.set()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(probe(WIRE, asked, rules, tell))
        await listening.wait()
        async with sending(device, frames, every_s):
            found = await task
    return found, told


def shown(row: str) -> bytes:
    """What a row of the dump shows; nothing where it tells of a pause."""
    return b"" if "--" in row[:16] else bytes.fromhex(row[11:58])


async def read_with(tmp_path: Path, toml: str, device: PtyDevice, frames: Sequence[bytes]) -> list[Value]:
    """What the adapter hands over of as many frames, all of which it must believe."""
    (tmp_path / "line.toml").write_text(f'[line]\nname = "line-1"\n\n{toml}')
    config = load(tmp_path / "line.toml", tmp_path)
    [source] = config.sources.values()
    intake = SlowIntake(source.name)
    termios.tcflush(device.far_fd, termios.TCIFLUSH)  # what came when nobody listened
    async with running(source.module.collect(source.settings, (), intake), intake):
        for count, frame in enumerate(frames, 1):
            await device.send(frame)
            await intake.until(partial(_has, intake, count))
            await asyncio.sleep(EVERY_S)
    assert [one.detail for one in intake.seen if one.quality is not Quality.GOOD] == []
    return [one.value for one in intake.seen]


def _has(intake: SlowIntake, count: int) -> bool:
    return len(intake.seen) >= count


# --- guns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end"),
    [(b"", b"\r"), (b"", b"\r\n"), (b"\x02", b"\x03"), (b"", b"\t"), (b"", b""), (b"]C0", b"\n")],
)
async def test_a_gun_is_known_by_its_labels(tmp_path: Path, begin: bytes, end: bytes) -> None:
    device = PtyDevice(tmp_path / "gun")
    frames = [begin + one.encode() + end for one in LABELS]
    found, _ = await probed(device, frames)
    assert 'type = "serial-scanner"' in found.toml
    assert any("badge (internal), job (internal), command (internal), quantity" in one for one in found.words)
    aim = begin.decode() if begin[:1] == b"]" else ""
    assert await read_with(tmp_path, found.toml, device, frames) == [aim + one for one in LABELS]
    device.unplug()


async def test_a_gun_that_reads_strange_labels_is_a_gun_and_told_of(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "gun")
    found, _ = await probed(device, [b"HELLO WORLD\r", b"GOOD DAY\r"], every_s=0.4)
    assert found.runs
    assert 'type = "serial-scanner"' in found.toml
    assert 'feedback = "none"' in found.toml
    assert any("none of what it sent is a label that this line knows" in one for one in found.words)
    assert any("no label and no result" in one for one in found.words)
    device.unplug()


@pytest.mark.parametrize("end", [b"#\r", b"#\r\n", b"#"])
async def test_what_a_gun_adds_around_its_labels_is_found(tmp_path: Path, end: bytes) -> None:
    device = PtyDevice(tmp_path / "gun")
    frames = [b"~" + one.encode() + end for one in LABELS]
    found, _ = await probed(device, frames)
    assert 'begin = "~"' in found.toml
    assert await read_with(tmp_path, found.toml, device, frames) == LABELS
    device.unplug()


@pytest.mark.parametrize(
    "frames",
    [
        [
            b"<01>:23/11/2026 12:30:01\r\n<01>: 480.1 mbar:(DT): -149 Pa\r\n",
            b"<02>: 480.3 mbar:(OK): -1 Pa\r\n",
        ],
        [b"TEST,U-E1,HIPOT,40\r\nACW1,1.900E-04,A,,,PASS\r\nRESULT,PASS\r\n", b"TEST,U-E2,HIPOT,41\r\n"],
        [b"\x02,0 000410000000\r\x30", b"\x02,0 000420000000\r\x2f", b"\x02,8 000430000000\r\x26"],
        [b"12\r", b"7\r", b"31\r"],
    ],
    ids=["ateq", "hipot", "toledo", "counts"],
)
async def test_a_device_that_is_no_gun_is_not_taken_for_one(tmp_path: Path, frames: list[bytes]) -> None:
    device = PtyDevice(tmp_path / "rig")
    found, _ = await probed(device, frames, every_s=0.3)
    assert not found.runs
    assert "serial-scanner" not in found.toml
    [source] = tomllib.loads(found.toml)["source"].values()
    assert (source["type"], source["handshake"]) == ("testrig", "none")
    assert found.toml.startswith("# NOT FINISHED")
    (tmp_path / "line.toml").write_text(f'[line]\nname = "line-1"\n\n{found.toml}')
    with pytest.raises(ConfigError, match="needs a pattern"):
        load(tmp_path / "line.toml", tmp_path)
    device.unplug()


# --- rigs -----------------------------------------------------------------------------------------

STEPPED = [f"U-{one.number:04d},LEAK,{one.leak_mbar:.2f},{one.verdict}\r\n".encode() for one in RESULTS]


@pytest.mark.parametrize(
    "frames",
    [
        [one.line() for one in RESULTS],
        [enclosed(one.text()) for one in RESULTS],
        [enclosed(one.text("csv")) for one in RESULTS],
        [one.text("json") + b"\n" for one in RESULTS],
        [lined(one.text("csv")) for one in RESULTS],
        STEPPED,
    ],
    ids=["key=value", "stx-lrc", "stx-csv", "json", "csv-xor", "csv-comma"],
)
async def test_a_rig_is_read_with_what_was_proposed(tmp_path: Path, frames: list[bytes]) -> None:
    device = PtyDevice(tmp_path / "rig")
    found, _ = await probed(device, frames)
    assert 'type = "testrig"' in found.toml, found
    seen = await read_with(tmp_path, found.toml, device, frames)
    results = [one for one in seen if isinstance(one, TestResult)]
    assert [(one.unit, one.program, one.passed) for one in results] == [
        (one.unit, "LEAK", one.passed) for one in RESULTS
    ]
    for made, result in zip(RESULTS, results, strict=True):
        assert made.leak_mbar in [pytest.approx(step.value, abs=0.005) for step in result.steps]
    device.unplug()


async def test_a_scale_gives_values_of_the_unit_scanned_last(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "scale")
    frames = [b"S S     %6.2f g\r\n" % weight for weight in (12.5, 100.25, 3.0)]
    found, _ = await probed(device, frames)
    seen = await read_with(tmp_path, found.toml, device, frames)
    results = [one for one in seen if isinstance(one, TestResult)]
    assert [(one.unit, one.passed, one.steps[0].value, one.steps[0].unit_of_measure) for one in results] == [
        ("", None, 12.5, "g"), ("", None, 100.25, "g"), ("", None, 3.0, "g"),
    ]  # fmt: skip
    device.unplug()


async def test_a_rig_that_asks_first_is_told_of_and_heard_with_ack(tmp_path: Path) -> None:
    link = tmp_path / "rig"
    wish = Wish(str(link), 1.0, None)
    async with simulator(
        "testrig", "--link", str(link), "--frame", "enq", "--cycle", "0.2", "--patience", "0.3"
    ) as rig:
        await rig.do("start")
        passive = await probe(WIRE, wish, OWN_LABELS, lambda row: None)
        assert passive == Found(("it asks with ENQ and sends only to who answers: probe it with --ack",), "")
        active = await probe(WIRE, Wish(str(link), 3.0, None, ack=True), OWN_LABELS, lambda row: None)
        assert 'handshake = "enq"' in active.toml, active
        (tmp_path / "line.toml").write_text(f'[line]\nname = "line-1"\n\n{active.toml}')
        [source] = load(tmp_path / "line.toml", tmp_path).sources.values()
        intake = SlowIntake(source.name)
        async with running(source.module.collect(source.settings, (), intake), intake):
            await intake.until(lambda: sum(isinstance(one.value, TestResult) for one in intake.seen) >= 3)
    bad = [one.detail for one in intake.seen if one.quality is not Quality.GOOD]
    assert all("before the agent listened" in one for one in bad), bad


async def test_a_scale_that_only_answers_is_asked(tmp_path: Path) -> None:
    link = tmp_path / "scale"
    async with simulator("scale", "--link", str(link)) as scale:
        await scale.do("put 101.25")
        wish = Wish(str(link), 2.5, None, ask=b"SI\r\n")
        found = await probe(WIRE, wish, OWN_LABELS, lambda row: None)
        assert 'ask = "SI\\r\\n"' in found.toml, found
        assert "load = { step" in found.toml
        (tmp_path / "line.toml").write_text(f'[line]\nname = "line-1"\n\n{found.toml}')
        [source] = load(tmp_path / "line.toml", tmp_path).sources.values()
        intake = SlowIntake(source.name)
        async with running(source.module.collect(source.settings, (), intake), intake):
            async with asyncio.timeout(15):
                while not any(isinstance(one.value, TestResult) for one in intake.seen):
                    await scale.do("take")
                    await asyncio.sleep(1.1)  # it is asked once a second
                    await scale.do("put 101.25")
                    await asyncio.sleep(2.5)
    [step] = [one.value.steps[0] for one in intake.seen if isinstance(one.value, TestResult)][:1]
    assert (step.value, step.unit_of_measure) == (101.25, "g")


# --- the command and what it shows ------------------------------------------------------------------


async def test_nothing_is_written_unless_it_is_asked_for(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "gun")
    await probed(device, [b"$A\r"])
    assert device.heard_now() == b""
    await probed(device, [b"$A\r"], ack=True)
    assert set(device.heard_now()) <= {0x06}
    device.unplug()


async def test_silence_and_a_missing_port_are_told(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "gun")
    assert await probe(WIRE, Wish(device.port, 0.1, None), OWN_LABELS, lambda row: None) == Found(
        ("nothing came within 0.1 s",), ""
    )
    device.unplug()
    with pytest.raises(ProbeRefused, match=r"there is no .*is the device plugged in"):
        await probe(WIRE, Wish(device.port, 0.1, 9600), OWN_LABELS, lambda row: None)


async def test_a_device_that_is_pulled_out_ends_the_listening(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "gun")
    begun, heard = asyncio.Event(), asyncio.Event()

    def tell(row: str) -> None:
        (heard if "$CSTART1" in row else begun).set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(probe(WIRE, Wish(device.port, 60, None), OWN_LABELS, tell))
        await begun.wait()
        await device.send(b"$CSTART1\r")
        await heard.wait()
        device.unplug()
        await task
    assert 'type = "serial-scanner"' in task.result().toml


@pytest.mark.parametrize("interrupted", [False, True])
async def test_the_command_prints_toml_and_no_escape_of_the_wire(tmp_path: Path, interrupted: bool) -> None:
    device = PtyDevice(tmp_path / "gun")
    command = [sys.executable, "-m", "edge", "probe", "serial", device.port, "--name", "gun-7", "--for"]
    process = await asyncio.create_subprocess_exec(
        *command, "60s" if interrupted else "3s", stdout=-1, stderr=-1, env=os.environ | {"COLUMNS": "200"}
    )
    assert process.stderr is not None
    shown = await process.stderr.readline()
    async with sending(
        device,
        [
            label("E", "4711").encode() + b"\r",
            label("Q", "12").encode() + b"\r",
            b"\x1b[2J\x1b]0;owned\x07$CSTART1\r",
            b"a\xc2\x9b31mb\r",
            b"$CDONE1\r",
        ],
    ):
        while b"$CDONE1" not in shown:
            shown += await process.stderr.readline()
        if interrupted:
            process.send_signal(signal.SIGINT)
        out, rest = await process.communicate()
    assert process.returncode == 0, rest
    assert b"\n[source.gun-7]\n" in out
    assert all(byte >= 0x20 or byte == 0x0A for byte in out + shown + rest)
    assert "\x9b" not in (out + shown + rest).decode()
    device.unplug()


async def test_an_outline_is_printed_and_the_command_ends_with_1(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "rig")
    command = [sys.executable, "-m", "edge", "probe", "serial", device.port, "--for", "2s"]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
    assert process.stderr is not None
    await process.stderr.readline()
    async with sending(device, [b"READY \x1b[2J 1.5,2.5,3.5\r\n", b"REPORT 1:2:3\r\n"]):
        out, _ = await process.communicate()
    assert process.returncode == 1
    assert out.startswith(b"# NOT FINISHED")
    assert b'handshake = "none"' in out
    assert all(byte >= 0x20 or byte == 0x0A for byte in out)
    device.unplug()


@given(st.lists(st.tuples(st.floats(0, 5), st.binary(max_size=60)), max_size=10))
def test_what_is_shown_is_all_of_it_and_printable(heard: list[tuple[float, bytes]]) -> None:
    dump, at_s, rows = Dump(), 0.0, list[str]()
    for pause_s, data in heard:
        at_s += pause_s
        rows += dump.rows(at_s, data)
    assert all(row.isascii() and row.isprintable() for row in rows)
    assert b"".join(map(shown, rows)) == b"".join(data for _, data in heard)


@given(
    st.dictionaries(
        st.text(max_size=8), st.text(max_size=20) | st.integers(-9, 9) | st.booleans(), max_size=4
    )
)
def test_any_table_is_read_back_as_toml(keys: dict[str, object]) -> None:
    text = source_table("a.b", {**keys, "zz": {"x y": ["\x7f", "é\\"]}, "step": [{"name": "A", "at": 1}]})
    assert tomllib.loads(text) == {
        "source": {"a.b": {**keys, "zz": {"x y": ["\x7f", "é\\"]}, "step": [{"name": "A", "at": 1}]}}
    }
