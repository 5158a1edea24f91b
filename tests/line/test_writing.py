"""What is written to a device: how it is configured, what is wanted, and what is told of each write."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.config import load
from edge.config.writes import StationWrite, WriteTable, shown
from edge.contract import Ask, Done, DoneState, WriteValue
from edge.errors import ConfigError, JournalError, NotRecorded
from edge.observation import WRITE, Observation, Verdict, WriteWord
from edge.production.context import Context
from edge.production.events import Write
from edge.production.state import Job, Row, Run, Station, Written, written_key
from edge.scribe import Patience, Room, Scribe
from edge.writing import Writing, wanted
from tests.support.clock import ManualClock
from tests.support.line import Core

LINE = """
[line]
name = "line-1"
badge = "optional"

[source.press-plc]
type = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
security = "None"

[source.bus-1]
type = "serial-scanner"
port = "/dev/ttyS9"

[[station]]
name = "press"
ideal_cycle = "1s"
{capacity}

{writes}
"""
RELEASE = """
[[station.write]]
what = "release"
source = "press-plc"
node = "ns=2;s=Release"
"""


def write_line(folder: Path, writes: str = RELEASE, capacity: str = "") -> Path:
    file = folder / "line.toml"
    file.write_text(LINE.format(writes=textwrap.dedent(writes), capacity=capacity))
    return file


# --- how it is written in the file -----------------------------------------------------------------


def test_a_release_and_an_order_number_go_to_their_nodes(tmp_path: Path) -> None:
    order = (
        '[[station.write]]\nwhat = "order"\nsource = "press-plc"\npath = "2:Press/Order"\nconfirm = "5s"\n'
    )
    config = load(write_line(tmp_path, RELEASE + order))
    assert [one.words() for one in config.writes] == [
        "writes release to press-plc ns=2;s=Release: true while a job runs there, else false; "
        "also when the agent starts",
        "writes order to press-plc 2:Press/Order: the number of the order that runs there, "
        "an empty text where none runs (a place that holds a number needs none = 0); also when the agent "
        "starts",
    ]
    targets = config.sources["press-plc"].targets
    assert [(one.name, one.confirm) for one in targets] == [
        ("press.release", timedelta(seconds=2)), ("press.order", timedelta(seconds=5)),
    ]  # fmt: skip


def test_nothing_is_written_unless_it_is_configured(tmp_path: Path) -> None:
    config = load(write_line(tmp_path, ""))
    assert config.writes == ()
    assert all(source.targets == () for source in config.sources.values())


KEYS = 'what = "release"\nsource = "press-plc"\nnode = "ns=2;s=Release"\n'


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('what = "stop"\nsource = "press-plc"\nnode = "ns=2;s=R"', "what"),
        ('what = "release"\nnode = "ns=2;s=R"', "source: is missing"),
        ('what = "release"\nsource = "press-plx"\nnode = "ns=2;s=R"', 'did you mean "press-plc"'),
        ('what = "release"\nsource = "bus-1"\nnode = "ns=2;s=R"', '"bus-1" can write nothing'),
        ('what = "release"\nsource = "press-plc"', "give node or path"),
        (KEYS + 'path = "2:Press"', "give node or path"),
        (KEYS + "nodes = 1", "nodes: is not a key here"),
        (KEYS + "on = 1\noff = 1", "on and off are the same"),
        (KEYS + "on = 1\noff = true", "on and off are the same"),
        (KEYS + 'none = "x"', "none belongs to an order"),
        (KEYS + "on = inf", "must be a number"),
        (KEYS + "on = 18446744073709551616", "64 bits"),
        (KEYS + 'on = "a\\u0007"', "printable"),
        (KEYS + "at_most = 0", "at_most"),
        (KEYS + 'confirm = "1min"', '"30s"'),
        ('what = "order"\nsource = "press-plc"\nnode = "ns=2;s=R"\non = 1', "an order has no on"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_line(tmp_path, f"[[station.write]]\n{table}\n"))
    assert words in str(refused.value)
    assert "station[press].write[1]" in str(refused.value)


def test_two_that_would_fight_over_a_place_are_refused(tmp_path: Path) -> None:
    hold = RELEASE.replace("release", "hold")
    with pytest.raises(ConfigError, match=r"written for press\.release already: the two would fight"):
        load(write_line(tmp_path, RELEASE + hold))


def test_of_several_jobs_no_one_number_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which one's number"):
        load(write_line(tmp_path, RELEASE.replace("release", "order"), "capacity = 2"))


def test_two_plcs_can_have_the_same_release(tmp_path: Path) -> None:
    config = load(write_line(tmp_path, RELEASE + RELEASE.replace("s=Release", "s=Second")))
    assert [one.target for one in config.writes] == ["press.release", "press.release-2"]


def test_every_key_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "edge/writing.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in page for key in WriteTable.model_fields)


# --- what is wanted ---------------------------------------------------------------------------------

SPEC = StationWrite("press", "release", "press-plc", "press.release", "press-plc ns=2;s=R", True, False, 10)
ORDER = replace(SPEC, what="order", target="press.order", on="", off="-")
HOLD = replace(SPEC, what="hold", target="press.hold")
RUN = Run("r1", "press", "WO-1", 10, 0, 100)
BUSY = Station(context=Context(order="WO-1", operation=10, run="r1"), run=RUN, last_job=("WO-0", None))
HELD = Job("WO-0", None, "Interrupted", "Held")
PAUSED = Job("WO-0", None, "Interrupted", "Suspended")


@pytest.mark.parametrize(
    ("spec", "row", "job", "value"),
    [
        (SPEC, Station(), None, False), (SPEC, BUSY, HELD, True),
        (ORDER, Station(), None, "-"), (ORDER, BUSY, None, "WO-1"),
        (HOLD, Station(last_job=("WO-0", None)), HELD, True),
        (HOLD, Station(last_job=("WO-0", None)), PAUSED, False),
        (HOLD, Station(last_job=("WO-0", None)), Job("WO-0", None, "NotAllowedToStart"), True),
        (HOLD, BUSY, HELD, False), (HOLD, Station(), None, False),
    ],
)  # fmt: skip
def test_what_a_device_is_to_hold(
    spec: StationWrite, row: Station, job: Job | None, value: WriteValue
) -> None:
    assert wanted(spec, row, job) == value


def test_only_so_many_in_a_minute() -> None:
    room = Room(2, 60.0)
    for now_s in (0.0, 20.0):
        assert room.wait_s(now_s) == 0.0
        room.take(now_s)
    assert room.wait_s(30.0) == 30.0
    assert room.wait_s(60.0) == 0.0
    room.take(60.0)
    assert room.wait_s(61.0) == 19.0


# --- what the core makes of it ----------------------------------------------------------------------


def said(word: WriteWord) -> Observation:
    return Observation(WRITE, word, 1_777_900_000_000, 1_777_900_000_000, 1, "b0")


def test_the_core_keeps_what_was_said_and_says_it_to_all(tmp_path: Path) -> None:
    core = Core(load(write_line(tmp_path)).line)
    word = WriteWord(
        "press", "release", "press.release", "press-plc ns=2;s=R", "true", "failed", "", "read-only"
    )
    [event] = core.see(said(word)).events
    assert event.station == "press"
    expected = Write("release", "press.release", "press-plc ns=2;s=R", "true", "failed", "", "read-only")
    assert event.data == expected
    row = core.row(written_key("press.release"))
    assert row == Written(word)
    unknown = WriteWord("packer", "hold", "packer.hold", "", "1", "intended")
    assert core.see(said(unknown)).outcome.verdict is Verdict.REFUSED


def test_the_core_takes_no_intention_that_another_job_has_overtaken(tmp_path: Path) -> None:
    core = Core(load(write_line(tmp_path)).line)
    word = WriteWord("press", "release", "press.release", "press-plc ns=2;s=R", "true", "intended", run="r1")
    late = core.see(said(word))
    assert late.outcome.verdict is Verdict.REFUSED
    assert late.outcome.words == "press.release: another job is on by now"
    assert not late.events
    assert core.row(written_key("press.release")) is None
    [event] = core.see(said(msgspec.structs.replace(word, run=""))).events
    assert isinstance(event.data, Write)
    assert core.row(written_key("press.release")) == Written(msgspec.structs.replace(word, run=None))


# --- one target and a wire ----------------------------------------------------------------------------

QUICK = Patience(
    answer_s=0.3, again_s=(0.01, 0.02, 0.03), unreadable_s=0.05, unrecorded_s=0.01, minute_s=0.5, hour_s=3_600
)


class Wire:
    """A source that reads and writes a value at once, and says what was done; `told` is the journal's."""

    def __init__(self) -> None:
        self.is_connected = True
        self.holds: WriteValue = False
        self.steps: list[str] = []
        self.scribe: Scribe | None = None
        self.refuses = ""
        self.keeps = False
        """It takes a write, and goes on holding what it held."""
        self.is_silent = False
        self.cuts = False
        """It loses the connection with the write."""
        self.is_full = False
        self.changed = asyncio.Event()
        self.held: list[Ask] = []
        self.holds_asks = False
        """It answers nothing until `release`."""
        self.is_unfit = False
        self.silence = ""
        """The connection stands, and this does not answer."""
        self.words: list[WriteWord] = []
        self.after_telling: Callable[[], None] | None = None

    def release(self) -> None:
        self.holds_asks = False
        held, self.held = self.held, []
        for ask in held:
            self.put(ask)

    def put(self, ask: Ask) -> None:
        assert ask.write is not None
        if self.is_silent:
            return
        if self.holds_asks:
            self.held.append(ask)
            self.changed.set()
            return
        if self.silence:
            self.answer(ask.number, Done(DoneState.SILENT, detail=self.silence))
            return
        if self.is_unfit:
            self.answer(ask.number, Done(DoneState.UNFIT, detail="it does not fit there"))
            return
        if not ask.write.only_look and not ask.write.is_wanted():
            self.answer(ask.number, Done(DoneState.STALE, detail="nothing was written"))
            return
        if not ask.write.only_look:
            self.step(f"wrote {shown(ask.write.value)}")
            if not (self.refuses or self.keeps):
                self.holds = ask.write.value
            if self.cuts:
                self.is_connected = False
                self.answer(ask.number, None)
                return
        refused = self.refuses and not ask.write.only_look
        is_there = self.holds == ask.write.value
        state = DoneState.REFUSED if refused else DoneState.THERE if is_there else DoneState.OTHER
        self.answer(ask.number, Done(state, shown(self.holds), self.refuses if refused else ""))

    def answer(self, number: int, done: Done | None) -> None:
        assert self.scribe is not None
        asyncio.get_running_loop().call_soon(self.scribe.written, number, done)

    def connect(self) -> None:
        self.is_connected = True
        assert self.scribe is not None
        self.scribe.connected()

    async def tell(self, word: WriteWord) -> None:
        if self.is_full:
            raise NotRecorded("the disk is full")
        self.step(f"{word.state} {word.value}")
        self.words.append(word)
        if self.after_telling is not None:
            self.after_telling()

    def step(self, words: str) -> None:
        self.steps.append(words)
        self.changed.set()

    async def until(self, *steps: str) -> None:
        """These and no others, in this order."""
        try:
            async with asyncio.timeout(5):
                while len(self.steps) < len(steps):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pass
        assert self.steps == list(steps)
        self.steps.clear()

    async def quiet(self, seconds: float = 0.15) -> None:
        """Nothing happens for so long."""
        try:
            async with asyncio.timeout(seconds):
                self.changed.clear()
                await self.changed.wait()
        except TimeoutError:
            pass
        assert self.steps == []


