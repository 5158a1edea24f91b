"""What makes figures doubtful, as a table: no process, no socket."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as with_

from edge.board.snapshot import Committed, Heard, Moment, Snapshot, nothing_yet, snapshot
from edge.config import LineConfig, load
from edge.status import AgentStatus, SinkStatus, SourceStatus
from tests.board.agent import write_line

NOW_MS = 1_777_900_000_000


@pytest.fixture
def config(tmp_path: Path) -> LineConfig:
    return load(write_line(tmp_path))


def status(config: LineConfig, **sources: SourceStatus) -> AgentStatus:
    well = SourceStatus("connected", "", 600.0, 0.2)
    sinks = dict.fromkeys(config.sinks, SinkStatus("connected", "", 12_000, 3))
    return AgentStatus(7, {name: sources.get(name, well) for name in config.sources}, sinks)


def committed(config: LineConfig) -> Committed:
    press, packer = nothing_yet(config).views
    press = with_(
        press, order="WO-1001", operation=10, quantity=400, good=126, scrap=5, state="Execute",
        state_since_ms=NOW_MS - 42_000,
    )  # fmt: skip
    return Committed([press, packer], 7, NOW_MS - 90_000)


def look(config: LineConfig, heard: Heard, seen: Committed | None = None) -> Snapshot:
    return snapshot(config, seen or committed(config), heard, Moment(NOW_MS))


def test_fresh_figures_are_shown_as_they_are(config: LineConfig) -> None:
    now = look(config, Heard(status(config), 0.1))
    press, packer = now.stations
    assert (press.trouble, press.kind, press.state_s) == ("", "run", 42.0)
    assert (press.words.count, press.words.target, press.words.counted) == ("126", "400", "good")
    assert (packer.words.count, packer.words.job, packer.kind) == ("–", "no order", "other")
    assert {one.trust for one in now.sources} == {one.trust for one in now.sinks} == {"good"}
    assert now.sinks[0].counts == "12\u202f000 delivered, 3 pending"


def test_events_that_wait_for_the_clock_say_so(config: LineConfig) -> None:
    waits = SinkStatus("connected", "", 0, 51, oldest_s=60.0, held=51, doubt="no time server has set it")
    said = with_(status(config), sinks=dict.fromkeys(config.sinks, waits))
    counts = look(config, Heard(said, 0.1)).sinks[0].counts
    assert counts == "0 delivered, 51 pending (51 wait until the clock is right: no time server has set it)"


def test_without_the_agent_everything_is_old_and_says_how_old(config: LineConfig) -> None:
    now = look(config, Heard(None, 12.5))
    assert [(one.trouble, one.trouble_s, one.state_s) for one in now.stations] == [
        ("the agent is away", 12.5, None)
    ] * 2
    assert (now.agent.state, now.agent.seconds) == ("away", 12.5)
    assert {one.state for one in now.sources} == {one.state for one in now.sinks} == {"unknown"}


def test_an_agent_never_heard_is_as_old_as_its_last_event(config: LineConfig) -> None:
    now = look(config, Heard())
    assert (now.agent.seconds, now.stations[0].trouble_s) == (90.0, 90.0)


def test_a_lost_source_makes_its_stations_old(config: LineConfig) -> None:
    lost = status(config, plc=SourceStatus("lost", "no answer", 9.0, 11.0))
    now = look(config, Heard(lost, 0.1))
    assert [(one.trouble, one.trouble_s) for one in now.stations] == [("plc is lost", 11.0)] * 2
    assert (now.sources[0].trust, now.sources[0].reason) == ("bad", "no answer")


def test_a_lost_gun_makes_no_count_old(config: LineConfig) -> None:
    lost = status(config, **{"gun-press": SourceStatus("lost", "unplugged", 9.0, None)})
    now = look(config, Heard(lost, 0.1))
    assert [one.trouble for one in now.stations] == ["", ""]
    assert now.sources[1].trust == "bad"


@pytest.mark.parametrize(
    ("since_s", "silent_s", "state"),
    [(600, 9.9, "connected"), (600, 10.1, "silent"), (9.9, None, "connected"), (600, None, "silent")],
)
def test_connected_is_not_health(
    config: LineConfig, since_s: float, silent_s: float | None, state: str
) -> None:
    quiet = status(config, plc=SourceStatus("connected", "", since_s, silent_s))
    now = look(config, Heard(quiet, 0.1))
    assert now.sources[0].state == state
    assert (now.stations[0].trouble == "") == (state == "connected")


def test_a_gun_may_be_silent_for_hours(config: LineConfig) -> None:
    quiet = status(config, **{"gun-press": SourceStatus("connected", "", 9000.0, None)})
    assert look(config, Heard(quiet, 0.1)).sources[1].trust == "good"


def test_a_signal_that_cannot_be_read_is_named(config: LineConfig) -> None:
    seen = committed(config)
    press = with_(seen.views[0], unreadable={"press.total": "illegal data address"})
    seen = replace(seen, views=[press, seen.views[1]])
    now = look(config, Heard(status(config), 0.1), seen)
    assert [one.trouble for one in now.stations] == [
        "press.total cannot be read: illegal data address", "",
    ]  # fmt: skip


def test_a_journal_that_cannot_be_read_any_more_says_since_when(config: LineConfig) -> None:
    now = look(config, Heard(status(config), 0.1), replace(committed(config), fault="I/O error", age_s=30.0))
    assert (now.journal, now.stations[0].trouble, now.stations[0].trouble_s) == (
        "I/O error", "the journal cannot be read", 30.0,
    )  # fmt: skip
    assert now.stations[0].words.count == "126"


def test_an_agent_of_another_file_is_noticed(config: LineConfig) -> None:
    now = look(config, Heard(AgentStatus(7, {}, {}), 0.1))
    assert {one.state for one in now.sources} == {one.state for one in now.sinks} == {"not started"}
    assert now.stations[0].trouble == "plc is not started"


def test_another_line_needs_another_page(tmp_path: Path) -> None:
    def page(*stations: str) -> str:
        config = load(write_line(tmp_path, stations))
        return look(config, Heard(), nothing_yet(config)).page

    assert page("press") == page("press") != page("press", "packer")


def test_tools_and_the_reason_of_a_stop_are_shown_in_the_plants_words(config: LineConfig) -> None:
    config = replace(config, line=replace(config.line, reasons={"downtime": {"MAT": "no material"}}))
    seen = committed(config)
    press = with_(seen.views[0], tools=("MOULD.17",), state="Held", stop_reason="MAT")
    packer = with_(seen.views[1], state="Held", stop_reason="LUNCH")
    stations = look(config, Heard(status(config), 0.1), replace(seen, views=[press, packer])).stations
    assert [one.words.state for one in stations] == ["Held · no material", "Held · LUNCH"]
    assert stations[0].words.product.endswith("tool MOULD.17")
    assert stations[0].kind == "stop"
