"""The scanner over a pty: a label is confirmed when it is on disk, and never a piece of one."""

import asyncio
import random
import termios
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import serial_scanner
from adapters._frames import BEGUN_AGAIN, DOUBTFUL, NOISE
from adapters._stream import STALE
from adapters.serial_scanner import Settings, label
from edge.contract import Observation, Outcome, Quality, SourceLost, Verdict
from tests.support.ptys import PtyDevice, SlowIntake, running

ACK, NAK = b"\x06", b"\x15"


@pytest.fixture
def gun(tmp_path: Path):  # type: ignore[no-untyped-def]
    device = PtyDevice(tmp_path / "usb-ACME_gun-if00")
    yield device
    device.unplug()


def settings(gun: PtyDevice, **keys: object) -> Settings:
    return Settings.model_validate({"type": "serial-scanner", "port": gun.port, **keys})


def listening(settings: Settings, intake: SlowIntake):  # type: ignore[no-untyped-def]
    return running(serial_scanner.collect(settings, [], intake), intake)


def by_text(observation: Observation) -> Outcome:
    verdicts = {"again": Verdict.DUPLICATE, "no": Verdict.REFUSED, "odd": Verdict.QUARANTINED}
    return Outcome(verdicts.get(str(observation.value), Verdict.ACCEPTED))


def broken(intake: SlowIntake) -> list[str]:
    assert all(one.value is None for one in intake.seen if one.quality is Quality.BAD)
    return [one.detail for one in intake.seen if one.quality is Quality.BAD]


