"""How the parts of a source do: from the intake to the status, the board's words and the command."""

from pathlib import Path

from msgspec import json

from edge.contract import Tally
from edge.intake import SourceIntake
from edge.sources_cli import listed
from edge.status import SourceStatus
from edge.tally import MOST_TALLIES, ailing
from tests.support.clock import ManualClock
from tests.support.line import line, recording, run_quickly

WELL = Tally("unit 1", "answers", "", (("requests", 1200), ("timeouts", 0)), 3.5, 12.25)
LOST = Tally("unit 2", "lost", "unit 2 is lost: no answer within 1 s", (("requests", 2), ("timeouts", 2)))


def test_a_sentence_names_what_ails_and_no_more_than_a_few() -> None:
    assert ailing([WELL]) == ""
    assert ailing([WELL, LOST]) == "unit 2 is lost: no answer within 1 s"
    assert ailing([LOST] * 5).endswith("; and 2 more")


def test_a_tally_in_words_leaves_out_what_never_happened() -> None:
    assert WELL.words == "unit 1: answers (1,200 requests)"
    assert LOST.words == "unit 2 is lost: no answer within 1 s (2 requests, 2 timeouts)"


def test_the_list_of_sources_has_a_line_for_each_unit() -> None:
    status = SourceStatus("connected", "", 7_000.0, 0.4, (WELL, LOST))
    assert list(listed({"bus-1": status, "gun": SourceStatus("lost", "unplugged", 5.0, None)})) == [
        "bus-1: connected for 117 min, data 0 s ago",
        "  unit 1: answers (1,200 requests); the last answer took 3.5 ms, the slowest 12.25 ms",
        "  unit 2 is lost: no answer within 1 s (2 requests, 2 timeouts)",
        "gun: lost for 5 s, no data yet",
        "  unplugged",
    ]


def test_a_status_with_parts_goes_over_the_socket_and_back() -> None:
    status = SourceStatus("connected", "", 1.0, 0.4, (WELL, LOST))
    assert json.decode(json.encode(status), type=SourceStatus) == status


class Kept:
    """What an adapter keeps."""


def test_an_intake_keeps_and_tells_and_knows_the_time_of_receipt(tmp_path: Path) -> None:
    async def work() -> None:
        clock = ManualClock()
        async with recording(line(), tmp_path / "journal.db") as recorder:
            intake = SourceIntake("plc", clock, recorder, lambda: None)
            assert intake.recall(Kept) is intake.recall(Kept)
            intake.tell([WELL, LOST] * MOST_TALLIES)
            assert len(intake.tallies) == MOST_TALLIES
            intake.lost()
            assert {one.words for one in intake.tallies} == {
                "unit 1: unknown while the source is lost (1,200 requests)",
                "unit 2: unknown while the source is lost (2 requests, 2 timeouts)",
            }
            assert ailing(intake.tallies) == ""
            now, before = intake.observe("press.total", 1), intake.observe("press.total", 1, ago_ms=700)
            assert now.mono_ms - before.mono_ms == now.seen_ms - before.seen_ms == 700
            assert before.at_ms == before.seen_ms
            assert before.stamp == now.stamp

    run_quickly(work())
