"""Which cards there are, and what is said of those that there cannot be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from edge.cards.content import COMMANDS, MOST_CARDS, What, choose
from edge.cli import app
from edge.errors import CardsRefused
from edge.observation import Verdict, WorkOrder
from edge.production.label import LabelRules
from edge.production.scanning import Label, make_label, read_label
from edge.readmodel import written_orders
from tests.cards.printed import LINE, chosen, labels
from tests.trace.floor import Floor


def refused(what: What, *names: str) -> list[str]:
    with pytest.raises(CardsRefused) as error:
        choose(what, names, LINE, written_orders(LINE))
    return str(error.value).splitlines()


def titles(what: What, *names: str) -> list[str]:
    return [card.title for sheet in chosen(what, *names) for card in sheet.cards]


def test_a_job_card_says_what_is_to_be_made() -> None:
    [sheet] = chosen(What.JOBS, "WO-1042", "Z.9")
    assert [(card.title, *card.lines) for card in sheet.cards] == [
        ("WO-1042-10", "order WO-1042", "operation 10", "item P7, revision C", "quantity 400", "batch L12"),
        ("WO-1042-20", "order WO-1042", "operation 20", "item P7, revision C", "quantity 400", "batch L12"),
        ("Z.9", "item Gehäuse, groß <&>", "quantity 1,000,000,000"),
    ]


def test_an_order_is_named_or_told() -> None:
    assert refused(What.JOBS, "WO-1", "WO-1042", "\x1b[2J") == [
        "line-1 has no order 'WO-1'; `lineside orders list` shows all of them",
        "line-1 has no order '\\x1b[2J'; `lineside orders list` shows all of them",
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("U-0008..U-0011", ["U-0008", "U-0009", "U-0010", "U-0011"]),
        ("U-0098..0101", ["U-0098", "U-0099", "U-0100", "U-0101"]),
        ("8..11", ["8", "9", "10", "11"]),
        ("A.7-1..A.7-2", ["A.7-1", "A.7-2"]),
        ("0..0", ["0"]),
    ],
)
def test_a_range_is_every_one_of_it(name: str, found: list[str]) -> None:
    assert titles(What.UNITS, name) == found


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        (
            What.UNITS,
            "U-9..U-8",
            "'U-9..U-8' is no range: write the first and the last, as in U-0001..U-0050",
        ),
        (What.UNITS, "U-1..V-8", "'U-1..V-8' is no range"),
        (What.UNITS, "U-1..U-99999", f"'U-1..U-99999' are more than {MOST_CARDS:,}: print them in parts"),
        (What.UNITS, "U-" + "1" * 30 + "..2", "is no range"),
        (
            What.BADGES,
            "anna",
            "'anna' cannot be a label: it holds 1 to 40 capital letters, digits, points and",
        ),
        (What.BADGES, "anna", "; write ANNA"),
        (What.BADGES, "", "'' cannot be a label"),
        (What.LOTS, "A" * 41, "cannot be a label"),
        (What.LOTS, "A\u202e\x1b[0m", "'A\\u202e\\x1b[0m' cannot be a label"),
        (What.QUANTITIES, "0", "'0' is no quantity from 1 to 9999"),
        (What.QUANTITIES, "12345", "'12345' is no quantity from 1 to 9999"),
        (What.COMMANDS, "STOP", "commands takes no names: 'STOP'"),
        (What.ALL, "STOP", "all takes no names: 'STOP'"),
    ],
)
def test_what_cannot_be_a_card_is_told(what: What, name: str, words: str) -> None:
    assert words in refused(what, name)[0]


def test_a_name_has_words_for_people_and_is_printed_once() -> None:
    [sheet] = chosen(What.BADGES, "4711=Anna Smith", "4712")
    assert [(one.label, one.title, one.lines) for one in sheet.cards] == [
        (make_label("E", "4711"), "Anna Smith", ("4711",)), (make_label("E", "4712"), "4712", ()),
    ]  # fmt: skip
    assert refused(What.BADGES, "4711", "4711=Anna") == ["'4711' is named twice"]


@pytest.mark.parametrize("what", [What.BADGES, What.LOTS, What.UNITS, What.TOOLS])
def test_kinds_that_need_names_say_so(what: What) -> None:
    assert refused(what) == [f"name the {what}: `lineside cards {what} NAME...`"]


def test_a_line_without_reasons_says_where_to_write_them() -> None:
    line = replace(LINE, reasons={})
    with pytest.raises(CardsRefused, match=r"names no reasons: write \[reasons.scrap\]"):
        choose(What.REASONS, (), line, [])
    assert What.REASONS not in [sheet.what for sheet in choose(What.ALL, (), line, []).sheets]


def test_a_batch_that_no_label_can_hold_is_left_out_with_a_word() -> None:
    line = replace(
        LINE, orders={"A": WorkOrder("A", "P", 1, batch="Los 7/b"), "B": WorkOrder("B", "P", 1, batch="7B")}
    )
    found = choose(What.BATCHES, (), line, written_orders(line))
    assert [card.title for sheet in found.sheets for card in sheet.cards] == ["7B"]
    assert found.left_out == (
        "'Los 7/b' cannot be a label: it holds 1 to 40 capital letters, digits, points and hyphens",
    )


def test_a_line_that_demands_an_aim_identifier_has_cards_all_the_same() -> None:
    line = replace(LINE, labels=LabelRules(aim_required=True))
    assert labels(chosen(What.COMMANDS, line=line)) == labels(chosen(What.COMMANDS))


@given(st.sampled_from(["E", "L", "S", "T"]), st.text(max_size=45))
def test_whatever_is_typed_becomes_its_own_label_or_a_sentence(letter: str, name: str) -> None:
    what = {"E": What.BADGES, "L": What.LOTS, "S": What.UNITS, "T": What.TOOLS}[letter]
    told, found = "", ["nothing"]
    try:
        found = labels(choose(what, (name,), LINE, []).sheets)
    except CardsRefused as error:
        told = str(error)
    if told:
        assert told.isprintable()
    else:
        assert all(isinstance(read_label(one), Label) for one in found)


# --- against the core and the journal ---------------------------------------------------------------


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    (tmp_path / "line.toml").write_text(TOML, encoding="utf-8")
    floor = Floor(tmp_path)
    yield floor
    floor.close()


TOML = """
[line]
name = "line-1"
timezone = "Europe/London"
data = "."

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:502"

