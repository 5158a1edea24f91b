"""Open Protocol: the messages alone, then against a controller in its own process, and hostile ones."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import open_protocol
from adapters._open_protocol import (
    LAYOUTS,
    Broken,
    Message,
    Reading,
    accepted,
    command_error,
    decode,
    encode,
    tightening,
)
from adapters._open_protocol_link import connect_failure
from adapters.open_protocol import Settings
from edge.contract import (
    Observation,
    Outcome,
    Quality,
    SourceError,
    SourceLost,
    SourceRefused,
    TestResult,
    Verdict,
)
from simulators.launch import Running, simulator
from simulators.records import Tightened, TighteningAcked, read_tightenings
from simulators.torque import Joint, message, result
from tests.support.agent import running_agent, whole_lines
from tests.support.intake import MemoryIntake

JOINT = Joint(4711, "U-0001", 4, 2, 20.04, 61, datetime(2026, 5, 4, 6, 12, 9))


def settings(port: int = 4545, **keys: object) -> Settings:
    table = {"type": "open-protocol", "connect": f"127.0.0.1:{port}", **keys}
    return Settings.model_validate(table)


def read(raw: bytes) -> Message:
    return decode(raw.removesuffix(b"\0"))


def taken(raw: bytes, **reading: object) -> TestResult:
    return tightening(read(raw), Reading(**reading)).result  # type: ignore[arg-type]


# --- messages -------------------------------------------------------------------------------

texts = st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=300)


@given(st.integers(0, 9999), st.integers(1, 999), texts)
def test_a_message_that_is_written_is_read(mid: int, revision: int, data: str) -> None:
    assert read(encode(Message(mid, revision, data))) == Message(mid, revision, data)


def test_a_header_is_that_of_the_specification() -> None:
    assert encode(Message(1)) == b"00200001001         \0"
    assert encode(Message(60, 3)) == b"00200060003         \0"
    assert read(b"00240005            0060\0") == Message(5, 1, "0060")
    assert read(b"00570002001         010001020103torque-1                 \0").mid == 2


def said_of(raw: bytes) -> str:
    """Why bytes are no result; empty where they are one."""
    try:
        found = tightening(decode(raw), Reading()).result
    except Broken as error:
        return str(error)
    assert found.number is not None
    assert {step.name for step in found.steps} == {"torque", "angle"}
    return ""


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_broken(raw: bytes) -> None:
    said = said_of(raw)
    assert "\0" not in said


@given(st.sampled_from([1, 2, 3, 4]), st.integers(0, 600), st.integers(0, 255))
def test_one_wrong_byte_is_a_result_or_broken(revision: int, at: int, byte: int) -> None:
    raw = bytearray(result(JOINT, revision).removesuffix(b"\0"))
    raw[at % len(raw)] = byte
    said_of(bytes(raw))


@given(st.sampled_from([1, 2, 3, 4]), st.integers(1, 600))
def test_a_result_that_was_cut_is_broken(revision: int, lost: int) -> None:
    raw = result(JOINT, revision).removesuffix(b"\0")
    assert said_of(raw[: max(0, len(raw) - lost)])
    body = raw[20 : max(20, len(raw) - lost)]
    assert said_of(b"%04d" % (20 + len(body)) + raw[4:20] + body)  # and its length says nothing


@pytest.mark.parametrize("revision", LAYOUTS)
def test_each_revision_says_the_same(revision: int) -> None:
    found = tightening(read(result(JOINT, revision)), Reading())
    torque, angle = found.result.steps
    assert (found.result.unit, found.result.program, found.result.passed) == ("U-0001", "7/2", True)
    assert found.result.number == "4711"
    assert (torque.value, torque.low, torque.high, torque.unit_of_measure) == (20.04, 18.0, 22.0, "Nm")
    assert (angle.value, angle.low, angle.high, angle.unit_of_measure) == (61.0, 30.0, 90.0, "deg")
    assert (torque.passed, angle.passed) == (True, True)
    assert found.at == datetime(2026, 5, 4, 6, 12, 9)


@pytest.mark.parametrize("revision", LAYOUTS)
def test_a_layout_is_numbered_without_a_gap_and_has_the_length_of_the_specification(revision: int) -> None:
    sizes = {1: 231, 2: 385, 3: 419, 4: 500}
    assert len(result(JOINT, revision)) - 1 == sizes[revision]
    assert 20 + sum(2 + size for _, size in LAYOUTS[revision]) == sizes[revision]


def test_a_failed_joint_is_the_same_program_when_it_is_made_again() -> None:
    failed = Joint(4712, "U-0001", 4, 1, 17.0, 61, JOINT.at)
    assert (taken(result(failed, 2)).program, taken(result(failed, 2)).passed) == ("7/2", False)
    assert taken(result(failed, 2)).steps[0].passed is False
    assert taken(result(failed, 2), counts="all").program == "7/1"
    assert taken(result(failed, 2), counts="none").program == "7"
    assert taken(result(Joint(1, "U", 1, 0, 20.0, 60, JOINT.at), 1)).program == "7"


def test_loosening_is_a_measurement_and_no_test() -> None:
    raw = result(JOINT, 3).replace(b"4901", b"4902")
    found = taken(raw)
    assert (found.program, found.passed) == ("7/2 loosening", None)
    assert [(step.low, step.high, step.passed) for step in found.steps] == [(None, None, None)] * 2


def test_limits_that_a_parameter_set_has_not() -> None:
    raw = read(result(JOINT, 1)).data.replace("12001800", "12000000").replace("13002200", "13999999")
    torque, _ = tightening(Message(61, 1, raw), Reading()).result.steps
    assert (torque.low, torque.high) == (None, None)
    raw = read(result(JOINT, 1)).data.replace("13002200", "13000000")
    torque, _ = tightening(Message(61, 1, raw), Reading()).result.steps
    assert (torque.low, torque.high) == (18.0, None)


def test_the_units_of_torque() -> None:
    assert taken(result(JOINT, 1), torque_unit="Ncm").steps[0].unit_of_measure == "Ncm"
    assert taken(result(JOINT, 3).replace(b"481", b"482")).steps[0].unit_of_measure == "ft.lbf"


def test_which_identifier_is_the_unit() -> None:
    assert taken(result(JOINT, 1), unit="scanned").unit == ""
    raw = result(JOINT, 4).replace(b"51" + b" " * 25, b"51" + b"SN-77".ljust(25))
    assert taken(raw, unit="part-3").unit == "SN-77"
    with pytest.raises(Broken, match="has no part-2; it comes with revision 4"):
        taken(result(JOINT, 3), unit="part-2")


def test_a_later_revision_is_read_as_far_as_it_is_known() -> None:
    data = read(result(JOINT, 4)).data + "53" + "E017"
    assert tightening(Message(61, 5, data), Reading()).result.number == "4711"
    with pytest.raises(Broken, match="6 bytes more than revision 4 has"):
        tightening(Message(61, 4, data), Reading())


def test_errors_and_acceptances() -> None:
    assert str(command_error(Message(4, 1, "000196"))) == "error 96, a client is connected already"
    assert command_error(Message(4, 1, "006097")).mid == 60
    assert "see the controller" in str(command_error(Message(4, 1, "006042")))
    assert accepted(Message(5, 1, "0060")) == 60
    for wrong in (Message(4, 1, "9"), Message(4, 1, "00609x")):
        with pytest.raises(Broken):
            command_error(wrong)
    with pytest.raises(Broken):
        accepted(Message(5))


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connect", "owned"),
    [
        ("10.0.0.7", "open-protocol 10.0.0.7:4545"), ("10.0.0.7:9101", "open-protocol 10.0.0.7:9101"),
        ("torque.plant", "open-protocol torque.plant:4545"), ("[fd00::7]:9101", "open-protocol fd00::7:9101"),
        ("[fd00::7]", "open-protocol fd00::7:4545"),
    ],
)  # fmt: skip
def test_addresses(connect: str, owned: str) -> None:
    assert Settings.model_validate({"type": "open-protocol", "connect": connect}).owns() == [owned]


@pytest.mark.parametrize(
    "table",
    [
        {"connect": ""}, {"connect": "host:0"}, {"connect": "host:x"}, {"connect": "fd00::7"},
        {"connect": "a b"},
        {"keep_alive": "20s"}, {"revision": 8}, {"unit": "part-2", "revision": 3}, {"unit": "serial"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"type": "open-protocol", "connect": "10.0.0.7", **table})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "x"), "no name that is known"),
        (ConnectionRefusedError(), "refuses the connection"), (TimeoutError(), "does not answer"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)  # fmt: skip
def test_every_error_of_connecting_is_a_sentence(error: OSError, words: str) -> None:
    said = connect_failure("torque-1", settings().peer(), error)
    assert isinstance(said, SourceLost)
    assert words in said.reason


# --- against a controller -------------------------------------------------------------------


@asynccontextmanager
async def collecting(of: Settings, intake: MemoryIntake) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(open_protocol.collect(of, [], intake))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def kept_collecting(of: Settings, intake: MemoryIntake) -> None:
    """As the supervisor does it."""
    while True:
        try:
            await open_protocol.collect(of, [], intake)
        except SourceError:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def kept(of: Settings, intake: MemoryIntake) -> AsyncIterator[None]:
    task = asyncio.ensure_future(kept_collecting(of, intake))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def controller(truth: Path, *options: str) -> AsyncIterator[Running]:
    quick = ("--cycle", "0.01", "--patience", "0.3", "--truth", str(truth), *options)
    async with simulator("torque", *quick) as running:
        await running.do("start")
        yield running


class OnceIntake(MemoryIntake):
    """A journal that knows what it has: the same detail again is a duplicate."""

    def __init__(self) -> None:
        self.details: list[str] = []
        super().__init__("torque-1", self._judge)

    def _judge(self, observation: Observation) -> Outcome:
        if observation.quality is not Quality.GOOD:
            return Outcome(Verdict.REFUSED)
        known = observation.detail in self.details
        self.details += [] if known else [observation.detail]
        return Outcome(Verdict.DUPLICATE if known else Verdict.ACCEPTED)

    def results(self) -> list[TestResult]:
        """Each once, in order."""
        found = {one.value.number: one.value for one in self.seen if isinstance(one.value, TestResult)}
        return list(found.values())


def made(truth: Path) -> dict[str, tuple[str, bool, float]]:
    lines = [one for one in read_tightenings(truth) if isinstance(one, Tightened)]
    return {str(one.number): (one.unit, one.ok, one.torque_nm) for one in lines}


def acknowledged(truth: Path) -> list[str]:
    return [str(one.number) for one in read_tightenings(truth) if isinstance(one, TighteningAcked)]


def got(intake: OnceIntake) -> dict[str, tuple[str, bool, float]]:
    return {
        str(one.number): (one.unit, one.passed is True, one.steps[0].value or 0.0) for one in intake.results()
    }


@pytest.mark.parametrize("knows", ["1", "2", "3", "4"])
async def test_results_arrive_whatever_revision_the_controller_knows(knows: str, tmp_path: Path) -> None:
    intake, truth = OnceIntake(), tmp_path / "truth"
    async with (
        controller(truth, "--revision", knows, "--fail", "0.3") as torque,
        collecting(settings(torque.where.port), intake),
    ):
        await intake.until(lambda: len(intake.details) >= 12)
    assert intake.connections == 1
    assert got(intake).items() <= made(truth).items()
    assert set(acknowledged(truth)) <= set(got(intake))


FAULTS = ["--cut", "--merge", "--double", "--hang-up"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_result_once_whatever_goes_wrong(fault: str, tmp_path: Path) -> None:
    intake, truth = OnceIntake(), tmp_path / "truth"
    async with controller(truth, fault, "3") as torque, kept(settings(torque.where.port), intake):
        await intake.until(lambda: len(intake.details) >= 10)
    assert list(got(intake)) == [str(number) for number in range(1, len(got(intake)) + 1)]
    assert got(intake).items() <= made(truth).items()
    broken = [one.detail for one in intake.seen if one.quality is Quality.BAD]
    assert bool(broken) == (fault in ("--cut", "--merge"))
    assert all("says that it has" in one for one in broken)


async def test_what_is_not_on_disk_is_not_acknowledged_and_comes_again(tmp_path: Path) -> None:
    intake, truth = OnceIntake(), tmp_path / "truth"
    intake.failing = True
    async with controller(truth) as torque, kept(settings(torque.where.port, answer="1s"), intake):
        async with asyncio.timeout(10):
            while intake.connections < 2:  # three times unanswered, then it hangs up
                await asyncio.sleep(0.02)
        assert acknowledged(truth) == []
        intake.failing = False
        await intake.until(lambda: len(intake.details) >= 3)
    assert list(got(intake))[:3] == ["1", "2", "3"]


async def test_a_result_that_the_core_refused_is_not_acknowledged(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    intake = MemoryIntake("torque-1", lambda observation: Outcome(Verdict.QUARANTINED))
    async with controller(truth) as torque, collecting(settings(torque.where.port), intake) as task:
        with pytest.raises(SourceLost, match="hung up"):
            await task
    assert [one.value for one in intake.seen] == [intake.seen[0].value] * 3
    assert acknowledged(truth) == []


async def test_a_second_client_is_told_why_it_gets_nothing(tmp_path: Path) -> None:
    intake = OnceIntake()
    async with controller(tmp_path / "truth") as torque:
        of = settings(torque.where.port)
        async with collecting(of, intake):
            await intake.until(lambda: bool(intake.details))
            with pytest.raises(SourceRefused, match="error 96, a client is connected already; end the other"):
                await open_protocol.collect(of, [], OnceIntake())


async def test_it_says_goodbye_so_that_the_controller_keeps_no_place_for_it() -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        heard.append((await reader.readuntil(b"\0"))[4:8])

    intake = OnceIntake()
    async with server(talk) as port:
        async with collecting(settings(port), intake):
            async with asyncio.timeout(10):
                while not intake.connections:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
    assert heard == [b"0003"]


async def test_a_quiet_controller_is_kept_awake_and_keeps_the_connection(tmp_path: Path) -> None:
    intake = OnceIntake()
    async with controller(tmp_path / "truth", "--silence", "0.4", "--cycle", "1.5") as torque:
        of = settings(torque.where.port, keep_alive="100ms", answer="1s")
        async with collecting(of, intake):
            await intake.until(lambda: len(intake.details) >= 2)
    assert intake.connections == 1


async def test_a_result_that_waited_has_the_time_at_which_it_was_made(tmp_path: Path) -> None:
    """The controller's clock is two hours slow, and the first joint was made before anybody listened."""
    intake, truth = OnceIntake(), tmp_path / "truth"
    async with controller(truth, "--slow", "7200") as torque:
        await asyncio.sleep(4.5)  # the joint's age is what is tested
        async with collecting(settings(torque.where.port), intake):
            await intake.until(lambda: len(intake.details) >= 2)
    waited, live = intake.seen[:2]
    first = next(one for one in read_tightenings(truth) if isinstance(one, Tightened))
    assert abs(waited.at_ms - first.made_ms) < 1_500
    assert live.at_ms == live.seen_ms