@asynccontextmanager
async def scribe(
    spec: StationWrite = SPEC, clock: ManualClock | None = None, before: WriteWord | None = None,
    patience: Patience = QUICK,
) -> AsyncIterator[tuple[Scribe, Wire]]:  # fmt: skip
    wire: Any = Wire()
    one = Scribe(spec, timedelta(0), {"press-plc": wire}, clock or ManualClock(), wire.tell, patience)
    wire.scribe = one
    if before is not None:
        one.remember(before)
    task = asyncio.create_task(one.run())
    try:
        yield one, wire
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


FAILED = ("intended true", "wrote true", "failed true")
WROTE_TRUE = ("intended true", "wrote true", "confirmed true")


async def test_an_intention_is_on_disk_before_the_wire_has_it_and_the_outcome_after() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        one.want(False)
        await wire.until("intended false", "wrote false", "confirmed false")
        one.want(False)
        await wire.quiet()


async def test_a_value_that_is_there_already_is_not_written() -> None:
    async with scribe() as (one, wire):
        wire.holds = True
        one.want(True)
        await wire.until("confirmed true")
        wire.connect()
        await wire.quiet()


async def test_what_cannot_be_recorded_is_not_written() -> None:
    async with scribe() as (one, wire):
        wire.is_full = True
        one.want(True)
        await wire.quiet()
        assert wire.holds is False
        wire.is_full = False
        await wire.until(*WROTE_TRUE)


