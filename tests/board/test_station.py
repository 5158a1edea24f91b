"""A station's screen in a real browser: every scan is shown and heard, and what waits counts down."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from edge.board.screen import KEPT, Heard, ScanLog, Screen, readable, screen_now
from edge.journal.reader import Said
from edge.observation import AGENT, TestResult, Verdict
from edge.production.line import StationSpec
from edge.production.scanned import LastScan, Noun
from edge.production.state import Station
from simulators.labels import label
from tests.board.agent import fake_agent, write_line
from tests.board.http import ask
from tests.board.process import Board, board, end
from tests.board.test_page import HOSTILE, count_to, page_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_line(tmp_path)


@asynccontextmanager
async def screen_of(
    shown: Board, station: str = "press", width: int = 1920, height: int = 1080, query: str = ""
) -> AsyncIterator[Page]:
    async with page_of(shown, width, height) as page:
        await page.goto(f"{shown.url}station/{station}{query}")
        yield page


async def heard(page: Page) -> list[str]:
    """What was announced, and would be heard where the sound is on."""
    kinds: list[str] = await page.evaluate("heard.map(([kind]) => kind)")
    return kinds


# --- in the browser -------------------------------------------------------------------------------


async def test_every_outcome_has_its_word_its_shape_and_its_colour(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await expect(page.locator("#title")).to_have_text("READY")
        looks = []
        for text, title, words in (
            (label("E", "4711"), "ACCEPTED", "4711 is at press"),
            (label("E", "4711"), "DUPLICATE", "the same label twice"),
            ("what is this", "REFUSED", ""),
        ):
            await agent.scan_text("press", text)
            await expect(page.locator("#title")).to_have_text(title)
            await expect(page.locator("#said")).to_contain_text(words)
            await expect(page.locator("#label")).to_have_text(text)
            await expect(page.locator("#scan")).to_have_attribute("data-old", "no")
            looks.append(await page.evaluate(LOOK))
        assert len({colour for colour, _ in looks}) == 3
        assert len({shape for _, shape in looks}) == 3
        await expect(page.locator("#before li").nth(0)).to_contain_text("DUPLICATE")
        await expect(page.locator("#before li").nth(1)).to_contain_text("ACCEPTED 4711 is at press")
        await expect(page.locator("#last")).to_be_hidden()
        assert await heard(page) == ["accepted", "duplicate", "refused"]
        await expect(page.locator("#now")).to_contain_text("operator 4711")


LOOK = """() => {
    const scan = document.getElementById("scan");
    return [getComputedStyle(scan).borderTopColor, getComputedStyle(scan.querySelector(".mark")).clipPath];
}"""


async def test_of_scans_in_a_moment_each_is_shown_long_enough(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await expect(page.locator("body")).to_have_attribute("data-agent", "live")
        await page.evaluate(WATCH)
        for text in (label("E", "1"), "?", label("E", "2"), label("E", "2"), "??"):
            await agent.scan_text("press", text)
        await expect(page.locator("#label")).to_have_text("??", timeout=15_000)
        seen = await page.evaluate("seen")
        assert [text for text, _ in seen] == [label("E", "1"), "?", label("E", "2"), label("E", "2"), "??"]
        gaps = [after - before for (_, before), (_, after) in itertools.pairwise(seen)]
        assert min(gaps) > 1000 / 3  # never more than three changes a second
        assert await heard(page) == ["accepted", "refused", "accepted", "duplicate", "refused"]


WATCH = """() => {
    window.seen = [];
    const own = announce;
    announce = (scan) => { seen.push([scan.label, performance.now()]); own(scan); };
}"""


async def test_what_waits_counts_down_and_is_gone_with_its_quantity(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await agent.start_job("press")
        await count_to(agent, "press", 50)
        await agent.scan("press", "X", "BURR")
        await expect(page.locator("#waits")).to_be_visible()
        await expect(page.locator("#waits .what")).to_have_text("scrap BURR: how many?")
        await expect(page.locator("#left")).to_have_text("28 s", timeout=10_000)
        await agent.scan("press", "Q", "2")
        await expect(page.locator("#waits")).to_be_hidden()


async def test_after_a_restart_the_last_accepted_scan_is_there_and_its_repeat_asks(file: Path) -> None:
    async with fake_agent(file) as agent:
        await agent.see(AGENT, "start")
        await agent.scan("press", "T", "JIG")
        for number in range(10):
            await agent.scan_text("press", f"nonsense {number}")
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await expect(page.locator("#title")).to_have_text("REFUSED")
        await expect(page.locator("#last")).to_be_visible()
        await expect(page.locator("#last .what")).to_have_text("JIG in use at press")
        assert await heard(page) == []  # nothing of it is news
        await agent.see(AGENT, "start")
        assert (await agent.scan("press", "T", "JIG")).verdict is Verdict.DUPLICATE
        await expect(page.locator("#title")).to_have_text("AGAIN?")
        await expect(page.locator("#scan")).to_have_attribute("data-scan", "ask")
        await expect(page.locator("#waits .what")).to_have_text("once more? scan it again")
        assert await heard(page) == ["ask"]


async def test_tools_and_why_the_machine_stands_are_on_both_pages(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await agent.start_job("press")
        await agent.scan("press", "T", "MOULD.17")
        await agent.see("press.state", 11)
        await agent.scan("press", "D", "LUNCH")
        await expect(page.locator("#now .state .word")).to_have_text("Held · LUNCH")
        await expect(page.locator("#now .product")).to_contain_text("tool MOULD.17")
        await page.goto(shown.url)
        card = page.locator("article").first
        await expect(card.locator(".state .word")).to_have_text("Held · LUNCH")
        await expect(card.locator(".product")).to_contain_text("tool MOULD.17")


async def test_a_result_that_is_nobodys_is_said_on_the_screen(tmp_path: Path) -> None:
    file = write_line(tmp_path, ["press"])
    rig = f'rig = "rig"\n\n[source.rig]\ntype = "testrig"\nport = "{tmp_path / "rig"}"\n'
    file.write_text(file.read_text() + rig)
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await agent.scan("press", "E", "4711")
        await agent.see("rig", TestResult("", "final", True))
        await expect(page.locator("#title")).to_have_text("NO UNIT")
        await expect(page.locator("#said")).to_contain_text("Scan the serial number before the test")
        await expect(page.locator("#scan")).to_have_attribute("data-scan", "refused")
        assert await heard(page) == ["accepted", "refused"]


async def test_sound_is_off_until_somebody_touches_the_page_and_says_so(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await expect(page.locator("#sound")).to_have_text("no sound: tap here")
        await page.evaluate("play('refused')")  # nothing to hear, and nothing breaks
        await page.locator("#scan").click()
        await expect(page.locator("#sound")).to_have_text("sound on")
        await agent.scan("press", "E", "4711")
        await expect(page.locator("#title")).to_have_text("ACCEPTED")


async def test_each_kind_sounds_different(file: Path) -> None:
    """By its pitch, measured in what would be heard, and by when it is silent."""
    async with board(file) as shown, screen_of(shown) as page:
        found = await page.evaluate(SOUND)
    rhythms = {kind: tuple(one["rhythm"]) for kind, one in found.items()}
    assert len(set(rhythms.values())) == 5, rhythms
    pitches = {kind: one["pitch"] for kind, one in found.items()}
    for one, other in itertools.combinations(pitches, 2):
        low, high = sorted((pitches[one], pitches[other]))
        assert high / low > 1.12, (one, other, pitches)  # more than a whole tone
    assert all(0.1 < one["peak"] <= 1 for one in found.values())


SOUND = """async () => {
    const found = {};
    for (const kind of Object.keys(SOUNDS)) {
        const rate = 16000;
        const offline = new OfflineAudioContext(1, rate, rate);
        schedule(offline, kind, 0);
        const data = (await offline.startRendering()).getChannelData(0);
        const loud = [];
        for (let at = 0; at < rate; at += 320) {
            loud.push(data.slice(at, at + 320).some((x) => Math.abs(x) > 0.1));
        }
        let crossings = 0;
        for (let at = 1; at < 1600; at++) {
            if (data[at - 1] < 0 && data[at] >= 0) crossings++;
        }
        const peak = data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        found[kind] = { rhythm: loud, pitch: crossings * 10, peak };
    }
    return found;
}"""


async def test_what_is_old_looks_so(file: Path) -> None:
    async with board(file) as shown, screen_of(shown) as page:
        async with fake_agent(file) as agent:
            await agent.scan("press", "E", "4711")
            await expect(page.locator("#title")).to_have_text("ACCEPTED")
            await expect(page.locator("#trouble")).to_be_hidden()
        await expect(page.locator("#trouble")).to_contain_text("the agent is away")
        gradient = "one => getComputedStyle(one).backgroundImage"
        assert "gradient" in await page.locator("#scan").evaluate(gradient)
        await end(shown.process)
        await expect(page.locator("#cut")).to_contain_text("No contact with the board", timeout=10_000)


async def test_hostile_labels_are_only_texts(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown:
        await agent.scan_text("press", f"\x1b[2J{HOSTILE}")
        async with screen_of(shown) as page:
            first = await (await page.request.get(f"{shown.url}station/press")).text()
            assert "<img" not in first
            assert "\x1b" not in first
            await expect(page.locator("#label")).to_contain_text("<ESC>[2J</span><img src=x")
            await agent.scan_text("press", f"{HOSTILE}\x1d")
            await expect(page.locator("#title")).to_have_text("REFUSED")
            await expect(page.locator("#before li").nth(0)).to_contain_text("REFUSED")
            assert await page.locator("section img, section script, li img").count() == 0


async def test_another_name_is_told_those_there_are(file: Path) -> None:
    async with board(file) as shown:
        answer = await ask(shown.port, "/station/oven")
        assert answer.status == 404
        assert answer.body == b"this line has no such station; it has: press, packer\n"
        assert (await ask(shown.port, "/station/press", sec_fetch_site="cross-site")).status == 200


LONG = "rework of this order has to be approved by a supervisor at the inspection desk before it begins again"


@pytest.mark.parametrize(("width", "height", "least"), [(1920, 1080, 100), (800, 480, 44)])
async def test_everything_fits(file: Path, width: int, height: int, least: int) -> None:
    async with fake_agent(file) as agent, board(file) as shown:
        await agent.start_job("press")
        await agent.see("press.total", 50)
        await agent.scan("press", "T", "MOULD.17")
        await agent.see("press.state", 11)
        await agent.scan("press", "D", "NO-MATERIAL-FROM-STORE")
        async with screen_of(shown, "press", width, height) as page:
            for text in ("?" * 90, label("L", "L12"), label("X", "BURR")):
                await agent.scan_text("press", text)
            await expect(page.locator("#label")).to_have_text(label("X", "BURR"))
            for words in ("", LONG):
                if words:
                    await page.evaluate("words => showScan({...shown[0], words})", words)
                wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.id)"
                boxes = page.locator("body, header, #scan, .verdict, #waits, #now")
                assert await boxes.evaluate_all(wide) == []
                tall = wide.replace("Width", "Height")
                assert await page.locator("body, #scan, #now, #before").evaluate_all(tall) == []
                bottom = "one => one.getBoundingClientRect().bottom"
                assert await page.locator("#now").evaluate(bottom) <= height
            size = "one => parseFloat(getComputedStyle(one).fontSize)"
            assert await page.locator(".verdict").evaluate(size) >= least


# --- what is said -----------------------------------------------------------------------------------


def spec(name: str, gun: str | None) -> StationSpec:
    return StationSpec(name, 1000, 500, 5000, (), gun=gun)


def scanned(seq: int, gun: str = "gun-1", outcome: str = "accepted", words: str = "done") -> Said:
    body = f'{{"label":"$A","gun":"{gun}","outcome":"{outcome}","words":"{words}"}}'
    return Said(seq, 1_000 * seq, "press", "scan", body.encode())


def test_a_gun_of_two_stations_is_shown_at_both() -> None:
    log = ScanLog([spec("press", "gun-1"), spec("packer", "gun-1"), spec("oven", None)])
    log.add([scanned(3), scanned(4, "gun-9")], 5)
    assert [[one.seq for one in log.of(name)] for name in ("press", "packer", "oven")] == [[3], [3], []]
    assert log.after(9) == 5


def test_a_journal_that_was_replaced_is_looked_at_anew() -> None:
    log = ScanLog([spec("press", "gun-1")])
    assert log.after(12_000) == 7_000
    log.add([scanned(seq) for seq in range(1, 30)], 12_000)
    assert [one.seq for one in log.of("press")] == list(range(29, 29 - KEPT, -1))
    assert log.after(40) == 0
    assert log.of("press") == ()


@pytest.mark.parametrize(
    ("outcome", "words", "kind"),
    [
        ("accepted", "done", "accepted"), ("refused", "no", "refused"), ("quarantined", "?", "refused"),
        ("duplicate", "the same label twice", "duplicate"),
        ("duplicate", "recorded at 06:10, before the restart: scan it again to do it once more", "ask"),
    ],
)  # fmt: skip
def test_a_scan_has_one_kind(outcome: str, words: str, kind: str) -> None:
    log = ScanLog([spec("press", "gun-1")])
    log.add([scanned(1, outcome=outcome, words=words)], 1)
    assert log.of("press")[0].kind == kind


def test_what_was_forgotten_is_said_at_its_station_alone() -> None:
    log = ScanLog([spec("press", "gun-1"), spec("packer", "gun-1")])
    log.add([Said(1, 0, "press", "forgotten", b'{"label":"X BURR","words":"X BURR is forgotten"}')], 1)
    assert [one.kind for one in log.of("press")] == ["note"]
    assert log.of("packer") == ()


@pytest.mark.parametrize(
    ("flag", "kind", "title"),
    [
        ("no_unit", "refused", "NO UNIT"),
        ("verdict_differs", "refused", "VERDICT DIFFERS"),
        ("badge_ended", "note", "BADGE ENDED"),
    ],
)
def test_what_nobody_scanned_is_said_too(flag: str, kind: str, title: str) -> None:
    log = ScanLog([spec("press", "gun-1"), spec("packer", "gun-1")])
    log.add([Said(1, 0, "press", "flag", f'{{"flag":"{flag}","quantity":0,"detail":"so"}}'.encode())], 1)
    shown = log.of("press")[0].now(1_000)
    assert (shown.kind, shown.title, shown.words, shown.label) == (kind, title, "so", "")
    assert log.of("packer") == ()


def waits(row: Station, mono_ms: int, boot: str = "b") -> tuple[str, Any]:
    now = screen_now(Screen((), row), 0, mono_ms, boot)
    return now.waits, now.waits_s


@pytest.mark.parametrize(
    ("noun", "words"),
    [
        (Noun("X", "BURR", 1_000, "b"), "scrap BURR: how many?"),
        (Noun("C", "REWORK", 1_000, "b", "BURR"), "rework: how many? (BURR)"),
        (Noun("S", "SN-1", 1_000, "b"), "unit SN-1: verdict or reason?"),
        (Noun("L", "RESIN.7", 1_000, "b"), "lot RESIN.7: how much?"),
    ],
)
def test_a_noun_waits_thirty_seconds_on_its_own_boot(noun: Noun, words: str) -> None:
    row = Station(noun=noun)
    assert waits(row, 1_000) == (words, 30.0)
    assert waits(row, 30_000) == (words, 1.0)
    assert waits(row, 31_000) == ("", None)
    assert waits(row, 500) == ("", None)
    assert waits(row, 1_000, "another boot") == ("", None)
    assert waits(Station(noun=Noun("X", "BURR", 1_000, "b", is_over=True)), 1_000) == ("", None)


def test_a_question_after_a_restart_waits_a_minute() -> None:
    row = Station(last_scan=LastScan("$E4711", 0, "a", 5_000, "4711 is at press", 1, 1_000, "b"))
    assert waits(row, 11_000) == ("once more? scan it again", 50.0)
    assert waits(row, 61_000) == ("", None)


def test_the_last_accepted_scan_is_known_however_long_ago() -> None:
    row = Station(last_scan=LastScan("$E4711", 0, "a", 5_000, "4711 is at press"))
    refused = Heard(7, 8_000, "refused", "no", "?")
    now = screen_now(Screen((refused,), row), 65_000, 0, "b")
    assert now.accepted is not None
    assert (now.accepted.seq, now.accepted.words, now.accepted.age_s) == (0, "4711 is at press", 60.0)
    assert [one.age_s for one in now.scans] == [57.0]


def test_a_label_is_shown_as_it_can_be_printed() -> None:
    assert readable("]C1\x1d10A\x7f\u202eB") == "]C1<GS>10A<7F><202E>B"
    assert len(readable("x" * 4_000)) == 60


async def test_a_scan_is_on_the_screen_within_a_second(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown, screen_of(shown) as page:
        await expect(page.locator("body")).to_have_attribute("data-agent", "live")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await agent.scan("press", "E", "4711")
        await expect(page.locator("#title")).to_have_text("ACCEPTED")
        assert loop.time() - begun < 1.5
