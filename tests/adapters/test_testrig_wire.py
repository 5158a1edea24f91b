"""Rigs and a scale on a wire: simulators over TCP and on ptys, with the settings of the files that ship."""

import asyncio
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from adapters import testrig
from adapters._rig_checksum import Checksum
from adapters._rig_keys import Fields, StepFormat
from adapters._rig_talk import Gather, Load
from adapters.testrig import Settings
from edge.config import load
from edge.contract import Outcome, Quality, SourceError, SourceLost, TestResult, Verdict
from simulators.launch import Running, simulator
from simulators.records import ResultMade, Weighed, read_results, read_truth
from tests.support.ptys import PtyDevice, SlowIntake, running

CONFIG = Path(__file__).parent.parent.parent / "config"
ACK, NAK, ENQ, EOT, STX, ETX = b"\x06", b"\x15", b"\x05", b"\x04", b"\x02", b"\x03"
CSV: dict[str, Any] = {
    "format": "csv", "separator": ";", "columns": 9,
    "fields": {"unit": 1, "program": 2, "revision": 3, "number": 4, "result": 9},
    "step": [{"name": "leak", "at": 5, "unit_of_measure_at": 6, "low_at": 7, "high_at": 8}],
}  # fmt: skip
FRAMED: dict[str, Any] = {"begin": "\x02", "end": "\x03", "checksum": {"kind": "xor"}}
JSON: dict[str, Any] = {
    "format": "json", "step": [{"name": "leak", "at": "leak"}],
    "fields": {part: part for part in ("unit", "program", "revision", "number", "result")},
}  # fmt: skip


def shipped(file: str, source: str, **places: Any) -> Settings:
    """The settings of a file that ships, with the device somewhere else."""
    settings = load(CONFIG / file).sources[source].settings
    assert isinstance(settings, Settings)
    where = {"port": None, "connect": None, "listen": None, **places}
    return settings.model_copy(update=where)


def described(**keys: Any) -> Settings:
    return Settings.model_validate({"type": "testrig", **keys})


def results(intake: SlowIntake) -> list[TestResult]:
    return [one for one in intake.values("rig-1") if isinstance(one, TestResult)]


def broken(intake: SlowIntake) -> list[str]:
    return [one.detail for one in intake.seen if one.quality is Quality.BAD]


def at(where: Running) -> str:
    return f"127.0.0.1:{where.where.port}"


# --- a leak tester: STX text ETX LRC, ACK and NAK -------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("--frame", "stx", "--text", "csv"), None),
        (("--frame", "enq", "--text", "csv"), {**CSV, **FRAMED, "handshake": "enq"}),
        (("--frame", "stx", "--text", "json"), {**JSON, **FRAMED}),
        (("--frame", "line", "--text", "csv"), {**CSV, "checksum": "xor"}),
    ],
)
async def test_a_rig_with_all_faults_gets_each_result_home_once(
    arguments: tuple[str, ...], keys: dict[str, Any] | None, tmp_path: Path
) -> None:
    truth = tmp_path / "truth"
    faults = ("--noise", "3", "--cut", "4", "--merge", "5", "--wrong-sum", "6", "--cut-pause", "0.3")
    quick = ("--cycle", "0.05", "--patience", "1.5", "--fail", "0.3", "--seed", "7")
    async with simulator("testrig", "--tcp", "0", "--truth", str(truth), *arguments, *faults, *quick) as rig:
        if keys is None:
            settings = shipped("leak-tester.toml", "leak-1", connect=at(rig))
        else:
            settings = described(connect=at(rig), idle="100ms", **keys)
        intake = SlowIntake("rig-1")
        async with running(testrig.collect(settings, [], intake), intake):
            await rig.do("start")
            await intake.until(lambda: len({one.number for one in results(intake)}) >= 12, 30)
            await rig.do("stop")
            await all_home(truth)
    made = {one.unit: one.passed for one in read_results(truth) if isinstance(one, ResultMade)}
    assert {one.unit: one.passed for one in results(intake)} == made
    assert len(broken(intake)) >= 5
    leaks = [step for one in results(intake) for step in one.steps]
    assert {step.name for step in leaks} == {"leak"}
    assert all(one.detail.isprintable() for one in intake.seen)