async def test_a_label_is_confirmed_only_when_it_is_on_disk(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    intake.disk.clear()
    async with listening(settings(gun), intake):
        await gun.send(b"$JWO1001-20\r\n")
        await intake.waiting.wait()
        assert await gun.silent()
        intake.disk.set()
        assert await gun.heard(1) == ACK
        assert await gun.silent()
    assert intake.values("gun-1") == ["$JWO1001-20"]
    assert intake.seen[0].quality is Quality.GOOD
    assert intake.connections == 1


async def test_the_scan_is_stamped_when_it_arrives_not_when_its_turn_comes(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    intake.disk.clear()
    async with listening(settings(gun), intake):
        await gun.send(b"one\r")
        await intake.waiting.wait()
        await gun.send(b"two\r")
        assert await gun.silent(0.2)
        released_ms = intake.observe("gun-1", None).mono_ms
        intake.disk.set()
        assert await gun.heard(2) == ACK * 2
    assert intake.seen[1].value == "two"
    assert intake.seen[1].mono_ms <= released_ms - 100


@pytest.mark.parametrize(
    ("sent", "keys", "answer"),
    [
        (b"yes\r", {}, ACK),
        (b"again\r", {}, ACK + b"\x07"),
        (b"no\r", {}, NAK),
        (b"odd\r", {}, NAK),
        (b"yes\r", {"confirm": "OK\r\n"}, b"OK\r\n"),
        (b"again\r", {"confirm": "OK\r\n"}, b"OK\r\n"),
        (b"again\r", {"duplicate": "\x07\xff"}, b"\x07\xff"),
        (b"no\r", {"refuse": "\x1b[3q"}, b"\x1b[3q"),
        (b"yes\r", {"feedback": "honeywell"}, b"\x1b7,"),
        (b"again\r", {"feedback": "honeywell"}, b"\x1b4,\x1b4,"),
        (b"no\r", {"feedback": "honeywell"}, b"\x1b8,"),
        (b"yes\r", {"feedback": "zebra"}, ACK),
        (b"again\r", {"feedback": "zebra"}, ACK + b"\x07"),
        (b"odd\r", {"feedback": "zebra"}, ACK + b"\x07\x07\x07"),
        (b"again\r", {"feedback": "datalogic"}, b"\x1b[1q\x1b[1q\r"),
        (b"no\r", {"feedback": "datalogic", "refuse": "F"}, b"F"),
    ],
)
async def test_the_answer_follows_the_outcome(
    gun: PtyDevice, sent: bytes, keys: dict[str, str], answer: bytes
) -> None:
    intake = SlowIntake("gun-1", by_text)
    async with listening(settings(gun, **keys), intake):
        await gun.send(sent)
        assert await gun.heard(len(answer)) == answer
        assert await gun.silent(0.05)


async def test_an_empty_answer_is_not_written(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1", by_text)
    async with listening(settings(gun, confirm="", duplicate=""), intake):
        await gun.send(b"yes\ragain\rno\r")
        assert await gun.heard(1) == NAK
    assert intake.values("gun-1") == ["yes", "again", "no"]


@pytest.mark.parametrize("feedback", ["ack", "honeywell", "zebra", "datalogic", "none"])
def test_the_answers_differ_where_the_gun_allows(feedback: str) -> None:
    gun = Settings.model_validate({"type": "serial-scanner", "port": "/dev/gun", "feedback": feedback})
    answers = [gun.confirm, gun.duplicate, gun.refuse, gun.unrecorded]
    assert len(set(answers)) == {"ack": 3, "none": 1}.get(feedback, 4)
    assert (not any(answers)) == (feedback == "none")


def test_own_answers_go_before_those_of_the_maker() -> None:
    own = {"type": "serial-scanner", "port": "/dev/gun", "feedback": "honeywell"}
    gun = Settings.model_validate(own | {"refuse": "no", "confirm": "ok"})
    assert (gun.confirm, gun.duplicate, gun.refuse, gun.unrecorded) == ("ok", "ok", "no", "no")
    with pytest.raises(ValidationError, match="feedback"):
        Settings.model_validate(own | {"feedback": "honeywel"})


async def test_a_beat_is_neither_a_label_nor_answered(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, singles="\x05"), intake):
        await gun.send(b"\x05\x05one\r\x05")
        assert await gun.heard(1) == ACK
        assert await gun.silent()
    assert [one.value for one in intake.seen] == ["one"]


async def test_a_label_between_a_prefix_and_a_suffix(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, begin="\x02", end="\x03", idle="20s"), intake):
        await gun.send(b"\x02one\x03\r\n\x02tw\x02three\x03")
        assert await gun.heard(3) == ACK + NAK + ACK
        await gun.send(b"??\x02four\x03")
        assert await gun.heard(2) == NAK + ACK
    assert intake.values("gun-1") == ["one", "three", "four"]
    assert broken(intake) == [f"{BEGUN_AGAIN}: tw", f"{NOISE}: ??"]


async def test_a_label_that_only_a_pause_ends(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, end="idle", idle="60ms"), intake):
        await gun.send(b"on")
        await gun.send(b"e")
        assert await gun.heard(1) == ACK
        await gun.send(b"two")
        assert await gun.heard(1) == ACK
    assert intake.values("gun-1") == ["one", "two"]


async def test_where_a_pause_is_the_end_a_busy_agent_believes_nothing(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, end="idle", idle="60ms"), intake):
        await gun.send(b"one")
        time.sleep(0.1)  # the loop is away: that a pause is over it cannot see
        await gun.send(b"two")
        assert await gun.heard(1) == NAK
        assert await gun.silent(0.1)
        await gun.send(b"three")
        assert await gun.heard(1) == ACK
    assert intake.values("gun-1") == ["three"]
    [said] = broken(intake)
    assert said in (f"{DOUBTFUL}: onetwo", f"{DOUBTFUL}: one")  # as the kernel hands the bytes over


async def test_what_could_not_be_recorded_is_refused_and_the_next_is_read(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, unrecorded="!"), intake):
        intake.failing = True
        await gun.send(b"lost\r")
        assert await gun.heard(1) == b"!"
        intake.failing = False
        await gun.send(b"kept\r")
        assert await gun.heard(1) == ACK
    assert intake.values("gun-1") == ["kept"]


async def test_two_equal_labels_have_two_answers(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun), intake):
        await gun.send(b"$CSCRAP\r$CSCRAP\r")
        assert await gun.heard(2) == ACK * 2
    assert intake.values("gun-1") == ["$CSCRAP"] * 2