async def test_an_outcome_is_told_as_soon_as_the_journal_takes_it() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until("intended true", "wrote true", "confirmed true")
        wire.is_full = True
        wire.holds = False
        wire.connect()
        await wire.quiet()
        wire.is_full = False
        await wire.until(*WROTE_TRUE)


async def test_of_what_is_away_nothing_is_asked_and_the_newest_is_written_when_it_is_back() -> None:
    async with scribe() as (one, wire):
        wire.is_connected = False
        one.want(True)
        one.want(False)
        one.want(True)
        await wire.quiet()
        wire.connect()
        await wire.until(*WROTE_TRUE)


async def test_a_connection_that_dies_with_the_write_leaves_it_open_until_it_is_back() -> None:
    async with scribe() as (one, wire):
        wire.cuts = True
        one.want(True)
        await wire.until("intended true", "wrote true", "unknown true")
        wire.cuts = False
        wire.connect()
        await wire.until("confirmed true")


async def test_a_source_that_never_answers_is_asked_again() -> None:
    async with scribe() as (one, wire):
        wire.is_silent = True
        one.want(True)
        await wire.quiet(0.4)
        wire.is_silent = False
        await wire.until(*WROTE_TRUE)


async def test_a_unit_that_is_silent_on_a_connection_that_stands_is_looked_at_until_it_answers() -> None:
    async with scribe() as (one, wire):
        wire.silence = "unit 3 is lost"
        one.want(True)
        await wire.until("unknown true")
        assert one.trouble == "unit 3 is lost"
        await wire.quiet()
        wire.silence = ""
        await wire.until(*WROTE_TRUE)
        assert wire.words[-1].tries == 1