[[station]]
name = "press"
ideal_cycle = "1s"
total = { source = "plc", holding = 0, as = "u32", words = "big" }

[[order]]
id = "WO-1"
item = "P7"
quantity = 1000
operations = [10]

[[order]]
id = "WO-2"
item = "P8"
quantity = 1000
operations = [10]

[reasons.scrap]
BURR = "Burr at the edge"

[reasons.downtime]
NO-MAT = "No material"
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_the_line_knows_every_command_of_the_sheet(floor: Floor, command: str) -> None:
    said = floor.scan(f"C {command}")
    assert "not in use" not in said.words
    assert said.verdict is not Verdict.QUARANTINED


def lineside(floor: Floor, *arguments: str) -> Result:
    done = CliRunner().invoke(app, ["cards", *arguments, "--line", str(floor.path.parent / "line.toml")])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_jobs_that_have_ended_are_printed_only_if_named(floor: Floor) -> None:
    for text in ("E 4711", "J WO-1-10", "C DONE"):
        floor.did(text)
    out = floor.path.parent / "cards.html"
    done = lineside(floor, "jobs", "--out", str(out))
    assert done.stdout == f"{out}: 1 card on 1 page\n"
    assert "WO-2-10" in out.read_text()
    assert "WO-1-10" not in out.read_text()
    lineside(floor, "jobs", "WO-1", "--out", str(out))
    assert "WO-1-10" in out.read_text()


def test_reasons_come_from_the_file(floor: Floor) -> None:
    out = floor.path.parent / "reasons.html"
    assert lineside(floor, "reasons", "--out", str(out)).stdout == f"{out}: 2 cards on 1 page\n"
    shown = out.read_text()
    assert all(words in shown for words in (">Burr", ">BURR<", ">No", ">NO-MAT<"))


def test_a_line_that_never_ran_has_the_orders_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text(TOML, encoding="utf-8")
    out = tmp_path / "cards.pdf"
    done = CliRunner().invoke(app, ["cards", "all", "--line", str(tmp_path / "line.toml"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"%PDF-")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cards.pdf", "line.toml"]


def test_letters_that_a_browser_may_not_have_are_named(floor: Floor) -> None:
    out = str(floor.path.parent / "badges.html")
    done = lineside(floor, "badges", "1=Anna", "2=陳大文", "--out", out)
    assert done.stderr == "陳大文: look at the page first; a browser without a font for them prints boxes\n"
    assert lineside(floor, "badges", "1=Anna", "2=محمد", "--out", out).stderr == ""


def test_what_is_wrong_is_told_and_nothing_is_written(floor: Floor) -> None:
    before = sorted(one.name for one in floor.path.parent.iterdir())
    for arguments in (
        ("badges", "anna", "--out", str(floor.path.parent / "new.pdf")),
        ("commands", "--out", str(floor.path.parent / "new.png")),
        ("commands", "--out", str(floor.path.parent / "no" / "new.pdf")),
        ("commands", "--label", "8x8", "--out", str(floor.path.parent / "new.pdf")),
    ):
        done = lineside(floor, *arguments)
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert sorted(one.name for one in floor.path.parent.iterdir()) == before
