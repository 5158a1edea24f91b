"""Hostile labels and reports, from the wire to every place where they are read: they are only text.

One line is played with all of them. Its labels are taken as lots, badges, tools, reasons and units by aliases
that accept anything: what is accepted goes further than what is refused.
"""

import asyncio
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tty
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from playwright.async_api import Page, async_playwright, expect
from typer.testing import CliRunner

from edge.board.screen import readable
from edge.cli import app
from edge.journal import JournalReader
from simulators.labels import label
from tests.board.process import board
from tests.board.test_page import FLAGS
from tests.line.hostile import FORMULAS, LONG, NO_TEXT, PRINTABLE, SCRIPTS, UNPRINTABLE
from tests.line.test_agent import agent
from tests.support.ptys import PtyDevice
from tests.support.servers import FarEnd, Heard, _influx, heard, influxd, mosquitto, query_influx, session

pytestmark = pytest.mark.timeout(180)

LINE = """
[line]
name = "line-1"
path = "acme/leeds"
badge = "optional"
data = "@/data"

[[order]]
id = "WO-1"
item = '<script>window.owned=1</script>'
revision = '"><img src=x onerror=window.owned=1>'
batch = "'; DROP TABLE event; --"
quantity = 1000
operations = [10]

[[order]]
id = "WO-2"
item = "=cmd|' /C calc'!A0"
revision = '<b onmouseover="window.owned=1">&amp;'
batch = '@SUM(1+1)'
quantity = 10
operations = [10]

[[labels.alias]]
name = "badges"
pattern = 'E:(?P<badge>.{1,90})'
means = "badge"
example = "E:=1"

[[labels.alias]]
name = "tools"
pattern = 'T:(?P<tool>.{1,90})'
means = "tool"
example = "T:=1"

[[labels.alias]]
name = "reasons"
pattern = 'X:(?P<reason>.{1,90})'
means = "scrap"
example = "X:=1"

[[labels.alias]]
name = "units"
pattern = 'S:(?P<serial>.{1,90})'
means = "serial"
example = "S:=1"

[[labels.alias]]
name = "lots"
pattern = '(?P<lot>.{1,90})'
means = "lot"
example = "=1"

[source.gun-1]
type = "serial-scanner"
port = "@/gun-1"
begin = "\\u0002"
end = "\\u0003"
confirm = "A"
refuse = "R"
duplicate = "D"

[source.rig-1]
type = "testrig"
port = "@/rig-1"
confirm = "A"
refuse = "R"
format = "json"
unit = "sent-or-scanned"
fields = { unit = "unit", program = "program", revision = "revision", number = "number", result = "result" }

[[source.rig-1.step]]
each = "said"
name_at = "name"
at = "value"
as = "text"

[[source.rig-1.step]]
each = "measured"
name_at = "name"
at = "value"
unit_of_measure_at = "in"
high_at = "high"

[[station]]
name = "press"
ideal_cycle = "1s"
counts_by = "operator"
scanner = "gun-1"
rig = "rig-1"
"""
SINKS = """
[sink.json]
type = "file"
linger = "1ms"

[sink.points]
type = "file"
format = "line-protocol"
linger = "1ms"

[sink.erp]
type = "results"
format = "csv"

[sink.influx]
type = "influxdb"
api = "v1"
url = "http://127.0.0.1:{influx}"
bucket = "edge"

[sink.broker]
type = "mqtt"
broker = ["mqtt://127.0.0.1:{broker}"]
"""
ACCEPTED = tuple(one for one in PRINTABLE if one == one.strip(" "))
"""Without blanks around them, which are no part of a name."""


def written(text: str) -> str:
    """For `agent`, which fills in what stands in braces."""
    return text.replace("{", "{{").replace("}", "}}")


def scans() -> Iterator[bytes]:
    """Every text as it stands, and what can be a name once more as each kind of name."""
    for letter, body in (("J", "WO-2-10"), ("Q", "1"), ("C", "DONE"), ("J", "WO-1-10")):
        yield label(letter, body).encode()
    for text in ACCEPTED:
        for kind in ("E:", "", "T:", "X:"):
            yield f"{kind}{text}".encode()
        yield label("Q", "1").encode()
        yield f"S:{text}".encode()
        yield label("C", "CANCEL").encode()
    for text in (*UNPRINTABLE, *LONG):
        yield text.encode()
        yield f"E:{text}".encode()
    yield from NO_TEXT
    yield label("C", "DONE").encode()


