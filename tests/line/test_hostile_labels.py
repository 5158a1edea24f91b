"""Hostile labels and reports, from the wire to every place where they are read: they are only text.

One line is played with all of them. Its labels are taken as lots, badges, tools, reasons and units by aliases
that accept anything: what is accepted goes further than what is refused.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tty
import unicodedata
from collections import Counter
from contextlib import suppress
from pathlib import Path

import apsw
import msgspec
import pytest
from playwright.async_api import expect

from edge.board.screen import readable
from simulators.labels import label
from tests.board.process import board
from tests.line import hostile_labels_support
from tests.line.hostile import FORMULAS, LONG, PRINTABLE, SCRIPTS, UNPRINTABLE
from tests.line.hostile_labels_support import (
    ACCEPTED,
    FRESH,
    LINE,
    NASTY,
    OVERTURNED,
    SERIES,
    TOPIC,
    WORDS,
    Played,
    _stored,
    all_in_the_page,
    answered,
    browser_page,
    cells,
    is_no_control,
    lineside,
    written,
)
from tests.line.test_agent import agent
from tests.support.ptys import PtyDevice

played = hostile_labels_support.played

pytestmark = pytest.mark.timeout(180)


# --- the journal ------------------------------------------------------------------------------------------


def test_every_label_is_in_the_journal_as_it_was_sent(played: Played) -> None:
    kept = played.of("scan")
    assert len(kept) == len(played.scanned)
    for (sent, answer), scan in zip(played.scanned, kept, strict=True):
        if len(sent) > 512 or b"\0" in sent:
            assert (scan["label"], answer) == ("", b"R")  # no gun sends that: it is told in the words
        else:
            assert scan["label"] == sent.decode("utf-8", "backslashreplace")
        assert answer == {"accepted": b"A", "refused": b"R", "duplicate": b"D"}[scan["outcome"]], scan
        assert scan["words"].isprintable(), scan
    with apsw.Connection(str(played.folder / "data/journal.db")) as db:
        assert db.pragma("integrity_check") == "ok"


def test_what_can_be_a_name_was_taken_as_one_and_nothing_else_was(played: Played) -> None:
    """So that the rest of this file is about more than refusals."""
    for prefix in ("E:", "T:", "X:", "S:"):
        missing = set(ACCEPTED) - set(played.taken(prefix))
        assert missing == set(), (prefix, [one for one in played.of("scan") if one["label"][2:] in missing])
    lots = set(played.taken("")) & set(ACCEPTED)
    assert set(ACCEPTED) - lots <= {"$SYS/broker/uptime", "[]", "$(id)", "${7*7}", "{{7*7}}"}
    names = [one[2:] for one in played.taken("")]
    assert not [one for one in names if not one.isprintable()]


def test_a_report_is_recorded_as_it_was_sent_or_refused(played: Played) -> None:
    tests = {one["number"]: one for one in played.of("test")}
    assert len(tests) >= len(ACCEPTED)
    for sent, answer in played.reported:
        said = json.loads(sent) if sent.startswith(b'{"unit"') else {}
        if answer == b"R":
            assert said.get("number") not in tests
            continue
        test, text = tests[said["number"].strip(" ")], said["unit"].strip(" ")
        assert (test["unit"], test["program"], test["revision"]) == (text, text, text)
        said_step, measured = test["steps"]
        assert (said_step["name"], said_step.get("text"), measured["unit_of_measure"]) == (text, text, text)
    refused = [one["detail"] for one in played.of("health") if one["state"] == "unreadable"]
    assert refused
    assert all(one.isprintable() for one in refused), refused


# --- far ends ---------------------------------------------------------------------------------------------


def test_no_label_makes_a_topic(played: Played) -> None:
    assert [one.topic for one in played.messages if TOPIC.fullmatch(one.topic) is None] == []
    arrived = {one.json["id"]: one.json for one in played.messages if "/_event/" in one.topic}
    assert {one["id"]: arrived.get(one["id"]) for one in played.events} == {
        one["id"]: one for one in played.events
    }


def test_the_file_has_each_event_in_a_line_of_its_own(played: Played) -> None:
    lines = (played.folder / "data/out/json/events.jsonl").read_bytes().split(b"\n")
    assert [json.loads(one) for one in lines if one][: len(played.events)] == played.events


def test_no_label_makes_a_series_a_tag_or_a_field(played: Played) -> None:
    assert [one for one in played.series if SERIES.fullmatch(one) is None] == []
    assert played.again == played.series
    known = {name for one in played.events for part in ("data", "context") for name in one.get(part, {})}
    members = {"name", "value", "unit_of_measure", "text", "passed", "attribution", "lot", "data_kind"}
    codes = {f"reasons_{one}" for one in ACCEPTED if re.fullmatch(r"[\w./-]{1,50}", one, re.ASCII)}
    assert played.fields <= known | members | {"good", "scrap", "rework"} | codes
    *_, reasons = [one for one in played.points["result"] if one["order"] == "WO-1"]
    assert json.loads(reasons["reasons"]).keys() | {one[8:] for one in codes} == set(ACCEPTED)


def test_influxdb_gives_back_every_label(played: Played) -> None:
    assert [one["label"] for one in played.points["scan"]] == [
        _stored(one["label"]) for one in played.of("scan")
    ]
    assert [one["words"] for one in played.points["scan"]] == [
        _stored(one["words"]) for one in played.of("scan")
    ]
    for name in ("unit", "program", "revision", "number"):
        assert [one[name] for one in played.points["test"]] == [
            _stored(one[name]) for one in played.of("test")
        ]


# --- the terminal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [
    "runs", "ledger", "journal", "orders list", "orders show WO-1", "orders results",
    "orders show WO-2", "inbox", "quarantine list", "sink list", "dossier r2 --html", "orders results --csv",
])  # fmt: skip
def test_no_command_prints_a_character_that_a_terminal_obeys(played: Played, command: str) -> None:
    said = lineside(played, *command.split(" "))
    assert said.strip()
    assert "Traceback" not in said
    assert [one for one in said if not one.isprintable() and one != "\n"] == []


@pytest.mark.parametrize("command", [
    "runs --json", "orders show WO-1 --json", "orders results --json", "ledger --json",
    "inbox --json", "sink list --json", "quarantine list --json",
])  # fmt: skip
def test_json_holds_no_raw_control(played: Played, command: str) -> None:
    said = lineside(played, *command.split(" "))
    assert [one for one in said if unicodedata.category(one) == "Cc" and one != "\n"] == []


def test_a_dossier_that_is_looked_at_holds_no_raw_control_and_is_the_same_json(played: Played) -> None:
    """On a terminal; into a pipe or a file it goes byte for byte, for its hashes."""
    command = [sys.executable, "-m", "edge", "dossier", "r2", "--line", str(played.file)]
    piped = subprocess.run(command, check=True, capture_output=True).stdout
    near, far = os.openpty()
    tty.setraw(far)
    shown = b""
    with subprocess.Popen(command, stdout=far) as process:
        os.close(far)
        with suppress(OSError):  # its end
            while data := os.read(near, 65_536):
                shown += data
        assert process.wait() == 0
    os.close(near)
    assert [one for one in shown.decode() if not one.isprintable() and one != "\n"] == []
    assert "\x9b" in piped.decode()
    assert json.loads(shown) == json.loads(piped)


def test_what_waits_in_quarantine_is_told_without_controls(played: Played, tmp_path: Path) -> None:
    shutil.copytree(played.folder / "data", tmp_path / "data", ignore=shutil.ignore_patterns("*.sock"))
    with apsw.Connection(str(tmp_path / "data/journal.db")) as db:
        for text in (*UNPRINTABLE, *SCRIPTS):
            body = msgspec.json.encode({"signal": "gun-1", "value": text})
            db.execute("INSERT INTO quarantine (seen_ms, observation, error) VALUES (1, ?, ?)", (body, text))
            db.execute(
                "INSERT OR IGNORE INTO rejected VALUES (?, ?, ?)", ("influx", db.last_insert_rowid(), text)
            )
    for form, is_fine in ((("--json",), is_no_control), ((), str.isprintable)):
        said = lineside(played, "quarantine", "list", "--data", str(tmp_path / "data"), *form)
        assert [one for one in said if not is_fine(one) and one != "\n"] == []
        assert said.count("window.owned") >= len(SCRIPTS)


@pytest.mark.parametrize("way", ["--forward", "--back", "--json"])
def test_trace_of_hostile_names(played: Played, way: str) -> None:
    for name in (*NASTY[::2], *UNPRINTABLE[::3]):
        said = lineside(played, "trace", way, "--", name)
        assert [one for one in said if unicodedata.category(one) == "Cc" and one != "\n"] == [], name
        if way != "--json":
            assert all(one.isprintable() for one in said.split("\n")), name
        if name in NASTY and way != "--json":
            assert name in said


def test_the_log_holds_no_raw_control(played: Played) -> None:
    assert [one for one in played.log if not one.isprintable() and one != "\n"] == []
    assert "Traceback" not in played.log


# --- reports ----------------------------------------------------------------------------------------------


def test_no_cell_of_a_report_is_a_formula(played: Played) -> None:
    out = played.folder / "results.csv"
    lineside(played, "orders", "results", "--out", str(out))
    files = [*(played.folder / "data/out/erp").glob("*.csv"), out]
    assert len(files) == 3
    for file in files:
        header, *rows = cells(file.read_text(encoding="utf-8"))
        assert {row[header.index("order")] for row in rows} <= {"WO-1", "WO-2"}
        for cell in (one for row in rows for one in row):
            # A spreadsheet of another country cuts at ";" too, whatever is quoted.
            for part in cell.split(";"):
                assert not part.strip(' "').startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")), cell
    assert "=cmd|' /C calc'!A0" in out.read_text(encoding="utf-8")


def test_json_results_are_exact(played: Played) -> None:
    found = {one["order"]: one for one in json.loads(lineside(played, "orders", "results", "--json"))}
    assert found["WO-2"]["item"] == "=cmd|' /C calc'!A0"
    assert set(found["WO-1"]["people"]) <= set(ACCEPTED)
    assert set(found["WO-1"]["reasons"]) == set(ACCEPTED)


# --- pages ------------------------------------------------------------------------------------------------


async def test_the_dossier_of_a_hostile_run_is_a_page_that_does_nothing(played: Played) -> None:
    file = played.folder / "dossier.html"
    lineside(played, "dossier", "r2", "--html", "--out", str(file))
    async with browser_page(file.as_uri()) as page:
        await page.goto(file.as_uri())
        shown = await page.evaluate("document.body.textContent")
        for text in NASTY:
            assert text in shown, text
        assert await page.locator("script, img, iframe, svg, base, [onload], [onerror]").count() == 0


@pytest.mark.parametrize("symbol", ["datamatrix", "qr"])
async def test_cards_of_hostile_orders(played: Played, symbol: str) -> None:
    file = played.folder / f"cards-{symbol}.html"
    lineside(played, *FRESH, "--symbol", symbol, "--out", str(file))
    async with browser_page(file.as_uri()) as page:
        await page.goto(file.as_uri())
        shown = await page.evaluate("document.body.textContent")
        assert "<script>window.owned=1</script>" in shown
        assert "=cmd|' /C calc'!A0" in shown
        assert await page.locator("script, img, iframe, b[onmouseover]").count() == 0


async def test_the_pdf_of_hostile_orders_says_them_and_does_nothing(played: Played) -> None:
    file = played.folder / "cards.pdf"
    lineside(played, *FRESH, "--out", str(file))
    said = await asyncio.create_subprocess_exec(
        "pdftotext", "-raw", str(file), "-", stdout=asyncio.subprocess.PIPE
    )
    text, _ = await said.communicate()
    shown = re.sub(r"\s", "", text.decode())
    assert "<script>window.owned=1</script>" in shown
    assert "=cmd|'/Ccalc'!A0" in shown
    skeleton = re.sub(rb"stream\r?\n.*?endstream", b"", file.read_bytes(), flags=re.DOTALL)
    assert re.search(rb"/(JavaScript|JS|OpenAction|Launch|URI|AA)\b", skeleton) is None


async def test_the_board_shows_hostile_labels_as_text(tmp_path: Path) -> None:
    """Live: what each scan brings in is written into the page by its script."""
    gun, rig = PtyDevice(tmp_path / "gun-1"), PtyDevice(tmp_path / "rig-1")
    sent = (*SCRIPTS[:4], *UNPRINTABLE[:3], "\u202eTFIHS", FORMULAS[0])
    async with agent(tmp_path, "", written(LINE.replace("@", str(tmp_path)))) as running:
        await running.until(lambda: all(f"{name}: connected" in running.log for name in ("gun-1", "rig-1")))
        async with board(tmp_path / "line.toml") as shown, browser_page(shown.url) as page:
            await answered(gun, f"\x02{label('J', 'WO-1-10')}\x03".encode())
            await page.goto(f"{shown.url}station/press")
            await expect(page.locator("body")).to_have_attribute("data-agent", "live")
            for text in sent:
                await answered(gun, b"\x02E:" + text.encode() + b"\x03")
                await expect(page.locator("#label")).to_have_text(readable(f"E:{text}"))
            assert readable("".join(sent)).isprintable()
            await expect(page.locator("#now")).to_contain_text(FORMULAS[0])
            await answered(rig, json.dumps(OVERTURNED).encode() + b"\n")
            await expect(page.locator("#said")).to_contain_text(WORDS)
            await all_in_the_page(page)
            await page.goto(shown.url)
            await expect(page.locator('[data-station="0"]')).to_contain_text(WORDS)
            for text in SCRIPTS[:3]:
                await answered(gun, b"\x02" + text.encode() + b"\x03")
                await expect(page.locator('[data-station="0"] [data-slot="product"]')).to_contain_text(text)
            await all_in_the_page(page)
        assert await running.stop() == 0
    for device in (gun, rig):
        device.unplug()


def test_the_texts_are_hostile() -> None:
    """What this file relies on."""
    assert all(one.isprintable() for one in PRINTABLE)
    assert all(not one.isprintable() for one in UNPRINTABLE)
    assert max(Counter((*PRINTABLE, *UNPRINTABLE, *LONG)).values()) == 1