async def test_a_unit_that_falls_silent_with_the_write_is_no_failure_of_the_value() -> None:
    async with scribe() as (one, wire):
        wire.after_telling = lambda: setattr(wire, "silence", "unit 3: no answer within 1 s")
        one.want(True)
        await wire.until("intended true", "unknown true")
        assert wire.words[-1].detail == "unit 3: no answer within 1 s"
        wire.after_telling, wire.silence = None, ""
        await wire.until(*WROTE_TRUE)


async def test_what_a_restart_finds_half_done_is_looked_at_and_written_at_most_once() -> None:
    half = WriteWord("press", "release", "press.release", SPEC.place, "true", "intended", tries=1)
    clock = ManualClock()
    half = WriteWord(
        "press", "release", "press.release", SPEC.place, "true", "intended", tries=1, tried_ms=clock.wall_ms()
    )
    async with scribe(clock=clock, before=half) as (one, wire):
        wire.holds = True
        one.want(True)
        await wire.until("confirmed true")
    async with scribe(clock=clock, before=half) as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        wire.connect()
        await wire.quiet()


async def test_what_was_said_of_another_node_means_nothing() -> None:
    other = WriteWord("press", "release", "press.release", "press-plc ns=2;s=Old", "true", "confirmed")
    async with scribe(before=other) as (one, wire):
        wire.holds = True
        one.want(True)
        await wire.until("confirmed true")


async def test_what_a_person_sets_stays_while_the_connection_stands() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        wire.holds = False
        await wire.quiet()


async def test_a_device_that_forgets_with_every_power_cut_has_it_again_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        for _ in range(8):
            wire.holds = False
            wire.connect()
            await wire.until(*WROTE_TRUE)
        assert wire.words[-2].detail == "the device had lost it"
        assert one.trouble == ""
    words = "press.release: press-plc ns=2;s=R has lost true: it is written again"
    assert [line.getMessage() for line in caplog.records] == [words] * 8


