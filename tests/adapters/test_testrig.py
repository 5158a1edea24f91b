"""The test rig: the grammar alone, then over a pty."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import testrig
from adapters._frames import Frame
from adapters._rig_checksum import compute
from adapters._rig_parse import Broken
from adapters._rig_talk import Talk
from adapters.testrig import Settings
from edge.contract import Observation, Outcome, Quality, SourceLost, Step, TestResult, Verdict
from tests.support.ptys import PtyDevice, SlowIntake, running

ACK, NAK = b"\x06", b"\x15"
LINE = b"unit=U-0001;program=LEAK;revision=B;number=1;leak=0.12:mbar:0:0.5;result=PASS"
RESULT = TestResult("U-0001", "LEAK", True, "B", "1", (Step("leak", 0.12, "mbar", 0.0, 0.5),))


def settings(port: str = "/dev/serial/by-id/rig", **keys: object) -> Settings:
    return Settings.model_validate({"type": "testrig", "port": port, **keys})


def parse(of: Settings, line: bytes) -> TestResult:
    """A line as the source reads it: its checksum, then its text."""
    [turn] = Talk(of).take(Frame(line), 0.0)
    [parsed] = turn.results
    if parsed.result is None:
        raise Broken(parsed.reason)
    return parsed.result


def summed(line: bytes) -> bytes:
    return line + b"*%02X" % compute("xor", line)


def rendered(result: TestResult) -> bytes:
    fields = [f"unit={result.unit}", f"program={result.program}"]
    fields += [f"revision={result.revision}"] * (result.revision is not None)
    fields += [f"number={result.number}"] * (result.number is not None)
    for step in result.steps:
        parts = (step.value, step.unit_of_measure, step.low, step.high)
        fields.append(f"{step.name}=" + ":".join("" if part is None else str(part) for part in parts))
    return ";".join([*fields, "result=" + ("PASS" if result.passed else "FAIL")]).encode()


# --- the grammar ------------------------------------------------------------------------------

_plain = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters=" =;:*")
words = st.text(_plain, min_size=1, max_size=12)
names = words.filter(lambda name: name not in {"unit", "program", "revision", "number", "result"})
numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.builds(Step, names, numbers, *[st.none() | one for one in (words, numbers, numbers)])
results = st.builds(
    TestResult, words, words, st.booleans(), st.none() | words, st.none() | words,
    st.lists(steps, max_size=5, unique_by=lambda step: step.name).map(tuple),
)  # fmt: skip


@given(results, st.sampled_from(["auto", "none", "xor"]))
def test_what_is_written_is_read(result: TestResult, sum_is: str) -> None:
    line = rendered(result)
    assert parse(settings(checksum=sum_is), line if sum_is == "none" else summed(line)) == result
    if sum_is == "auto":
        assert parse(settings(), line) == result


PIECES = [b"unit", b"=", b";", b":", b"result=PASS", b"program=L", b"1", b"1e999", b"*", b"*00", b"\xff"]
near_lines = st.lists(st.sampled_from(PIECES)).map(b"".join)


def reason(of: Settings, raw: bytes) -> str:
    """Why a line is broken; empty where it is a result that can be believed."""
    try:
        result = parse(of, raw)
    except Broken as error:
        return str(error)
    assert result.unit
    assert result.program
    numbers = [one for step in result.steps for one in (step.value, step.low, step.high)]
    assert all(math.isfinite(one) for one in numbers if one is not None)
    return ""


@given(st.binary(max_size=200) | near_lines, st.sampled_from(["auto", "none", "xor"]))
def test_any_bytes_are_a_result_or_broken(raw: bytes, sum_is: str) -> None:
    said = reason(settings(checksum=sum_is), raw)
    assert said.isprintable()
    assert len(said) < 300


@given(st.integers(1, len(LINE)), st.integers(0, len(LINE) - 1))
def test_a_cut_line_or_one_glued_to_the_next_is_broken(kept: int, at: int) -> None:
    with pytest.raises(Broken):
        parse(settings(), LINE[:kept] + LINE)
    with pytest.raises(Broken):
        parse(settings(), LINE[:at])


@given(st.integers(0, len(LINE) - 1), st.integers(1, 255))
def test_one_changed_byte_is_broken_where_there_is_a_checksum(at: int, flip: int) -> None:
    line = bytearray(summed(LINE))
    line[at] ^= flip
    with pytest.raises(Broken):
        parse(settings(checksum="xor"), bytes(line))


def test_the_checksum_is_that_of_nmea_0183() -> None:
    # A sentence with a published checksum; NMEA counts from behind the `$`.
    assert compute("xor", b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") == 0x47


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        (LINE, {}),
        (LINE + b";", {}),
        (summed(LINE), {}),
        (LINE + b"*6b", {"checksum": "xor"}),
        (LINE.replace(b";", b" ; ").replace(b"=", b" = ").replace(b":", b" : "), {}),
        (LINE.replace(b";", b"|"), {"separator": "|"}),
        (LINE.replace(b";", b"\t"), {"separator": "\t"}),
        (LINE.replace(b";", b" "), {"separator": " "}),
        (LINE.replace(b"PASS", b"IO"), {"pass": ["IO"], "fail": ["NIO"]}),
        (LINE.replace(b"unit", b"SN").replace(b"result", b"V"), {"fields": {"unit": "SN", "result": "V"}}),
        (LINE + b";operator=Jo;at=12:30", {"ignore": ["operator", "at"]}),
    ],
)
def test_the_same_result_in_other_words(line: bytes, keys: dict[str, object]) -> None:
    assert parse(settings(**keys), line) == RESULT  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (b"t=20", Step("t", 20.0)),
        (b"t=-2.5e-3:s", Step("t", -0.0025, "s")),
        (b"t=.5:s:0", Step("t", 0.5, "s", 0.0)),
        (b"t=5.:::9", Step("t", 5.0, None, None, 9.0)),
        ("t=20:°C".encode(), Step("t", 20.0, "°C")),
    ],
)
def test_what_follows_a_value_may_be_absent(step: bytes, expected: Step) -> None:
    assert parse(settings(), LINE + b";" + step).steps[-1] == expected


def test_a_failed_unit_and_a_result_without_steps() -> None:
    assert parse(settings(), b"result=NG;program=HIPOT;unit=U-2") == TestResult("U-2", "HIPOT", False)
    [step] = parse(settings(encoding="latin-1"), LINE.replace(b"mbar", b"\xb0C")).steps
    assert step.unit_of_measure == "°C"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "'' is no name=value"),
        (b"hello", "'hello' is no name=value"),
        (LINE + b";;", "'' is no name=value"),
        (LINE + b";=5", "'=5' is no name=value"),
        (LINE + b";a=b=c", "'a=b=c' is no name=value"),
        (LINE + b";leak=0.2", "'leak' is there twice"),
        (LINE + b";unit=U-0002", "'unit' is there twice"),
        (LINE.replace(b"unit", b"uint"), "no unit"),
        (LINE.replace(b"U-0001", b""), "no unit"),
        (LINE.replace(b"program=LEAK;", b""), "no program"),
        (LINE.replace(b";result=PASS", b""), "no result"),
        (LINE.replace(b"PASS", b"PAS"), "'PAS' is no known result"),
        (LINE.replace(b"PASS", b"pass"), "'pass' is no known result"),
        (LINE.replace(b"0.12", b"nan"), "'leak': 'nan' is no number"),
        (LINE.replace(b"0.12", b"-inf"), "'-inf' is no number"),
        (LINE.replace(b"0.12", b"1e999"), "'1e999' is no number"),
        (LINE.replace(b"0.12", b"1_0"), "'1_0' is no number"),
        (LINE.replace(b"0.12", b"0,12"), "'0,12' is no number"),
        (LINE.replace(b"0.12", "\u0661".encode()), "is no number"),
        (LINE.replace(b"0.12", b""), "'' is no number"),
        (LINE.replace(b"0.5", b"high"), "'high' is no number"),
        (LINE.replace(b"0.5", b"0.5:x"), "'leak' is more than value:unit:low:high"),
        (LINE + b";operator=" + b"J" * 90, "'operator': 'JJJJJJJJ"),
        (LINE.replace(b"LEAK", b"LE\x07AK"), r"a control character ('\x07')"),
        (LINE.replace(b"LEAK", b"LE\x80AK"), "is no utf-8; see `encoding`"),
        (LINE + b"*00", "the checksum is *6B, the frame says *00"),
        (summed(LINE).replace(b"0.12", b"0.13"), "the checksum is"),
    ],
)
def test_what_is_broken_says_why(line: bytes, said: str) -> None:
    with pytest.raises(Broken) as caught:
        parse(settings(), line)
    assert said in str(caught.value)


@pytest.mark.parametrize("line", [LINE, LINE + b"*", LINE + b"*1", summed(LINE) + b" ", LINE + b"*XY"])
def test_a_demanded_checksum_must_be_there(line: bytes) -> None:
    with pytest.raises(Broken, match="checksum"):
        parse(settings(checksum="xor"), line)


def test_without_checksums_a_star_is_a_part_of_the_text() -> None:
    assert parse(settings(checksum="none"), b"program=A*00;result=OK;unit=U*41").unit == "U*41"


@pytest.mark.parametrize(
    "keys",
    [
        {"separator": "="}, {"separator": ""}, {"separator": ";;"}, {"separator": "a"}, {"separator": "7"},
        {"separator": "\r"}, {"pass": []}, {"pass": ["OK"], "fail": ["OK"]}, {"pass": ["A;B"]},
        {"pass": ["A=B"]}, {"fields": {"unit": "program"}}, {"fields": {"unit": ""}},
        {"fields": {"serial": "SN"}}, {"format": "csv"}, {"ignore": ["unit"]},
        {"checksum": "crc"}, {"encoding": "ascii"},
    ],
)  # fmt: skip
def test_settings_that_contradict_themselves_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**keys)  # type: ignore[arg-type]


# --- over a pty -------------------------------------------------------------------------------


@pytest.fixture
def rig(tmp_path: Path):  # type: ignore[no-untyped-def]
    device = PtyDevice(tmp_path / "usb-ACME_rig-if00")
    yield device
    device.unplug()


def listening(rig: PtyDevice, intake: SlowIntake, **keys: object):  # type: ignore[no-untyped-def]
    return running(testrig.collect(settings(rig.port, **keys), [], intake), intake)


def bad(intake: SlowIntake) -> list[str]:
    return [one.detail for one in intake.seen if one.quality is Quality.BAD and one.value is None]


async def test_a_result_is_acknowledged_only_when_it_is_on_disk(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    intake.disk.clear()
    async with listening(rig, intake):
        await rig.send(summed(LINE) + b"\r\n")
        await intake.waiting.wait()
        assert await rig.silent()
        intake.disk.set()
        assert await rig.heard(1) == ACK
        assert await rig.silent(0.05)
    assert intake.values("rig-1") == [RESULT]
    assert intake.seen[0].detail == LINE.decode()


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (Verdict.ACCEPTED, b"A"), (Verdict.DUPLICATE, b"A"),
        (Verdict.REFUSED, b"N"), (Verdict.QUARANTINED, b"N"),
    ],
)  # fmt: skip
async def test_only_what_is_recorded_is_acknowledged(rig: PtyDevice, verdict: Verdict, answer: bytes) -> None:
    def outcome(observation: Observation) -> Outcome:
        return Outcome(verdict)

    async with listening(rig, SlowIntake("rig-1", outcome), confirm="A", refuse="N"):
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == answer
        assert await rig.silent(0.05)


async def test_a_rig_that_is_refused_for_the_disk_sends_again_and_is_acknowledged(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake):
        intake.failing = True
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == NAK
        intake.failing = False
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == ACK
    assert intake.values("rig-1") == [RESULT]


async def test_a_rig_that_lost_patience_is_answered_what_it_said_last(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    intake.disk.clear()
    other = LINE.replace(b"U-0001", b"U-0002")
    async with listening(rig, intake):
        await rig.send(LINE + b"\r\n")
        await intake.waiting.wait()
        await rig.send(LINE + b"\r\n" + LINE + b"\r\n" + other + b"\r\n")
        assert await rig.silent()
        intake.disk.set()
        assert await rig.heard(1) == ACK, "the other's"
        assert await rig.silent()
    units = [one.value.unit for one in intake.seen if isinstance(one.value, TestResult)]
    assert units == ["U-0001"] * 3 + ["U-0002"]


async def test_a_copy_that_crossed_the_ack_is_not_answered_and_the_next_one_is(rig: PtyDevice) -> None:
    """Its ACK would be taken for that of the next unit."""
    intake = SlowIntake("rig-1")
    other = LINE.replace(b"U-0001", b"U-0002")
    async with listening(rig, intake, baud=115_200):
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == ACK
        await rig.send(LINE + b"\r\n")
        assert await rig.silent(0.3)
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == ACK, "it has not heard the first"
        await rig.send(other + b"\r\n")
        assert await rig.heard(1) == ACK
    assert len(intake.values("rig-1")) == 4


async def test_a_cut_result_is_reported_refused_and_the_next_is_read(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake, idle="100ms"):
        await rig.send(LINE[:30])
        assert await rig.heard(1) == NAK
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == ACK
    assert intake.values("rig-1") == [RESULT]
    [said] = bad(intake)
    assert said.startswith("cut: no end came within 100 ms")
    assert said.endswith(": " + LINE[:30].decode())


async def test_a_cut_result_glued_to_the_next_spoils_only_those_two(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake):
        await rig.send(LINE[:30] + LINE + b"\r\n" + LINE + b"\r\n")
        assert await rig.heard(1) == ACK, "of the last one"
        assert await rig.silent()
    assert intake.values("rig-1") == [RESULT]
    assert len(bad(intake)) == 1


@pytest.mark.parametrize(
    ("behind", "answer"),
    [
        (summed(LINE.replace(b"U-0001", b"U-0002"))[:-2] + b"00\r\n", NAK),
        (b"unit=U-0002;pro", NAK),
        (b"\xf3\xf8\r\n", NAK),
    ],
)
async def test_the_ack_of_a_result_that_was_given_up_is_not_taken_for_that_of_the_next(
    rig: PtyDevice, behind: bytes, answer: bytes
) -> None:
    """A is being recorded when B comes, damaged or half: with the ACK of A the rig would forget B."""
    intake = SlowIntake("rig-1")
    intake.disk.clear()
    async with listening(rig, intake, checksum="xor", idle="200ms"):
        await rig.send(summed(LINE) + b"\r\n")
        await intake.waiting.wait()
        await rig.send(behind)
        intake.disk.set()
        assert await rig.heard(1) == answer
        assert await rig.silent()
        await rig.send(summed(LINE) + b"\r\n")
        assert await rig.heard(1) == ACK
    assert [one for one in intake.values("rig-1") if one] == [RESULT] * 2


async def test_what_waits_in_the_port_counts_also_where_nothing_is_recorded_before_it(rig: PtyDevice) -> None:
    """The agent was stopped for a second: it reads a message that is skipped, and what came after it."""
    intake = SlowIntake("rig-1")
    skipped = b"LOG " + b"x" * 1017 + b"\r\n"  # as long as one read
    columns = {"format": "csv", "separator": ";", "fields": {"unit": 1, "program": 2, "result": 3}}
    async with listening(rig, intake, **columns, columns=3, skip=["LOG x.*"], longest=4096):
        await rig.send(skipped[:300] + b"\r\n" + b"U-1;P;nonsense\r\n")
        assert await rig.heard(1) == NAK
        assert await rig.silent()


async def test_what_has_nothing_to_record_does_not_make_good_what_was_refused_before_it(
    rig: PtyDevice,
) -> None:
    """A rig that ends each report with a line that is skipped: its ACK would be taken for the report's."""
    intake = SlowIntake("rig-1")
    intake.failing = True
    intake.disk.clear()
    async with listening(rig, intake, skip=["END"]):
        await rig.send(LINE + b"\r\n")
        await intake.waiting.wait()
        await rig.send(b"END\r\n")
        intake.disk.set()
        assert await rig.heard(1) == NAK
        intake.failing = False
        intake.disk.clear()
        await rig.send(LINE + b"\r\nEND\r\n")
        intake.disk.set()
        assert await rig.heard(1) == ACK
    assert intake.values("rig-1") == [RESULT]


