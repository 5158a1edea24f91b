"""What is written to a device: how it is said in the file, and what is wanted."""

import textwrap
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from edge.config import load
from edge.config.writes import StationWrite, WriteTable
from edge.contract import WriteValue
from edge.errors import ConfigError
from edge.observation import WRITE, Observation, Verdict, WriteWord
from edge.production.events import Write
from edge.production.state import Job, Station, Written, written_key
from edge.scribe import Room
from edge.writing import wanted
from tests.line.writing_support import BUSY, HOLD, ORDER, SPEC
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