async def test_a_device_that_may_have_begun_anew_is_looked_at_though_the_connection_stands() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        one.renewed()
        await wire.quiet()
        wire.holds = False
        one.renewed()
        await wire.until(*WROTE_TRUE)


async def test_what_is_lost_again_and_again_while_the_connection_stands_is_no_fight_for_ever() -> None:
    clock = ManualClock()
    async with scribe(clock=clock) as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        for _ in range(3):
            wire.holds = False
            one.renewed()
            await wire.until(*WROTE_TRUE)
        wire.holds = False
        one.renewed()
        await wire.until("left true")
        assert one.trouble == (
            "left alone for an hour after 4 tries: the device lost it while the connection stood, and holds "
            "false: look who else writes it"
        )
        one.renewed()
        await wire.quiet()
        wire.connect()
        await wire.quiet()
        clock.pass_ms(3_600_001)
        one.renewed()
        await wire.until(*WROTE_TRUE)


async def test_what_it_kept_on_a_new_connection_is_forgiven() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        for _ in range(3):
            wire.holds = False
            one.renewed()
            await wire.until(*WROTE_TRUE)
        wire.connect()
        await wire.quiet()
        wire.holds = False
        one.renewed()
        await wire.until(*WROTE_TRUE)


async def test_what_is_left_alone_is_tried_once_more_by_itself_when_the_hour_is_over() -> None:
    clock = ManualClock()
    async with scribe(clock=clock, patience=replace(QUICK, hour_s=0.3)) as (one, wire):
        wire.keeps = True
        one.want(True)
        await wire.until(*FAILED * 4, "left true")
        clock.pass_ms(301)
        await wire.until(*FAILED, "left true")
        wire.keeps = False
        clock.pass_ms(301)
        await wire.until(*WROTE_TRUE)
        assert one.trouble == ""


async def test_what_was_left_alone_before_this_start_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    left = WriteWord(
        "press", "release", "press.release", SPEC.place, "true", "left", detail="left alone: read-only",
        tries=4, tried_ms=clock.wall_ms(),
    )  # fmt: skip
    async with scribe(clock=clock, before=left) as (one, wire):
        wire.changed.clear()
        one.want(True)
        await until(lambda: bool(one.trouble))
        await wire.quiet()
        assert one.trouble == "left alone: read-only"
    words = "press.release: press-plc ns=2;s=R does not hold true: left alone: read-only"
    assert [line.getMessage() for line in caplog.records] == [words]


# --- what is not wanted any more ------------------------------------------------------------------------


async def test_what_is_not_wanted_any_more_after_the_look_is_not_even_intended() -> None:
    async with scribe(ORDER) as (one, wire):
        wire.holds_asks = True
        one.want("WO-1")
        await until(lambda: bool(wire.held))
        one.want("WO-2")
        wire.release()
        await wire.until("intended WO-2", "wrote WO-2", "confirmed WO-2")


async def test_what_is_on_disk_counts_before_anybody_has_told_of_it() -> None:
    on_disk = ["WO-1"]
    async with scribe(ORDER) as (one, wire):
        wire.holds_asks = True
        one.follow(lambda: on_disk[0])
        await until(lambda: bool(wire.held))
        on_disk[0] = "WO-2"
        wire.release()
        await wire.until("intended WO-2", "wrote WO-2", "confirmed WO-2")


async def test_what_is_not_wanted_any_more_when_its_intention_is_on_disk_is_dropped() -> None:
    on_disk: list[WriteValue] = [True]
    async with scribe() as (one, wire):
        wire.after_telling = lambda: on_disk.__setitem__(0, False)
        one.follow(lambda: on_disk[0])
        await wire.until("intended true", "dropped true", "confirmed false")
        assert wire.words[1].tries == 0
        assert one.trouble == ""


async def test_what_is_not_wanted_any_more_when_the_wire_is_free_is_not_written() -> None:
    on_disk: list[WriteValue] = [True]
    async with scribe() as (one, wire):
        wire.after_telling = lambda: setattr(wire, "holds_asks", True)
        one.follow(lambda: on_disk[0])
        await until(lambda: wire.steps == ["intended true"] and bool(wire.held))
        on_disk[0], wire.after_telling = False, None
        wire.release()
        await wire.until("intended true", "dropped true", "confirmed false")