async def test_control_characters_between_results_wait_for_no_answer(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake, begin="\x02", end="\x03"):
        for number in (1, 2):
            await rig.send(b"\x02" + LINE.replace(b"number=1", b"number=%d" % number) + b"\x03\x04\x00\r\n")
            assert await rig.heard(1) == ACK


async def test_a_broken_result_is_refused_also_when_its_report_is_recorded(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake):
        await rig.send(b"unit=U-1;program=\x1b[2J;result=PASS" + b"x" * 500 + b"\r\n")
        assert await rig.heard(1) == NAK
    [said] = bad(intake)
    assert said.isprintable()
    assert "a control character" in said
    assert r"\x1b[2J" in said
    assert len(said) < 300


async def test_an_unplugged_rig_is_lost_and_a_result_in_flight_is_reported(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    async with listening(rig, intake) as source:
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == ACK
        rig.unplug()
        lost = await source
    assert isinstance(lost, SourceLost)
    assert rig.port in str(lost)


async def test_what_waited_in_the_port_is_refused_so_that_it_is_sent_again(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    await rig.send(LINE + b"\r\n")
    async with listening(rig, intake):
        assert await rig.heard(1) == NAK
        await rig.send(LINE + b"\r\n")
        assert await rig.heard(1) == ACK
    assert intake.values("rig-1") == [RESULT]
    [said] = bad(intake)
    assert "before the agent listened" in said


async def test_what_waited_is_taken_where_it_would_not_be_sent_again(rig: PtyDevice) -> None:
    intake = SlowIntake("rig-1")
    await rig.send(LINE + b"\r\n")
    async with listening(rig, intake, handshake="none"):
        await intake.until(lambda: bool(intake.seen))
        assert await rig.silent()
    assert intake.values("rig-1") == [RESULT]
