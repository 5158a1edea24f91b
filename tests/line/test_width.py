"""The width that a counter is declared with, corrected in the file: it is the same counter."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge.config import load
from edge.journal import JournalReader
from edge.ledger import Ledger, read_ledger
from edge.observation import AGENT
from edge.production import Line
from edge.production.baselines import Counter
from edge.production.counting import Kind
from edge.production.state import encode_row
from tests.journal.test_migrations import write
from tests.support.clock import ManualClock
from tests.support.line import events_on_disk, recording, scan, see

TOTAL = "press.total"
OPCUA = """
[line]
name = "line-1"
badge = "optional"
[[order]]
id = "WO-1001"
item = "P7"
quantity = 1000
operations = [10]
[source.plc]
type = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
[source.gun-1]
type = "serial-scanner"
port = "/dev/serial/by-id/gun"
[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun-1"
[station.total]
source = "plc"
node = "ns=2;s=Total"
counter = "{bits}"
"""
MODBUS = OPCUA.replace("opcua", "modbus").replace('endpoint = "opc.tcp', 'host = "tcp').replace("4840", "502")
MODBUS = MODBUS.replace('node = "ns=2;s=Total"\ncounter', 'holding = 100\nwords = "big"\nas')


@pytest.fixture
def line_of(tmp_path: Path) -> Callable[..., Line]:
    def made(bits: str, text: str = OPCUA) -> Line:
        file = tmp_path / f"{bits}.toml"
        file.write_text(text.replace("{bits}", bits), encoding="utf-8")
        return load(file).line

    return made


async def seen(line: Line, path: Path, clock: ManualClock, *readings: int, card: bool = False) -> None:
    """The agent starts, a card is scanned, and the counter is read, a second apart."""
    async with recording(line, path) as recorder:
        await recorder.emit([see(clock, AGENT, "start")])
        for place, raw in enumerate(readings):
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, TOTAL, raw)])
            if card and place == 0:
                await recorder.emit([scan(clock, "J WO-1001-10", fresh=(TOTAL,))])


def counts(path: Path) -> list[Mapping[str, Any]]:
    return [event for event in events_on_disk(path) if event["type"] == "count"]


def ledger(path: Path, line: Line) -> Ledger:
    with closing(JournalReader(path, "line-1")) as reader:
        return read_ledger(reader, line, None, None)


def parts_of(path: Path, order: str) -> int:
    return sum(
        int(event["produced"])
        for event in events_on_disk(path)
        if event["type"] == "count" and event["context"].get("order") == order
    )


@pytest.mark.parametrize("text", [OPCUA, MODBUS])
async def test_a_counter_of_six_digits_goes_on_from_zero(
    line_of: Callable[..., Line], tmp_path: Path, text: str
) -> None:
    six = 'as = "u32"\ncounter = 1000000' if text == MODBUS else "counter = 1000000"
    line = line_of("six", text.replace('as = "{bits}"', six).replace('counter = "{bits}"', six))
    path, clock = tmp_path / "journal.db", ManualClock()
    await seen(line, path, clock, 999_998, 999_999, 0, 1, 1_000_000, -200, 2, card=True)
    assert [one["quality"] for one in counts(path)] == ["baseline", "live", "rollover", "live", "gap"]
    assert parts_of(path, "WO-1001") == 4
    [why, *_] = [event["detail"] for event in events_on_disk(path) if event.get("state") == "unreadable"]
    assert why == (
        "1000000 is more than a counter of 1,000,000 readings counts to, so nothing is counted: "
        "write a larger `counter`"
    )


async def test_parts_made_while_the_width_was_corrected_are_the_orders(
    line_of: Callable[..., Line], tmp_path: Path
) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    await seen(line_of("u16"), path, clock, 65_437, 65_439, card=True)
    clock.pass_ms(600_000)
    await seen(line_of("u32"), path, clock, 65_781, 65_782)
    assert [one["quality"] for one in counts(path)] == ["baseline", "live", "gap", "live"]
    assert parts_of(path, "WO-1001") == 65_782 - 65_437
    found = ledger(path, line_of("u32"))
    assert (found.parts, found.uncertain) == (342, 0)


async def test_a_count_of_more_bits_than_the_file_gives_begins_anew_and_the_ledger_says_so(
    line_of: Callable[..., Line], tmp_path: Path
) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    await seen(line_of("u32"), path, clock, 70_000, 70_001)
    clock.pass_ms(600_000)
    await seen(line_of("u16"), path, clock, 4_500)
    assert [(one["quality"], one.get("was")) for one in counts(path)][-1] == ("baseline", 70_001)
    [one] = [one for one in ledger(path, line_of("u16")).intervals if one.uncertain]
    assert "fewer readings" in one.uncertain[0]
    assert "from 70001 to 4500 is of nobody" in one.uncertain[0]


def test_another_decoding_is_another_counter(line_of: Callable[..., Line]) -> None:
    def key(bits: str, text: str) -> str:
        return line_of(bits, text).counters[TOTAL].counter.key

    assert key("u64", MODBUS) != key("u32", MODBUS)
    assert key("u16", OPCUA) == key("u32", OPCUA)


@pytest.mark.parametrize("of", ["u8", "u16", "u32"])
@pytest.mark.parametrize("text", [OPCUA, MODBUS])
async def test_a_journal_with_widths_in_its_keys_goes_on(
    line_of: Callable[..., Line], tmp_path: Path, of: str, text: str
) -> None:
    """As the second schema had them, one also of a width that was given up long before."""
    path, clock = tmp_path / "journal.db", ManualClock()
    line = line_of("u32", text)
    key = line.counters[TOTAL].counter.key
    now = clock.wall_ms()
    long_ago = Counter(7, now - 90_000, now - 90_000, 1, clock.boot)
    newest = Counter(200, now, now, clock.mono_ms(), clock.boot)
    write(path, 2)
    with closing(apsw.Connection(str(path))) as db:
        old = {f"{key}|u64": long_ago, f"{key}|{of}": newest, f"{key}|u15": long_ago}
        for name, row in old.items():
            db.execute("INSERT INTO state (key, body) VALUES (?, ?)", (name, encode_row(row)))
    await seen(line, path, clock, 203)
    last = counts(path)[-1]
    assert (last["quality"], last["produced"], last["raw"]) == (Kind.GAP, 3, 203)
    with closing(JournalReader(path, "line-1")) as reader:
        assert [name for name, _ in reader.rows("counter/") if name.startswith(key)] == [key]