async def test_a_write_whose_asker_has_given_up_is_not_wanted() -> None:
    async with scribe() as (one, wire):
        wire.after_telling = lambda: setattr(wire, "holds_asks", True)
        one.want(True)
        await wire.until("intended true", "unknown true")
        [write, *_] = wire.held
        assert write.write is not None
        assert not write.write.is_wanted()
        wire.after_telling = None
        wire.holds_asks = False
        await wire.until(*WROTE_TRUE)


async def test_where_the_journal_does_not_tell_what_was_told_last_counts() -> None:
    def unreadable() -> WriteValue:
        if wire.steps:
            raise JournalError("journal.db", "cannot be read")
        return True

    async with scribe() as (one, wire):
        one.follow(unreadable)
        await wire.until(*WROTE_TRUE)


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        (ORDER, "-", "the key none says what is written where no order runs, as in none = 0"),
        (ORDER, "WO-1", "an order's number that is not digits alone needs a place that holds a text"),
        (SPEC, True, "on and off say what is written, as in on = 1, off = 0"),
    ],
)
async def test_a_value_that_does_not_fit_names_its_key(
    spec: StationWrite, value: WriteValue, words: str
) -> None:
    async with scribe(spec) as (one, wire):
        wire.is_unfit = True
        one.want(value)
        await wire.until(f"failed {shown(value)}")
        assert one.trouble == f"it does not fit there; {words}"


async def test_another_value_is_written_also_where_the_last_was_left_alone() -> None:
    async with scribe() as (one, wire):
        wire.keeps = True
        one.want(True)
        await wire.until(*FAILED * 4, "left true")
        await wire.quiet()
        wire.keeps, wire.holds = False, True
        one.want(False)
        await wire.until("intended false", "wrote false", "confirmed false")


async def test_a_refusal_is_told_tried_again_a_few_times_and_said_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scribe() as (one, wire):
        wire.refuses = "the node is read-only"
        one.want(True)
        await wire.until(*FAILED * 4, "left true")
        wire.refuses = ""
        one.want(False)
        await wire.until("confirmed false")
    assert [one.getMessage() for one in caplog.records] == [
        "press.release: press-plc ns=2;s=R does not hold true: the node is read-only",
        "press.release: press-plc ns=2;s=R holds what it should again: false",
    ]


async def test_what_comes_too_fast_is_put_off_and_the_newest_is_written() -> None:
    async with scribe(replace(SPEC, at_most=2)) as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        one.want(False)
        await wire.until("intended false", "wrote false", "confirmed false")
        one.want(True)
        await wire.until("put-off true")
        one.want(False)
        await wire.until("confirmed false")
        one.want(True)
        await wire.until("put-off true", *WROTE_TRUE)


# --- all targets of a line ------------------------------------------------------------------------------


async def test_what_is_on_disk_is_what_is_wanted() -> None:
    wire: Any = Wire()
    wire.holds = "-"
    rows: dict[str, Row] = {"station/press": BUSY, "station/press-2": Station()}

    def read(prefix: str) -> Iterator[tuple[str, Row]]:
        yield from [(key, row) for key, row in rows.items() if key.startswith(prefix)]

    confirms = {"press.order": timedelta(0), "press.hold": timedelta(0)}
    hold = replace(HOLD, source="other-plc")
    writing = Writing([ORDER, hold], confirms, {"press-plc": wire}, ManualClock(), wire.tell, QUICK)
    wire.scribe = type(
        "Both", (), {"written": lambda _, number, done: writing.written("press-plc", number, done)}
    )()
    committed = asyncio.Event()
    task = asyncio.create_task(writing.run(read, committed))
    try:
        await until(lambda: wire.steps == ["intended WO-1", "wrote WO-1", "confirmed WO-1"])
        rows["station/press"] = Station(last_job=("WO-1", 10))
        committed.set()
        await until(lambda: wire.holds == "-")
        assert writing.unwritten() == {}
        assert [word.run for word in wire.words if word.state == "intended"] == ["r1", ""]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_line_that_writes_nothing_has_nothing_to_do() -> None:
    def read(_: str) -> Iterator[tuple[str, Row]]:
        raise AssertionError("nobody asked")

    await Writing([], {}, {}, ManualClock(), Wire().tell).run(read, asyncio.Event())
