"""A line on which every hostile label is scanned, and what is read of it."""

import asyncio
import csv
import io
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, async_playwright
from typer.testing import CliRunner

from edge.cli import app
from edge.journal import JournalReader
from simulators.labels import label
from tests.board.test_page import FLAGS
from tests.line.hostile import FORMULAS, LONG, NO_TEXT, PRINTABLE, SCRIPTS, UNPRINTABLE
from tests.line.test_agent import agent
from tests.support.ptys import PtyDevice
from tests.support.servers import FarEnd, Heard, _influx, heard, influxd, mosquitto, query_influx, session

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


TOPIC = re.compile(
    r"acme/leeds/line-1/(press/)?(_event/[a-z_]+|_state/(job|machine|telemetry|health)|_mark/broker)"
)
SERIES = re.compile(
    r"[a-z_]+(,kind=(good|reject))?,line=line-1"
    r"(,operation=10,order=WO-[12]|,order=UNASSIGNED)?(,position=\d+)?(,station=press)?"
)
"""Tags in the order of their names, as InfluxDB shows them."""


def _stored(text: str) -> str:
    """Controls as JSON writes them: the page of the sink says so."""
    return "".join(
        json.dumps(one)[1:-1] if unicodedata.category(one) == "Cc" and one not in "\x08\x0c" and one < "\x7f"
        else f"\\u{ord(one):04x}" if unicodedata.category(one) == "Cc"
        else one
        for one in text
    )  # fmt: skip


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


def is_no_control(character: str) -> bool:
    return unicodedata.category(character) != "Cc"


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


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


FRESH = ("cards", "jobs", "--data", "/nonexistent")
"""As the orders stand in the line's file: those of the journal have ended."""

OVERTURNED = {
    "unit": "", "program": "P", "result": "PASS", "said": [],
    "measured": [{"name": "\u202e<script>SSAP", "value": 5, "in": "mm", "high": 1}],
}  # fmt: skip
"""Of no unit, and failed by a step whose name turns round what stands behind it: the station is told."""
WORDS = "<202E><script>SSAP"


async def all_in_the_page(page: Page) -> None:
    assert await page.locator("main img, main script, main iframe, main style, base").count() == 0
