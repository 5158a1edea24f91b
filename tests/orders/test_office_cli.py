"""What the office types: what is wrong with it is said in a sentence, and what is right is done."""

import csv
import json
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.office_words import told_inbox, told_results
from edge.production.events import Result
from edge.resultform import job_result
from tests.line.test_inbox import straddled
from tests.line.test_office import Office
from tests.orders.test_cli import LINE, agent

MORE = """
[[order]]
id = "WO-1002"
item = "P8"
quantity = 7
operations = [10, 20]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "line.toml"
    file.write_text(LINE.format(folder=tmp_path) + MORE)
    return file


@pytest.fixture
def typed(file: Path) -> Callable[..., tuple[int, str, str]]:
    """`lineside ...` in this process, where no agent runs."""

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*arguments, "--line", str(file)], env={"COLUMNS": "120"})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return run


WHY = ("--reason", "wrong card")
SPAN = ("--station", "press", "--from", "2026-05-04T10:00", "--to", "2026-05-04T11:00")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("correct", "reassign", "--run", "r1"), "say whose they are: --job JOB or --unassigned"),
        (("correct", "reassign", "--run", "r1", "--job", "A", "--unassigned"), "--job JOB or --unassigned"),
        (("correct", "reassign", "--job", "A"), "say which parts: --run RUN, or --station"),
        (("correct", "reassign", "--job", "A", "--run", "r1", *SPAN), "say which parts"),
        (("correct", "reassign", "--job", "A", "--station", "press"), "say which parts"),
        (("correct", "reassign", "--job", "A", "--run", "r1", "--from", "10:00"), "say which parts"),
        (("correct", "reassign", "--job", "A", *SPAN[2:], "--station", "prss"),
         "line-1 has no station 'prss', only press"),
        (("correct", "reassign", "--job", "A", *SPAN[:4], "--to", "noon"), "--to: 'noon' is no time"),
        (("correct", "reassign", "--job", "A", *SPAN[:4], "--to", "2199-01-01T00:00"), "is in the future"),
        (("correct", "reassign", "--job", "A", *SPAN[:4], "--to", "2026-05-04T10:00"), "is not before --to"),
        (("lots", "split", "L1", "L2"), "'L2' is no lot with its quantity; write it as in L77=40"),
        (("lots", "merge", "L1=nan", "--into", "L3"), "'L1=nan' is no lot with its quantity"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence(
    typed: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = typed(*arguments, *WHY)
    assert (status, out, err.count("\n"), says in err) == (1, "", 1, True), err


@pytest.mark.parametrize(
    "arguments",
    [
        ("correct", "reassign", "--job", "WO-1001", "--run", "r1"),
        ("correct", "reassign", "--unassigned", *SPAN),
        ("correct", "adjust", "r1", "--good", "-2"),
        ("correct", "hold", "WO-1001"),
        ("lots", "split", "L1", "L2=1", "L3=2.5"),
    ],
)
def test_an_agent_that_is_away_is_one_sentence(
    typed: Callable[..., tuple[int, str, str]], file: Path, arguments: tuple[str, ...]
) -> None:
    (file.parent / "data").mkdir()
    status, out, err = typed(*arguments, *WHY)
    words = "start it with `lineside run`, then try again"
    assert (status, out, words in err, err.count("\n")) == (1, "", True, 1), err


def test_without_a_journal_what_is_read_is_one_sentence(typed: Callable[..., tuple[int, str, str]]) -> None:
    for arguments in (("orders", "results"), ("inbox",), ("inbox", "accept", "u1")):
        status, _, err = typed(*arguments)
        assert (status, "has the agent run here yet?" in err, err.count("\n")) == (1, True, 1), err


def test_a_reason_must_be_given(typed: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = typed("correct", "hold", "WO-1001")
    assert (status, "--reason" in err) == (2, True)
    done = CliRunner().invoke(app, ["inbox"])
    assert (done.exit_code, done.stderr) == (1, "say which line: lineside inbox --line LINE\n")


@pytest.mark.parametrize("group", ["correct", "lots", "inbox", "orders"])
def test_no_command_is_described_by_half_a_sentence(group: str) -> None:
    said = CliRunner().invoke(app, [group, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).stdout
    _, listed = said.split("Commands:\n")
    assert "..." not in listed, listed


async def test_jobs_are_steered_and_their_results_written(file: Path) -> None:
    office = Office(file.parent)
    async with agent(file):
        assert await office.does("correct", "hold", "WO-1001", *WHY, "--by", "anna") == (
            "WO-1001: NotAllowedToStart\n"
        )
        status, _, err = await office.run("correct", "hold", "WO-1001", *WHY)
        assert (status, err) == (1, "refused: WO-1001 is held already\n")
        assert await office.does("correct", "release", "WO-1001", *WHY) == "WO-1001: AllowedToStart\n"
        assert await office.does("correct", "abort", "WO-1001", *WHY) == "WO-1001: Aborted\n"
        assert await office.does("lots", "split", "L1", "L2=1", "L3=2.5", *WHY) == "L1 split into L2, L3\n"
        assert await office.does("lots", "merge", "L2=1", "L3=2.5", "--into", "L4", *WHY) == (
            "L2, L3 merged into L4\n"
        )
        status, _, err = await office.run("correct", "adjust", "r9", "--good", "1", *WHY)
        assert (status, err) == (1, "refused: there is no run r9\n")
        status, _, err = await office.run("inbox", "accept", "u9")
        assert (status, "the inbox has no u9" in err) == (1, True)
        facts = [json.loads(one.data) for one in office.facts()]
        assert next(one["by"] for one in facts if "by" in one) == "anna"

    assert await office.does("orders", "results", "WO-1001") == (
        "WO-1001: Aborted, 0 of 5 P7\n  made 0: 0 good, 0 scrap, 0 in rework\n"
    )
    status, _, err = await office.run("orders", "results", "WO-8")
    assert (status, "has no order 'WO-8'" in err) == (1, True)
    text = await office.does("orders", "results", "--csv")
    rows = list(csv.DictReader(StringIO(text)))
    assert [(row["order"], row["operation"], row["state"]) for row in rows] == [
        ("WO-1001", "", "Aborted"), ("WO-1002", "10", "AllowedToStart"), ("WO-1002", "20", "AllowedToStart"),
    ]  # fmt: skip
    assert await office.does("orders", "results", "--out", "all.csv") == "all.csv: 3 jobs\n"
    assert (file.parent / "all.csv").read_text() == text
    await office.does("orders", "results", "WO-1002", "--out", "one", "--json")
    assert [one["operation"] for one in json.loads((file.parent / "one").read_text())] == [10, 20]
    for arguments, says in [
        (("--out", "one"), "one: say which form it gets: --json or --csv"),
        (("--json", "--csv"), "--json or --csv, not both"),
        (("--csv", "--out", "no/such/x.csv"), "no/such/x.csv: cannot be written: No such file or directory"),
        (("--csv", "--out", "."), "cannot be written"),
    ]:
        status, _, err = await office.run("orders", "results", *arguments)
        assert (status, says in err, err.count("\n")) == (1, True, 1), err
    assert [name for name in os.listdir(file.parent) if name.endswith(".part")] == []


def test_the_inbox_in_words() -> None:
    lines = list(told_inbox(straddled().inbox(a=0, b=7), ZoneInfo("Europe/London")))
    assert lines[0] == "u3: 2 parts at press"
    assert lines[1].endswith(": a card was scanned while they were made")
    assert lines[2] == (
        "  probably of WO-1002: between two jobs: WO-1001-10 has its 10, WO-1002 still lacks 7 parts"
    )
    assert list(told_inbox(straddled().inbox(), ZoneInfo("UTC")))[2].startswith("  whose is open: between")


def test_results_in_words() -> None:
    result = Result(
        "WO-1", 10, "Ended", "P7", 9, 12, 7, 4, 1, 2, -1, 5, 4, 1_777_875_129_412, 1_777_875_139_412, 10.0,
        {"BURR": 4}, ("L1",), ("4711",), {"setup/press": 3},
    )  # fmt: skip
    assert list(told_results([job_result(result)], ZoneInfo("Europe/London"))) == [
        "WO-1-10: Ended, 7 of 9 P7",
        "  made 12: 7 good, 4 scrap, 1 in rework",
        "  scrap by reason: BURR 4",
        "  good after rework: 2",
        "  added by hand: -1",
        "  tested: 5, good at once 4",
        "  aside: setup/press 3",
        "  from 2026-05-04 07:12:09 to 2026-05-04 07:12:19, runs that ended took 10 s",
        "  lots: L1",
        "  people: 4711",
    ]