def reports() -> Iterator[bytes]:
    """Results whose every text is hostile; and lines that are none."""
    texts = (*ACCEPTED, *UNPRINTABLE, *LONG)
    for number, text in enumerate(texts):
        said = {
            "unit": text, "program": text, "revision": text, "number": f"{text}{number}", "result": "PASS",
            "said": [{"name": text, "value": text}],
            "measured": [{"name": f"m{text}", "value": 1, "in": text}],
        }  # fmt: skip
        yield json.dumps(said, ensure_ascii=text in UNPRINTABLE).encode()
    yield json.dumps({"unit": "\ud800", "program": "\udfff", "result": "PASS"}).encode()
    yield from (b"{" * 2_000, b"\x1b]52;c;eA==\x07", b"=cmd|' /C calc'!A0", *NO_TEXT)


@dataclass(frozen=True, slots=True)
class Played:
    """What was sent and answered, and what every place has of it."""

    folder: Path
    scanned: list[tuple[bytes, bytes]]
    """What was sent, and the answer."""
    reported: list[tuple[bytes, bytes]]
    events: list[Mapping[str, Any]]
    messages: list[Heard]
    series: set[str]
    again: set[str]
    """The series of the line-protocol file, written into another database."""
    fields: set[str]
    points: Mapping[str, Sequence[Mapping[str, Any]]]
    """By measurement, as InfluxDB gives them back."""
    log: str

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [one["data"] for one in self.events if one["type"] == kind]

    @property
    def file(self) -> Path:
        return self.folder / "line.toml"

    def taken(self, prefix: str) -> list[str]:
        """Names that were accepted as what the prefix means."""
        found = [one["label"] for one in self.of("scan") if one["outcome"] == "accepted"]
        return [one[len(prefix) :] for one in found if one.startswith(prefix)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return asyncio.run(play(tmp_path_factory.mktemp("hostile")))


async def play(folder: Path) -> Played:
    options = ("allow_anonymous true", "max_queued_messages 0")
    async with mosquitto(folder / "broker", options=options) as broker, influxd(folder / "influx") as influx:
        witness = await session(broker.port, "witness", "#")
        line = written(LINE.replace("@", str(folder))) + SINKS.format(influx=influx.port, broker=broker.port)
        gun, rig = PtyDevice(folder / "gun-1"), PtyDevice(folder / "rig-1")
        async with agent(folder, "", line) as running:
            await running.until(
                lambda: all(f"{name}: connected" in running.log for name in ("gun-1", "rig-1"))
            )
            scanned = [(one, await answered(gun, b"\x02" + one + b"\x03")) for one in scans()]
            reported = [(one, await answered(rig, one + b"\n")) for one in reports()]
            happened = journal(folder)
            count = len(happened)
            await running.until(lambda: in_file(folder) >= count)
            messages = await all_messages(broker.port, witness, count)
            await running.until(lambda: points(influx, "scan") >= len(scanned))
            assert await running.stop() == 0
            log = running.log
        for device in (gun, rig):
            device.unplug()
        return Played(
            folder, scanned, reported, happened, messages, series(influx, "edge"),
            copied(influx, folder / "data/out/points/events.lp"), fields(influx),
            {of: query_influx(influx.port, f"SELECT * FROM {of}") for of in ("scan", "test", "result")}, log,
        )  # fmt: skip


async def answered(device: PtyDevice, data: bytes) -> bytes:
    device.heard_now()
    await device.send(data)
    return await device.heard(1)


def journal(folder: Path) -> list[Mapping[str, Any]]:
    reader = JournalReader(folder / "data/journal.db", "line-1")
    try:
        return [msgspec.json.decode(one.json) for one in reader.records(1, reader.head(), 100_000)]
    finally:
        reader.close()


def in_file(folder: Path) -> int:
    return (folder / "data/out/json/events.jsonl").read_bytes().count(b"\n")


async def all_messages(port: int, witness: Sequence[str], count: int) -> list[Heard]:
    found: list[Heard] = []
    for _ in range(10):
        found += await heard(port, "#", 10**6, *witness, within_s=1)
        if sum("/_event/" in one.topic for one in found) >= count:
            return found
    raise AssertionError(f"{len(found)} messages of {count} events")


def points(influx: FarEnd, measurement: str) -> int:
    rows = query_influx(influx.port, f"SELECT count(label) FROM {measurement}")
    return int(rows[0]["count"]) if rows else 0


def series(influx: FarEnd, database: str) -> set[str]:
    return {str(one["key"]) for one in query_influx(influx.port, "SHOW SERIES", database)}


def fields(influx: FarEnd) -> set[str]:
    return {str(one["fieldKey"]) for one in query_influx(influx.port, "SHOW FIELD KEYS")}


def copied(influx: FarEnd, file: Path) -> set[str]:
    """As a person would import it."""
    _influx(influx.port, "POST", "/query?q=CREATE%20DATABASE%20again")
    status, body = _influx(influx.port, "POST", "/write?db=again&precision=ns", file.read_bytes())
    assert status == 204, body
    return series(influx, "again")


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

TOPIC = re.compile(
    r"acme/leeds/line-1/(press/)?(_event/[a-z_]+|_state/(job|machine|telemetry|health)|_mark/broker)"
)
SERIES = re.compile(
    r"[a-z_]+(,kind=(good|reject))?,line=line-1"
    r"(,operation=10,order=WO-[12]|,order=UNASSIGNED)?(,position=\d+)?(,station=press)?"
)
"""Tags in the order of their names, as InfluxDB shows them."""


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


def _stored(text: str) -> str:
    """Controls as JSON writes them: the page of the sink says so."""
    return "".join(
        json.dumps(one)[1:-1] if unicodedata.category(one) == "Cc" and one not in "\x08\x0c" and one < "\x7f"
        else f"\\u{ord(one):04x}" if unicodedata.category(one) == "Cc"
        else one
        for one in text
    )  # fmt: skip


# --- the terminal -----------------------------------------------------------------------------------------

NASTY = (
    *SCRIPTS[:3],
    *FORMULAS[:3],
    "{0.__class__}",
    "'; DROP TABLE event; --",
    "\\",
    "%n%n%s%x",
    "$(id)",
    "ﷺ",
)


GROUPS = ("orders", "quarantine", "sink")


def lineside(played: Played, *arguments: str) -> str:
    """What a command prints; whatever its status."""
    command, *rest = arguments
    head = [command, rest.pop(0)] if command in GROUPS and rest else [command]
    done = CliRunner().invoke(app, [*head, "--line", str(played.file), *rest])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


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


def is_no_control(character: str) -> bool:
    return unicodedata.category(character) != "Cc"


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


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


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


@asynccontextmanager
async def browser_page(home: str) -> AsyncIterator[Page]:
    """Whatever the browser complains about, or asks for elsewhere, fails the test."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        try:
            page = await browser.new_page()
            page.on("console", lambda said: complaints.append(said.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
            page.on(
                "request", lambda one: complaints.append(one.url) if not one.url.startswith(home) else None
            )
            yield page
            assert await page.evaluate("window.owned") is None
        finally:
            await browser.close()
    assert complaints == []


async def test_the_dossier_of_a_hostile_run_is_a_page_that_does_nothing(played: Played) -> None:
    file = played.folder / "dossier.html"
    lineside(played, "dossier", "r2", "--html", "--out", str(file))
    async with browser_page(file.as_uri()) as page:
        await page.goto(file.as_uri())
        shown = await page.evaluate("document.body.textContent")
        for text in NASTY:
            assert text in shown, text
        assert await page.locator("script, img, iframe, svg, base, [onload], [onerror]").count() == 0


FRESH = ("cards", "jobs", "--data", "/nonexistent")
"""As the orders stand in the line's file: those of the journal have ended."""


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


OVERTURNED = {
    "unit": "", "program": "P", "result": "PASS", "said": [],
    "measured": [{"name": "\u202e<script>SSAP", "value": 5, "in": "mm", "high": 1}],
}  # fmt: skip
"""Of no unit, and failed by a step whose name turns round what stands behind it: the station is told."""
WORDS = "<202E><script>SSAP"


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


async def all_in_the_page(page: Page) -> None:
    assert await page.locator("main img, main script, main iframe, main style, base").count() == 0


def test_the_texts_are_hostile() -> None:
    """What this file relies on."""
    assert all(one.isprintable() for one in PRINTABLE)
    assert all(not one.isprintable() for one in UNPRINTABLE)
    assert max(Counter((*PRINTABLE, *UNPRINTABLE, *LONG)).values()) == 1