# --- hostile controllers --------------------------------------------------------------------

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    done = asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
            await done.wait()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(once, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        done.set()
        await asyncio.sleep(0)


def saying(*answers: bytes) -> Talk:
    """One answer a message; then silence."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\0")
            writer.write(answer)

    return talk


STARTED = message(2, f"010001020103{'torque-1':25}")
HELLO = (STARTED, message(5, "0060"), message(4, "008099"))


async def lost(talk: Talk, intake: MemoryIntake | None = None, **keys: object) -> SourceError:
    async with server(talk) as port:
        of = settings(port, answer="300ms", keep_alive="200ms", **keys)
        with pytest.raises(SourceError) as caught:
            await asyncio.wait_for(open_protocol.collect(of, [], intake or OnceIntake()), 10)
    return caught.value


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([], "does not answer MID 0001; is this its Open Protocol port"),
        ([b"x" * 20_000], "more than 9999 bytes without an end; does it speak"),
        ([b"HTTP/1.1 400 Bad Request\r\n\0"], "does not answer MID 0001"),
        ([message(4, "000197")], "refuses the connection: error 97"),
        ([STARTED], "does not answer MID 0060"),
        (
            [STARTED, message(4, "006092")],
            "gives no results .MID 0060.: error 92, Open Protocol commands are",
        ),
        ([STARTED, *[message(4, "006097")] * 4], "no results of revision 4, 3, 2, 1; see `revision`"),
        ([STARTED, message(15) * 100], "talks without answering"),
        ([*HELLO], "has been silent for 0.5 s, asked whether it is there"),
        ([*HELLO[:2], b"0231006"], "does not answer MID 0080"),
    ],
)
async def test_what_a_controller_may_say_instead(answers: list[bytes], words: str) -> None:
    assert re.search(words, (await lost(saying(*answers))).reason)


async def test_a_subscription_that_exists_already_is_one() -> None:
    answers = [STARTED, message(4, "006009"), message(4, "008099"), message(9999)]
    assert "silent" in (await lost(saying(*answers))).reason


async def test_an_older_revision_is_asked_for_after_a_refusal() -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (STARTED, message(4, "006097"), message(4, "006074"), *HELLO[1:]):
            heard.append(await reader.readuntil(b"\0"))
            writer.write(answer)

    await lost(talk)
    assert [one[4:11] for one in heard] == [b"0001001", b"0060004", b"0060003", b"0060002", b"0080001"]


async def test_a_controller_without_power_is_noticed_and_one_that_hangs_up_in_a_message_too() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        writer.write(result(JOINT, 1)[:100])
        await writer.drain()
        writer.close()

    assert "hung up; was it switched off" in (await lost(reset)).reason
    assert "hung up in the middle of a message" in (await lost(half)).reason


async def test_copies_that_crossed_the_acknowledgement_are_acknowledged_once() -> None:
    """The second MID 0062 would be taken for that of the next result."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        writer.write(result(JOINT, 1) * 3)
        while True:
            heard.append((await reader.readuntil(b"\0"))[4:8])
            writer.write(message(9999) if heard[-1] == b"9999" else b"")
            if heard.count(b"9999") == 2:
                return

    intake = OnceIntake()
    await lost(talk, intake)
    assert len(intake.seen) == 3
    assert heard.count(b"0062") == 1


async def test_a_clock_that_says_nonsense_is_not_believed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(STARTED, message(5, "0060"), message(81, "2026-99-99:00:00:00"))(reader, writer)
        writer.write(result(JOINT, 1))

    intake = OnceIntake()
    await lost(talk, intake)
    assert intake.seen[0].at_ms == intake.seen[0].seen_ms


async def test_a_clock_that_was_set_between_is_asked_again() -> None:
    """The summer time ended after the connection: a result of now would look an hour old."""
    after = JOINT.at + timedelta(hours=1)
    clocks = [
        message(81, after.strftime("%Y-%m-%d:%H:%M:%S")),
        message(81, JOINT.at.strftime("%Y-%m-%d:%H:%M:%S")),
    ]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(STARTED, message(5, "0060"), clocks[0])(reader, writer)
        writer.write(result(JOINT, 1))
        assert (await reader.readuntil(b"\0"))[4:8] == b"0080"
        writer.write(clocks[1])

    intake = OnceIntake()
    await lost(talk, intake)
    assert intake.seen[0].at_ms == intake.seen[0].seen_ms


async def test_nobody_there(unused_tcp_port: int) -> None:
    with pytest.raises(SourceLost, match="refuses the connection; is Open Protocol switched on"):
        await open_protocol.collect(settings(unused_tcp_port), [], OnceIntake())


# --- the whole agent ------------------------------------------------------------------------

AGENT = """
[line]
name = "line-1"
badge = "optional"

[source.torque-1]
type = "open-protocol"
connect = "127.0.0.1:{port}"

[[station]]
name = "bolting"
ideal_cycle = "10s"
rig = "torque-1"

[sink.file]
type = "file"
"""


def recorded(folder: Path) -> list[tuple[str, str, bool]]:
    """Number, unit and verdict of each test event in the file sink, by the event's id."""
    found = {}
    for path in sorted((folder / "data/out/file").glob("*.jsonl")):
        for event in whole_lines(path):
            if event["type"] == "test":
                data = event["data"]
                found[event["id"]] = (data["number"], data["unit"], data["passed"])
    return list(found.values())


def has_recorded(folder: Path, number: int) -> bool:
    return len(recorded(folder)) >= number


async def test_the_agent_records_each_tightening_once_however_often_it_is_killed(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    async with controller(truth, "--fail", "0.3", "--double", "5") as torque:
        port = torque.where.port
        for kills in range(1, 4):
            async with running_agent(tmp_path, AGENT.format(port=port)) as running:
                await running.until(partial(has_recorded, tmp_path, kills * 20))
                running.process.kill()
                await running.process.wait()
        async with running_agent(tmp_path, AGENT.format(port=port)) as running:
            await running.until(partial(has_recorded, tmp_path, 80))
            await torque.do("stop")
            await running.until(lambda: len(recorded(tmp_path)) == len(made(truth)))
            assert await running.stop() == 0
    assert recorded(tmp_path) == [(number, unit, ok) for number, (unit, ok, _) in made(truth).items()]
