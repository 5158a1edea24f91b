"""The test rig: the grammar alone, then over a pty."""

from pathlib import Path

import pytest

from adapters import testrig
from edge.contract import Observation, Outcome, Quality, SourceLost, TestResult, Verdict
from tests.adapters.testrig_support import LINE, RESULT, settings, summed
from tests.support.ptys import PtyDevice, SlowIntake, running

ACK, NAK = b"\x06", b"\x15"


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
