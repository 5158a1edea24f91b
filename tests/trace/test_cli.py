"""`lineside trace`, `runs` and `dossier` as they are typed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.cli import app
from edge.trace.text import columns, cut, moment, plain
from tests.trace.floor import Floor

LINE = """
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
"""


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    (tmp_path / "line.toml").write_text(LINE)
    floor = Floor(tmp_path)
    for text in ("E 4711", "J WO-1-10", "L STEEL.1"):
        floor.did(text)
    floor.make(parts=20)
    floor.did("S U1")
    floor.test("U1")
    floor.did("C DONE")
    floor.did("J WO-3-20", "weld")
    yield floor
    floor.close()


def lineside(floor: Floor, *arguments: str, line: bool = True) -> Result:
    options = ("--line", str(floor.path.parent / "line.toml")) if line else ()
    done = CliRunner().invoke(app, [*arguments, *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_a_lot_is_traced_both_ways_as_a_tree(floor: Floor) -> None:
    done = lineside(floor, "trace", "STEEL.1")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "lot STEEL.1: what was made of it"
    assert any("run r1  press  WO-1-10  P7 rev C  2026-05-04 14:07:04 to " in line for line in lines), lines
    assert any("unit U1  passed" in line and "final on rig-press passed" in line for line in lines)
    assert "lot STEEL.1: what it was made of" in lines


def test_a_unit_is_traced_back_unless_it_is_said_otherwise(floor: Floor) -> None:
    assert lineside(floor, "trace", "U1").stdout.startswith("unit U1: what it was made of")
    assert lineside(floor, "trace", "U1", "--forward").stdout.startswith("unit U1: what was made of it")


def test_a_trace_as_json_has_nodes_and_edges(floor: Floor) -> None:
    [found] = json.loads(lineside(floor, "trace", "B1", "--back", "--json").stdout)
    assert (found["start"], found["direction"], found["complete"]) == (["lot", "B1"], "back", True)
    assert [(one["kind"], one["name"]) for one in found["nodes"]] == [
        ("lot", "B1"), ("run", "r1"), ("lot", "STEEL.1"),
    ]  # fmt: skip
    assert found["edges"][0] == {
        "source": ["lot", "B1"], "target": ["run", "r1"], "how": "made in the run: 20 good, 0 scrap",
    }  # fmt: skip


def test_an_unknown_name_is_a_sentence(floor: Floor) -> None:
    done = lineside(floor, "trace", "STEEL.11")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "STEEL.11 is no serial number and no lot that this line has seen; did you mean STEEL.1?\n"
    )


def test_runs_are_listed_the_newest_first(floor: Floor) -> None:
    lines = lineside(floor, "runs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", "r2", "r1"]
    found = json.loads(lineside(floor, "runs", "--json", "--order", "WO-1").stdout)
    assert [(one["run"], one["good"], one["batches"]) for one in found] == [("r1", 20, ["B1"])]
    assert [
        one["run"] for one in json.loads(lineside(floor, "runs", "--json", "--station", "weld").stdout)
    ] == ["r2"]
    limited = lineside(floor, "runs", "--limit", "1")
    assert len(limited.stdout.splitlines()) == 2
    assert "a higher --limit shows more" in limited.stderr
    none = lineside(floor, "runs", "--order", "WO-9")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "line-1 has no such run\n")


def test_a_dossier_is_written_in_both_forms_and_verified(floor: Floor, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = lineside(floor, "dossier", "r1", "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == ["line-1-r1.html", "line-1-r1.json"]
    assert done.stdout.split() == [str(out / "line-1-r1.json"), str(out / "line-1-r1.html")]
    file = out / "line-1-r1.json"
    assert file.stat().st_mode & 0o077 == 0, "it names people"
    assert "as the journal has them" in lineside(floor, "dossier", "--verify", str(file)).stdout
    assert "The chain is whole." in lineside(floor, "dossier", "--verify", str(file), line=False).stdout
    file.write_bytes(file.read_bytes().replace(b"4711", b"4712"))
    bad = lineside(floor, "dossier", "--verify", str(file))
    assert bad.exit_code == 1
    assert "FAULT: the chain breaks at event" in bad.stdout


def test_a_dossier_is_printed_in_one_form(floor: Floor, tmp_path: Path) -> None:
    assert json.loads(lineside(floor, "dossier", "r1").stdout)["header"]["run"] == "r1"
    assert lineside(floor, "dossier", "r1", "--html").stdout.startswith("<!doctype html>")
    page = tmp_path / "page.html"
    assert lineside(floor, "dossier", "r1", "--out", str(page)).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dossier", "r77"), "line-1 has no run 'r77'"),
        (("dossier",), "name a run"),
        (("dossier", "r1", "--html", "--json"), "only one form can be printed"),
        (("dossier", "r1", "--html", "--out", "x.json"), "is one file of another form"),
        (("dossier", "r1", "--out", "/proc/x.json"), "cannot be written"),
        (("dossier", "--verify", "nowhere.json"), "cannot be read"),
        (("dossier", "r1", "--verify", "a.json"), "--verify takes a file"),
        (("dossier", "--verify", "line.toml"), "is none, or is damaged"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    floor: Floor, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(floor.path.parent)
    done = lineside(floor, *arguments)
    assert done.exit_code == 1
    assert words in done.stderr
    assert not list(floor.path.parent.glob("*.part"))


def test_without_a_journal_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text(LINE)
    done = CliRunner().invoke(app, ["trace", "U1", "--line", str(tmp_path / "line.toml")])
    assert done.exit_code == 1
    assert "has the agent run here yet?" in done.stderr


def test_the_agent_goes_on_while_somebody_reads(floor: Floor) -> None:
    """A reader in the middle of its snapshot neither stops a commit nor sees it."""
    with floor.history() as history:
        with history.snapshot():
            before = history.head()
            floor.make(parts=3)
            assert history.head() == before
        assert history.head() == floor.journal.head > before


# --- words --------------------------------------------------------------------------------------


def test_text_fits_and_moves_nothing() -> None:
    assert plain("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert cut("漢字漢字漢字", 7) == "漢字漢…"
    assert cut("short", 7) == "short"
    assert columns([("a", "b"), ("漢", "c")]) == ["a   b", "漢  c"]
    assert moment(10**18) == "1000000000000000000 ms"
    assert moment(None) == ""