async def all_home(truth: Path) -> None:
    """Wait until each result that was made was acknowledged."""
    async with asyncio.timeout(20):
        while True:
            told = read_results(truth)
            if 2 * sum(isinstance(one, ResultMade) for one in told) == len(told):
                return
            await asyncio.sleep(0.01)


# --- ENQ ------------------------------------------------------------------------------------------


@pytest.fixture
def rig(tmp_path: Path):  # type: ignore[no-untyped-def]
    device = PtyDevice(tmp_path / "usb-ACME_rig-if00")
    yield device
    device.unplug()


@asynccontextmanager
async def listening(
    rig: PtyDevice, intake: SlowIntake, **keys: Any
) -> AsyncIterator[asyncio.Task[SourceError | None]]:
    settings = described(port=rig.port, **keys)
    async with running(testrig.collect(settings, [], intake), intake) as source:
        yield source


def enclosed(text: bytes) -> bytes:
    lrc = 0
    for byte in text + ETX:
        lrc ^= byte
    return STX + text + ETX + bytes([lrc])


TEXT = b"U-0001;LEAK;B;1;0.12;mbar;0;0.5;PASS"


async def test_an_enquiry_a_frame_and_an_end(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake, **CSV, **FRAMED, handshake="enq"):
        await rig.send(ENQ)
        assert await rig.heard(1) == ACK
        intake.disk.clear()
        await rig.send(enclosed(TEXT))
        await intake.waiting.wait()
        assert await rig.silent(), "not on disk yet"
        intake.disk.set()
        assert await rig.heard(1) == ACK
        await rig.send(EOT)
        assert await rig.silent()
        await rig.send(ENQ)
        assert await rig.heard(1) == ACK
        await rig.send(enclosed(TEXT)[:-1] + b"\xff")
        assert await rig.heard(1) == NAK
    assert [one.unit for one in results(intake)] == ["U-0001"]
    assert len(broken(intake)) == 1


async def test_a_frame_and_its_end_in_one_write_are_answered(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake, **CSV, **FRAMED, handshake="enq"):
        await rig.send(ENQ)
        assert await rig.heard(1) == ACK
        await rig.send(enclosed(TEXT) + EOT)
        assert await rig.heard(1) == ACK
        assert await rig.silent()


async def test_a_long_result_is_read_while_the_agent_does_other_things(rig: PtyDevice) -> None:
    steps = b";".join(b"s%d=%d:mm:0:9999" % (number, number) for number in range(1_500))
    intake, worst_s = SlowIntake("rig-1"), 0.0
    async with listening(rig, intake, longest=65_536, baud=4_000_000):
        sending = asyncio.ensure_future(rig.send(b"unit=U-1;program=P;result=PASS;" + steps + b"\r\n"))
        before_s = asyncio.get_running_loop().time()
        while not intake.seen:
            await asyncio.sleep(0)
            now_s = asyncio.get_running_loop().time()
            worst_s, before_s = max(worst_s, now_s - before_s), now_s
        await sending
    assert len(results(intake)[0].steps) == 1_500
    assert worst_s < 0.05