async def test_a_label_cut_by_a_pause_is_refused_and_not_glued_to_the_next(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, idle="100ms"), intake):
        await gun.send(b"$JWO10")
        assert await gun.heard(1) == NAK
        await gun.send(b"$JWO1002-20\r")
        assert await gun.heard(1) == ACK
    assert intake.values("gun-1") == ["$JWO1002-20"]
    [said] = broken(intake)
    assert said == "cut: no end came within 100 ms of the last byte; does the device send `end`?: $JWO10"


async def test_a_label_without_an_end_is_cut_and_its_tail_is_no_label(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, longest=8, idle="20s"), intake):
        await gun.send(b"ABCDEFGHIJ")
        assert await gun.heard(1) == NAK
        await gun.send(b"KLM\rNEXT\r")
        assert await gun.heard(1) == ACK
    assert intake.values("gun-1") == ["NEXT"]
    assert len(broken(intake)) == 1
    assert broken(intake)[0].endswith(": ABCDEFGH")


async def test_a_damaged_byte_spoils_its_label(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun), intake):
        await gun.send(b"AB\x00D\r")
        assert await gun.heard(1) == NAK
    assert [one.endswith(r": AB\x00D") for one in broken(intake)] == [True]


async def test_control_characters_are_data_and_foreign_bytes_are_escaped(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    gs1 = b"[)>\x1e06\x1d1P123\x1dS7\x1e\x04"
    async with listening(settings(gun), intake):
        await gun.send(gs1 + b"\r" + "Gr\u00f6\u00dfe".encode() + b"\r\xb0C\r\x03\x11\x13\x7f\r")
        await gun.heard(4)
    assert intake.values("gun-1") == [gs1.decode(), "Gr\u00f6\u00dfe", "\\xb0C", "\x03\x11\x13\x7f"]


@given(st.binary(min_size=1, max_size=100))
def test_every_byte_becomes_text(raw: bytes) -> None:
    text = label(raw)
    assert text.encode()


async def test_what_waited_in_the_port_is_refused_and_does_nothing(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    await gun.send(b"$CDONE\r$JWO9")
    async with listening(settings(gun), intake):
        assert await gun.heard(1) == NAK
        await gun.send(b"$JWO1001-20\r")
        assert await gun.heard(1) == ACK
    assert intake.values("gun-1") == ["$JWO1001-20"]
    assert broken(intake) == [STALE.format(count=1) + ": $CDONE"]


async def test_what_the_device_pours_out_at_the_opening_is_thrown_away(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")

    async def pour() -> None:
        while not termios.tcgetattr(gun.far_fd)[0] & termios.INPCK:  # set by the opening
            await asyncio.sleep(0.001)
        for _ in range(10):
            await gun.send(b"old\r")
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        pouring = group.create_task(pour())
        async with listening(settings(gun), intake):
            assert pouring.done()
            assert await gun.heard(1) == NAK
            await gun.send(b"new\r")
            assert await gun.heard(1) == ACK
    assert intake.values("gun-1") == ["new"]
    assert broken(intake) == [STALE.format(count=10) + ": old"]


@pytest.mark.parametrize(("idle", "tail"), [("20s", b"y\r"), ("100ms", b"")])
async def test_a_chattering_line_is_joined_at_the_next_end_or_pause(
    gun: PtyDevice, idle: str, tail: bytes
) -> None:
    intake = SlowIntake("gun-1")

    async def chatter() -> None:
        while not intake.open.is_set():
            await gun.send(b"x")
            await asyncio.sleep(0.01)
        await gun.send(tail)

    async with asyncio.TaskGroup() as group:
        chattering = group.create_task(chatter())
        async with listening(settings(gun, idle=idle), intake):
            await chattering
            assert await gun.silent(0.3)
            await gun.send(b"whole\r")
            assert await gun.heard(1) == ACK
    assert [one.value for one in intake.seen] == ["whole"]


async def test_an_unplugged_gun_is_lost_with_a_sentence_and_comes_back(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun), intake) as source:
        gun.unplug()
        lost = await source
    assert isinstance(lost, SourceLost)
    assert str(lost) == f"gun-1: {gun.port} hung up; was the device unplugged or switched off?"
    gun.plug()
    intake.open.clear()
    async with listening(settings(gun), intake):
        await gun.send(b"back\r")
        assert await gun.heard(1) == ACK
    assert intake.connections == 2
    assert intake.values("gun-1") == ["back"]


async def test_labels_that_arrived_before_the_plug_was_pulled_are_recorded(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    intake.disk.clear()
    async with listening(settings(gun), intake) as source:
        await gun.send(b"one\rtwo\rthr")
        await intake.waiting.wait()
        gun.unplug()
        begun_s = time.thread_time()
        await asyncio.sleep(0.2)
        assert time.thread_time() - begun_s < 0.1, "the loop spins on a dead port"
        intake.disk.set()
        assert isinstance(await source, SourceLost)
    assert intake.values("gun-1") == ["one", "two"]
    assert broken(intake) == ["cut: the line hung up in the middle: thr"]


async def test_an_answer_that_is_not_taken_within_a_second_loses_the_port(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    async with listening(settings(gun), intake) as source:
        termios.tcflow(gun.far_fd, termios.TCOOFF)
        await gun.send(b"stuck\rnext\r")
        lost = await source
        termios.tcflow(gun.far_fd, termios.TCOON)
    assert isinstance(lost, SourceLost)
    assert f"{gun.port} took no answer for 1 s" in str(lost)
    assert intake.values("gun-1") == ["stuck", "next"]


async def test_cancelling_frees_the_port_at_any_time(gun: PtyDevice) -> None:
    for turns in (0, 1, 2, 5):
        collect = serial_scanner.collect(settings(gun), [], SlowIntake("gun-1"))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(collect)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
    intake = SlowIntake("gun-1")
    intake.disk.clear()
    async with listening(settings(gun), intake):
        await gun.send(b"a\r")
        await intake.waiting.wait()
    assert await gun.silent()
    again = SlowIntake("gun-1")
    async with listening(settings(gun), again):
        await gun.send(b"b\r")
        assert await gun.heard(1) == ACK


async def test_a_flood_while_the_disk_is_slow_is_bounded_and_owned_up_to(gun: PtyDevice) -> None:
    intake = SlowIntake("gun-1")
    intake.disk.clear()
    async with listening(settings(gun), intake):
        for number in range(2000):
            await gun.send(b"L%d\r" % number)
        await intake.waiting.wait()
        assert await gun.silent()
        intake.disk.set()
        await intake.until(lambda: bool(broken(intake)))
        heard = await gun.heard(len(intake.seen))
    kept = intake.values("gun-1")
    assert kept == [f"L{number}" for number in range(len(kept))]
    [said] = broken(intake)
    assert said == f"{2000 - len(kept)} more came than could be kept while recording"
    assert 900 < len(kept) < 1100
    assert heard == ACK * len(kept) + NAK


async def test_any_bytes_in_any_chunks_over_the_wire(gun: PtyDevice) -> None:
    dice = random.Random(4711)
    # No NUL, and never 20 bytes without an end, so that every piece is a label.
    labels = [bytes(dice.choices(range(1, 256), k=dice.randint(1, 20))) for _ in range(400)]
    labels = [one.replace(b"\r", b".").replace(b"\n", b".") for one in labels]
    stream = b"".join(one + dice.choice([b"\r", b"\n", b"\r\n"]) for one in labels)
    intake = SlowIntake("gun-1")
    async with listening(settings(gun, longest=20, idle="20s"), intake):
        while stream:
            size = dice.randint(1, 40)
            await gun.send(stream[:size])
            stream = stream[size:]
            if dice.random() < 0.5:
                await asyncio.sleep(0)
        await intake.until(lambda: len(intake.seen) == len(labels))
    assert intake.values("gun-1") == [label(one) for one in labels]
