"""The page in a real browser: it moves without a reload, it admits what is old, it trusts no text."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from edge.board import words
from edge.board.web import HERE
from edge.status import SourceStatus
from simulators.labels import label
from tests.board.agent import FakeAgent, fake_agent, write_line
from tests.board.process import Board, board, end, start
from tests.support.ptys import plugged

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIX = ("press", "packer", "leak-test", "welding-cell-4", "oven", "final-inspection-and-packing")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_line(tmp_path)


@asynccontextmanager
async def page_of(shown: Board, width: int = 1920, height: int = 1080) -> AsyncIterator[Page]:
    """The board's page; whatever the browser complains about fails the test."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        try:
            page = await browser.new_page(viewport={"width": width, "height": height})
            page.on("console", lambda said: complaints.append(said.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
            page.on(
                "request",
                lambda asked: complaints.append(asked.url) if not asked.url.startswith(shown.url) else None,
            )
            await page.goto(shown.url)
            yield page
        finally:
            await browser.close()
    refused = "Failed to load resource: net::ERR_CONNECTION_REFUSED"  # after the board was ended
    assert [one for one in complaints if one != refused] == []


def card(page: Page, slot: str, station: int = 0) -> str:
    return f'[data-station="{station}"] [data-slot="{slot}"]'


async def count_to(agent: FakeAgent, station: str, parts: int) -> None:
    """Two readings: the first one's parts fall between the card and the first reading after it."""
    await agent.see(f"{station}.total", 0)
    await agent.see(f"{station}.total", parts)


async def test_the_count_moves_without_a_reload(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown:
        await agent.start_job("press")
        async with page_of(shown) as page:
            await page.evaluate("window.loadedOnce = true")
            await expect(page.locator(card(page, "job"))).to_have_text("WO-1001 · op 10")
            await count_to(agent, "press", 42)
            await expect(page.locator(card(page, "count"))).to_have_text("42")
            await expect(page.locator(card(page, "target"))).to_have_text("400")
            assert await page.locator('[data-station="0"] progress').evaluate("one => one.value") == 42
            await agent.see("press.state", 9)
            await expect(page.locator('[data-station="0"]')).to_have_attribute("data-kind", "stop")
            await expect(page.locator('[data-station="0"] .state .timer')).to_have_text("2 s")
            assert await page.evaluate("window.loadedOnce")


async def test_a_killed_agent_leaves_an_old_page_and_comes_back(file: Path) -> None:
    async with board(file) as shown, page_of(shown) as page:
        async with fake_agent(file) as agent:
            await agent.start_job("press")
            await expect(page.locator("body")).to_have_attribute("data-agent", "live")
            await expect(page.locator('[data-station="0"]')).to_have_attribute("data-trouble", "no")
            fresh = await page.locator('[data-station="0"] .card').evaluate(BACKGROUND)
        await expect(page.locator('[data-station="0"]')).to_have_attribute("data-trouble", "yes")
        await expect(page.locator('[data-station="0"] .trouble')).to_contain_text("the agent is away")
        await expect(page.locator('[data-station="0"] .trouble')).to_contain_text("for 3 s")
        await expect(page.locator(card(page, "job"))).to_have_text("WO-1001 · op 10")
        await expect(page.locator('[data-station="0"] .state .timer')).to_be_hidden()
        old = await page.locator('[data-station="0"] .card').evaluate(BACKGROUND)
        assert "gradient" in old
        assert "gradient" not in fresh
        async with fake_agent(file):
            await expect(page.locator('[data-station="0"]')).to_have_attribute("data-trouble", "no")


BACKGROUND = "one => getComputedStyle(one).backgroundImage"


async def test_a_board_that_is_gone_leaves_nothing_that_looks_alive(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as first:
        await agent.start_job("press")
        async with page_of(first) as page:
            await expect(page.locator("body")).to_have_attribute("data-agent", "live")
            await end(first.process)
            await expect(page.locator("#cut")).to_contain_text("No contact with the board", timeout=10_000)
            assert "gradient" in await page.locator('[data-station="0"] .card').evaluate(BACKGROUND)
            await expect(page.locator('[data-station="0"] .state .timer')).to_be_hidden()
            async with board(file, first.port):
                await expect(page.locator("#cut")).to_be_hidden(timeout=15_000)
                await expect(page.locator("body")).to_have_attribute("data-agent", "live")


async def test_a_board_of_another_line_loads_its_own_page(file: Path, tmp_path: Path) -> None:
    async with board(file) as first, page_of(first) as page:
        await expect(page.locator("article")).to_have_count(2)
        await end(first.process)
        write_line(tmp_path, SIX)
        async with board(file, first.port):
            await expect(page.locator("article")).to_have_count(6, timeout=15_000)


HOSTILE = "</span><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}"


async def test_hostile_texts_are_only_texts(tmp_path: Path) -> None:
    file = write_line(tmp_path, item=HOSTILE, batch="<b onmouseover=alert(3)>L&amp;12")
    async with fake_agent(file) as agent, board(file) as shown:
        await agent.start_job("press")
        await agent.scan_text("packer", f"\x1b[2J{HOSTILE}")
        agent.sources["plc"] = SourceStatus("lost", HOSTILE, 1.0, 1.0)
        async with page_of(shown) as page:  # once painted by the server, then written by the script
            first = await (await page.request.get(shown.url)).text()
            assert "<img" not in first
            assert "<script>" not in first
            await expect(page.locator(card(page, "product"))).to_contain_text(HOSTILE)
            await expect(page.locator(card(page, "product"))).to_contain_text(
                "<b onmouseover=alert(3)>L&amp;12"
            )
            await expect(page.locator('[data-source="0"] [data-slot="reason"]')).to_have_text(HOSTILE)
            await agent.scan("press", "L", "NEXT")
            await expect(page.locator(card(page, "product"))).to_contain_text(f"{HOSTILE} rev C · batch NEXT")
            assert await page.locator("main img, main b[onmouseover], main script, footer img").count() == 0


@pytest.mark.parametrize("stations", [2, 6])
async def test_everything_fits(tmp_path: Path, stations: int) -> None:
    file = write_line(tmp_path, SIX[:stations], quantity=2500)
    async with fake_agent(file) as agent, board(file) as shown, page_of(shown) as page:
        await agent.start_job("press")
        await count_to(agent, "press", 2468)
        await expect(page.locator(card(page, "count"))).to_have_text("2468")
        assert await _fits(page) >= 100
        await page.set_viewport_size({"width": 800, "height": 480})
        assert await _fits(page) >= 35


async def _fits(page: Page) -> float:
    """Nothing sticks out, and the count is the biggest text; returns its size in pixels."""
    over = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.className)"
    assert await page.locator(".hero, .top, .state, .card, dl, main, header").evaluate_all(over) == []
    sizes = "all => Math.max(...all.map(one => parseFloat(getComputedStyle(one).fontSize)))"
    count = float(await page.locator('[data-station="0"] .hero .count').evaluate_all(sizes))
    assert count > await page.locator('[data-station="0"] :not(.hero, .count)').evaluate_all(sizes)
    return count


async def test_script_and_server_write_durations_alike(file: Path) -> None:
    seconds = [0, 42.9, 99, 100, 3599, 3600, 86_399, 86_400, 183_845]
    async with board(file) as shown, page_of(shown) as page:
        assert await page.evaluate("all => all.map(span)", seconds) == [words.span(one) for one in seconds]


async def test_a_real_agent_is_scanned_at_killed_and_started_again(tmp_path: Path) -> None:
    file = write_line(tmp_path, ("press",))
    with plugged(tmp_path / "gun-press") as gun:
        async with board(file) as shown, page_of(shown) as page:
            agent = await start(file, name="run")
            try:
                await expect(page.locator('[data-source="1"]')).to_have_attribute("data-trust", "good")
                await gun.send(label("E", "4711").encode() + b"\r")
                await expect(page.locator(card(page, "product"))).to_contain_text("4711", timeout=10_000)
                agent.kill()
                await expect(page.locator("body")).to_have_attribute("data-agent", "away")
                await expect(page.locator(card(page, "product"))).to_contain_text("4711")
            finally:
                await end(agent)
            again = await start(file, name="run")
            try:
                await expect(page.locator("body")).to_have_attribute("data-agent", "live")
            finally:
                await end(again)


CSS = (HERE / "static" / "board.css").read_text()


def _colour(name: str) -> str:
    found = re.search(rf"--{name}: (#[0-9a-f]{{6}})", CSS)
    assert found is not None
    return found[1]


def _luminance(colour: str) -> float:
    """WCAG 2.1."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_pair_of_colours_can_be_read() -> None:
    grounds = [_colour(name) for name in ("ground", "card", "hatch-dark", "hatch-light")]
    pairs = [
        (text, ground)
        for text in map(_colour, ("text", "quiet", "good", "wait", "warn"))
        for ground in grounds
    ]
    pairs += [("#000000", _colour(name)) for name in ("good", "wait", "warn", "bad", "other")]
    for text, ground in pairs:
        light, dark = sorted((_luminance(text), _luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
