"""The scanner and the test rig as processes, on a serial port that pyserial opens."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from simulators.launch import SimulatorFailed, simulator
from simulators.records import ResultAcked, ResultMade, Scan, read_results, read_truth
from simulators.testrig import Result

ACK, NAK = b"\x06", b"\x15"


@asynccontextmanager
async def port(path: Path) -> AsyncIterator[serial.Serial]:
    with serial.Serial(str(path), timeout=5) as opened:
        yield opened


async def line(opened: serial.Serial, end: bytes) -> bytes:
    return bytes(await asyncio.to_thread(opened.read_until, end))


# --- the scanner ---


@pytest.mark.parametrize(("answer", "meaning"), [(ACK, "confirmed"), (NAK, "refused")])
async def test_the_gun_sends_a_label_and_tells_the_answer(
    answer: bytes, meaning: str, tmp_path: Path
) -> None:
    link, truth = tmp_path / "gun", tmp_path / "gun.truth"
    async with simulator("scanner", "--link", str(link), "--truth", str(truth)) as gun, port(link) as host:
        before_ms = time.time() * 1000
        scanning = asyncio.ensure_future(gun.scan("$JWO-1001-10X"))
        assert await line(host, b"\r") == b"$JWO-1001-10X\r"
        host.write(answer)
        scan = await scanning
        after_ms = time.time() * 1000
    assert (scan.scan, scan.answer) == ("$JWO-1001-10X", meaning)
    assert scan.answered_ms is not None
    assert before_ms <= scan.sent_ms <= scan.answered_ms <= after_ms
    assert read_truth(truth, Scan) == [scan]


async def test_silence_and_a_late_answer_are_no_answer(tmp_path: Path) -> None:
    link = tmp_path / "gun"
    async with simulator("scanner", "--link", str(link), "--patience", "0.2") as gun, port(link) as host:
        first = await gun.scan("$E1")
        assert (first.answer, first.answered_ms) == ("none", None)
        host.write(ACK)
        second = await gun.scan("$E1")
        assert second.answer == "none"
        assert await line(host, b"\r") + await line(host, b"\r") == b"$E1\r$E1\r"


async def test_what_nobody_listened_to_is_gone_when_a_host_opens_the_port(tmp_path: Path) -> None:
    link = tmp_path / "gun"
    async with simulator("scanner", "--link", str(link), "--patience", "0.01") as gun:
        for _ in range(40):
            assert (await gun.scan("$L" + "0" * 3000)).answer == "none"
        async with port(link) as host:
            await gun.scan("$E1")
            assert await line(host, b"\r") == b"$E1\r"


async def test_another_command_is_refused_in_words(tmp_path: Path) -> None:
    async with simulator("scanner", "--link", str(tmp_path / "gun")) as gun:
        with pytest.raises(SimulatorFailed, match=r"'shoot' is not a command; there are: scan LABEL, "):
            await gun.do("shoot")


# --- the test rig ---


def parse(raw: bytes) -> dict[str, str]:
    """A host of few words: checks the sum and takes the fields apart."""
    text, _, check = raw.removesuffix(b"\r\n").rpartition(b"*")
    total = 0
    for byte in text:
        total ^= byte
    assert check == b"%02X" % total
    return dict(field.split("=") for field in text.decode().split(";"))


def parts_of(truth: Path) -> tuple[list[ResultMade], list[ResultAcked]]:
    lines = read_results(truth)
    return (
        [one for one in lines if isinstance(one, ResultMade)],
        [one for one in lines if isinstance(one, ResultAcked)],
    )


def test_a_line_is_the_example_of_the_page() -> None:
    text = b"unit=U-0001;program=LEAK;revision=B;number=1;leak=0.12:mbar:0:0.5;result=PASS"
    assert Result(1, 0.12).line().rpartition(b"*")[0] == text
    assert parse(Result(1, 0.12).line())["result"] == "PASS"


@given(st.integers(1, 10**6), st.integers(0, 200))
def test_the_verdict_is_that_of_the_value_on_the_line(number: int, hundredths: int) -> None:
    fields = parse(Result(number, hundredths / 100).line())
    value, unit, low, high = fields["leak"].split(":")
    assert unit == "mbar"
    assert fields["result"] == ("PASS" if float(low) <= float(value) <= float(high) else "FAIL")
    assert (fields["unit"], fields["number"]) == (f"U-{number:04d}", str(number))


async def test_the_rig_repeats_a_result_until_it_is_taken(tmp_path: Path) -> None:
    link, truth = tmp_path / "rig", tmp_path / "rig.truth"
    quick = ("--cycle", "0.05", "--patience", "0.3", "--fail", "0.5", "--truth", str(truth))
    async with simulator("testrig", "--link", str(link), *quick) as rig, port(link) as host:
        await rig.do("start")
        first = await line(host, b"\r\n")
        host.write(NAK)
        assert await line(host, b"\r\n") == first
        assert await line(host, b"\r\n") == first
        seen = [parse(first)]
        host.write(ACK)
        for _ in range(9):
            seen.append(parse(await line(host, b"\r\n")))
            host.write(ACK)
        await rig.do("stop")
        await acknowledged(truth, 10)
    made, acked = parts_of(truth)
    assert [(one["number"], one["unit"], one["result"] == "PASS") for one in seen] == [
        (str(one.number), one.unit, one.passed) for one in made[:10]
    ]
    assert {one.passed for one in made} == {True, False}
    assert [one.tries for one in acked][:3] == [3, 1, 1]
    assert all(a.acked_ms > m.made_ms for m, a in zip(made, acked, strict=False))


async def test_a_cut_line_is_followed_by_the_whole_one(tmp_path: Path) -> None:
    link, truth = tmp_path / "rig", tmp_path / "rig.truth"
    quick = ("--cycle", "0.05", "--cut", "2", "--cut-pause", "0.05", "--truth", str(truth))
    async with simulator("testrig", "--link", str(link), *quick) as rig, port(link) as host:
        await rig.do("start")
        assert parse(await line(host, b"\r\n"))["number"] == "1"
        host.write(ACK)
        mixed = await line(host, b"\r\n")
        assert mixed.count(b"unit=U-0002") == 2
        with pytest.raises(AssertionError):
            parse(mixed)
        host.write(NAK)
        assert parse(await line(host, b"\r\n"))["number"] == "2"
        host.write(ACK)
        await acknowledged(truth, 2)
    _, acked = parts_of(truth)
    assert [(one.number, one.tries) for one in acked[:2]] == [(1, 1), (2, 2)]


async def acknowledged(truth: Path, number: int) -> None:
    async with asyncio.timeout(10):
        while not truth.exists() or len(parts_of(truth)[1]) < number:
            await asyncio.sleep(0.01)