async def test_over_tcp_a_copy_is_answered_however_long_it_is() -> None:
    """Its bytes take no time there: the ACK was lost."""
    intake, heard = SlowIntake("rig-1"), asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    text = b"unit=U-1;program=" + b"P" * 4_000 + b";result=PASS\r\n"  # 4 s at 9600 baud
    server = await asyncio.start_server(lambda *two: heard.put_nowait(two), "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, running(testrig.collect(described(connect=place), [], intake), intake):
        reader, writer = await heard.get()
        for pause_s in (0.4, 0.0):
            writer.write(text)
            async with asyncio.timeout(3):
                assert await reader.readexactly(1) == ACK
            await asyncio.sleep(pause_s)
        writer.close()


async def test_a_rig_that_began_again_hears_no_answer_to_what_it_has_given_up(rig: PtyDevice) -> None:
    """Else it would take the ACK of the first frame for that of its new enquiry, and so on for ever."""
    intake = SlowIntake("rig-1")
    intake.disk.clear()
    async with listening(rig, intake, **CSV, **FRAMED, handshake="enq"):
        await rig.send(enclosed(TEXT))
        await intake.waiting.wait()
        await rig.send(EOT + ENQ)
        assert await rig.silent()
        intake.disk.set()
        assert await rig.heard(1) == ACK
        assert await rig.silent(), "one answer, to the enquiry"


async def test_the_trailer_may_be_any_byte(rig: PtyDevice) -> None:
    """A checksum that looks like STX, ETX, ENQ or NUL is a checksum."""
    intake = SlowIntake("rig-1")
    wanted = []
    async with listening(rig, intake, **CSV, **FRAMED, handshake="enq"):
        for number in range(40):
            text = TEXT.replace(b"U-0001", b"U-%02d%c" % (number, 64 + number))
            wanted.append(text.split(b";")[0].decode())
            await rig.send(enclosed(text))
            assert await rig.heard(1) == ACK
    assert [one.unit for one in results(intake)] == wanted


# --- a result of several lines ----------------------------------------------------------------------

REPORT: dict[str, Any] = {
    "format": "pattern", "holds": "lines", "end": "\r\n",
    "pattern": ["SERIAL (?P<sn>[A-Z0-9-]+)", "RESULT (?P<word>PASS|FAIL)"],
    "fields": {"unit": "sn", "result": "word"}, "constants": {"program": "HIPOT"},
    "gather": {"first": "REPORT.*", "last": "RESULT .*", "within": "300ms"},
    "step": [{"each": "(?P<name>[A-Z]+)=(?P<v>[0-9.]+)", "name_at": "name", "at": "v"}],
    "skip": ["REPORT .*"],
}  # fmt: skip


async def test_a_report_of_several_lines_is_answered_once_at_its_end(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake, **REPORT):
        for line in (b"REPORT 7", b"SERIAL U-1", b"ACW=1.24", b"IR=500"):
            await rig.send(line + b"\r\n")
        assert await rig.silent()
        await rig.send(b"RESULT PASS\r\n")
        assert await rig.heard(1) == ACK
        await rig.send(b"REPORT 8\r\nSERIAL U-2\r\n")
        assert await rig.heard(1) == NAK, "its rest did not come"
    [result] = results(intake)
    assert (result.unit, [(step.name, step.value) for step in result.steps]) == (
        "U-1",
        [("ACW", 1.24), ("IR", 500.0)],
    )
    assert intake.seen[0].detail == r"REPORT 7\nSERIAL U-1\nACW=1.24\nIR=500\nRESULT PASS"
    [said] = broken(intake)
    assert said.startswith("cut: after 2 lines nothing came for 0.3 s")


async def test_a_line_that_is_too_long_is_refused_although_its_rest_comes_behind_it(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake, longest=100):
        await rig.send(b"unit=" + b"U" * 20_000 + b"\r\n")
        assert await rig.heard(1) == NAK
    [said] = broken(intake)
    assert said.startswith("longer than 100 bytes")


# --- no handshake -----------------------------------------------------------------------------------


async def test_without_a_handshake_nothing_is_ever_written(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1", lambda observation: Outcome(Verdict.REFUSED))
    async with listening(rig, intake, handshake="none"):
        await rig.send(b"unit=U-1;program=P;result=OK\r\nbroken\r\n")
        await intake.until(lambda: len(intake.seen) == 2)
        assert await rig.silent()


async def test_one_broken_result_of_several_is_told_and_the_frame_refused(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake, **{**CSV, "columns": 9}, holds="results", begin="\x02", end="\x03"):
        await rig.send(STX + TEXT + b"\n" + TEXT[:20] + b"\n" + TEXT.replace(b"0001", b"0002") + b"\n" + ETX)
        assert await rig.heard(1) == NAK
    assert [one.unit for one in results(intake)] == ["U-0001", "U-0002"]
    assert len(broken(intake)) == 1


# --- a scale ----------------------------------------------------------------------------------------


async def test_a_scale_gives_one_weight_for_each_load(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    async with simulator("scale", "--tcp", "0", "--settle", "0.1", "--truth", str(truth)) as scale:
        settings = shipped("scale.toml", "scale-1", connect=at(scale))
        settings = settings.model_copy(update={"every": settings.every / 20})
        intake = SlowIntake("rig-1")
        async with running(testrig.collect(settings, [], intake), intake):
            await asyncio.sleep(0.3)  # read empty a few times
            for number, weight in enumerate((101.25, 97.5, 101.25), 1):
                await scale.do(f"put {weight}")
                await intake.until(lambda wanted=number: len(results(intake)) == wanted)  # type: ignore[misc]
                asked = len(intake.seen)
                await scale.do("take")
                await asyncio.sleep(0.2)
                assert len(intake.seen) == asked, "an empty scale says nothing"
    weights = [one.steps[0].value for one in results(intake)]
    assert weights == [one.weight for one in read_truth(truth, Weighed)] == [101.25, 97.5, 101.25]
    for one in results(intake):
        assert (one.unit, one.program, one.passed) == ("", "WEIGHT", None)
        assert (one.steps[0].low, one.steps[0].high, one.steps[0].unit_of_measure) == (98.0, 104.0, "g")
    assert broken(intake) == []
    assert len({one.detail for one in intake.seen}) == 3, "two that weigh the same are two"


async def test_a_scale_that_does_not_answer_is_lost(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    scale = {"ask": "W\r", "every": "50ms", "patience": "100ms", "handshake": "none"}
    async with listening(rig, intake, **scale) as source:
        lost = await source
    assert isinstance(lost, SourceLost)
    assert rig.port in str(lost)
    assert r"does not answer 'W\r'; is it switched on" in str(lost)
    assert rig.heard_now() == b"W\r" * 3


# --- the page and the files that ship ---------------------------------------------------------------

PAGE = (Path(__file__).parent.parent.parent / "adapters" / "testrig.md").read_text(encoding="utf-8")
BLOCKS = [block.split("```")[0] for block in PAGE.split("```toml\n")[1:]]


@pytest.mark.parametrize("file", ["leak-tester.toml", "scale.toml"])
def test_a_file_that_ships_is_valid_and_gives_no_cause_for_doubt(file: str) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "edge", "check", str(CONFIG / file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "is valid" in checked.stdout
    assert "warning" not in checked.stdout


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.startswith(("[source", "format"))])
def test_an_example_on_the_page_is_valid(block: str, tmp_path: Path) -> None:
    names = re.findall(r"source\.([a-z0-9-]+)", block)
    head = (
        "" if block.startswith("[source") else f'[source.{names[0]}]\ntype = "testrig"\nport = "/dev/rig"\n'
    )
    station = (
        "" if "[[station]]" in block else f'[[station]]\nname = "s"\nideal_cycle = "1s"\nrig = "{names[0]}"\n'
    )
    file = tmp_path / "line.toml"
    file.write_text(f'[line]\nname = "l"\n{head}{block}\n{station}', encoding="utf-8")
    assert load(file).sources.keys() == set(names)


def test_every_checksum_on_the_page_is_valid() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("checksum = {")]
    assert len(lines) >= 3
    for line in lines:
        described(port="/dev/rig", begin="\x02", end="\x03", **tomllib.loads(line))


@pytest.mark.parametrize("model", [Settings, Checksum, Gather, Load, StepFormat, Fields])
def test_every_key_is_on_the_page(model: type[BaseModel]) -> None:
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert {key for key in keys - {"type"} if f"`{key}`" not in PAGE} == set()
