"""The command that shows the loss ledger."""

from contextlib import closing
from pathlib import Path

import pytest
from msgspec import json
from typer.testing import CliRunner

from edge.cli import app
from edge.journal import Journal
from edge.ledger import Interval, Ledger
from edge.observation import AGENT
from tests.line import ledger_support
from tests.line.ledger_support import PRESS, TOTAL, told
from tests.support.clock import ManualClock

path = ledger_support.path
clock = ledger_support.clock

TOML = """
[line]
name = "line-1"
timezone = "Europe/London"

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:1"

[[station]]
name = "press"
ideal_cycle = "1s"
total = { source = "plc", unit = 1, holding = 0, as = "u32", words = "little" }
"""


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["ledger", *arguments])
    return done.exit_code, done.output


async def test_the_command_says_it_in_words_and_as_json(tmp_path: Path, clock: ManualClock) -> None:
    file, path = tmp_path / "line.toml", tmp_path / "data/journal.db"
    file.write_text(TOML)
    path.parent.mkdir()
    where = (str(file), "--data", str(path.parent))
    await told(path, clock, (AGENT, "start"), (TOTAL, 100), (AGENT, "stop"), of=PRESS)
    clock.pass_ms(60_000)
    await told(path, clock, (AGENT, "start"), (TOTAL, 120), of=PRESS)
    with closing(Journal(path)):  # an agent runs
        status, words = run(*where)
    assert status == 0, words
    assert words.splitlines() == [
        "2026-05-04 14:06:43+01:00 for 61.0 s  the agent was off (stopped)",
        "    recovered 20 parts (press.total 20); 20 of them are of no order",
        "line-1: 1 interval, 20 parts recovered, nothing uncertain",
    ]
    assert run("--line", str(file), "--data", str(path.parent))[1].splitlines()[-2:] == [
        "2026-05-04 14:07:45+01:00 and still  the agent was off (ended without a word: killed, or the power "
        "was cut)",
        "line-1: 2 intervals, 20 parts recovered, nothing uncertain",
    ]
    status, words = run(*where, "--json")
    found = json.decode(words.encode(), type=Ledger)
    assert [type(one) for one in found.intervals] == [Interval, Interval]
    await told(path, clock, (AGENT, "stop"), of=PRESS)
    assert run(*where, "--to", "2026-05-04T14:00")[1] == (
        "line-1: 0 intervals, 0 parts recovered, nothing uncertain\n"
    )
    await told(path, clock, *[(TOTAL, 3)] * 4, of=PRESS)
    assert run(*where)[0] == 1, "a reset leaves a question open"


def test_a_time_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text(TOML)
    status, words = run(str(tmp_path / "line.toml"), "--data", str(tmp_path), "--from", "yesterday")
    assert status == 1
    assert "is no time; write 14:05" in words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("FILE", "--from", "2026-05-04T10:00", "--to", "2026-05-04T09:00"), "(--from) is after 2026-05-04"),
        ((), "which line? Write its file"),
        (("FILE", "--line", "FILE"), "given twice"),
    ],
)
def test_a_question_without_an_answer_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "line.toml").write_text(TOML)
    given = [str(tmp_path / "line.toml") if one == "FILE" else one for one in arguments]
    status, words = run(*given, "--data", str(tmp_path))
    assert (status, sentence in words) == (1, True), words
