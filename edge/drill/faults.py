"""What is made to fail: each is played for some seconds, and whole again when it returns."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from edge.demo.child import Child
from edge.drill.clock import ClockFile
from edge.drill.judge import Outlet
from edge.drill.people import start_cards
from edge.drill.room import Ballast
from edge.drill.stage import LOOK_S, UP_S, Stage, is_connected
from edge.errors import DrillFailed
from edge.production.scanning import make_label

KILLS = 2
STEP_MS = 3_600_000

Happen = Callable[[float], Awaitable[None]]
"""Given how long it lasts, in seconds."""


async def begin_jobs(stage: Stage) -> None:
    """A badge and a job card at every gun, as far as there are cards, so that parts belong to an order."""
    orders = stage.config.line.orders.values()
    cards = [
        f"{one.id}-{step}" if step is not None else one.id
        for one in orders
        for step in one.operations or (None,)
    ]
    for gun, card in start_cards(stage.floor.guns, cards):
        await gun.show(make_label("E", "90000"))
        await gun.show(card)
    stage.books.read()


async def end_jobs(stage: Stage) -> None:
    for gun in stage.floor.guns:
        await gun.show(make_label("C", "DONE"))


def cutting(outlet: Outlet) -> Happen:
    async def happen(for_s: float) -> None:
        await outlet.end.cut()
        try:
            await asyncio.sleep(for_s)
        finally:
            await outlet.end.heal()

    return happen


def killing(stage: Stage, agent: Child) -> Happen:
    async def happen(for_s: float) -> None:
        for _ in range(KILLS):
            await asyncio.sleep(for_s / KILLS)
            agent.kill()
            await _heard_of_agent(stage)

    return happen


async def _heard_of_agent(stage: Stage) -> None:
    """Wait until the agent that took the dead one's place has written something."""
    stage.books.read()
    head = stage.books.head
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(UP_S):
            while stage.books.head == head:  # noqa: ASYNC110 (a file to look at)
                await asyncio.sleep(LOOK_S)


def stepping(clock: ClockFile) -> Happen:
    async def happen(for_s: float) -> None:
        for ahead_ms, synced in ((STEP_MS, True), (-STEP_MS, False), (0, True)):
            clock.set(ahead_ms, synced=synced)
            await asyncio.sleep(for_s / 3)

    return happen


def filling(stage: Stage, agent: Child) -> Happen:
    async def happen(for_s: float) -> None:
        await _shorten_log(stage, agent)
        ballast, until_s = Ballast(stage.folder / "disk" / "ballast"), time.monotonic() + for_s
        try:
            while time.monotonic() < until_s:
                ballast.fill()
                await asyncio.sleep(0.1)
        finally:
            ballast.drop()

    return happen


async def _shorten_log(stage: Stage, agent: Child) -> None:
    """An orderly end leaves a journal without a write-ahead log, which would hold some seconds of events
    without growing: then every record needs room of its own."""
    stage.books.shut = True
    stage.books.close()
    starts = agent.starts
    agent.restart()
    try:
        async with asyncio.timeout(UP_S):
            while agent.starts == starts:  # noqa: ASYNC110 (a process to look at)
                await asyncio.sleep(LOOK_S)
            stage.books.shut = False
            while not await is_connected(stage):  # noqa: ASYNC110 (a socket that may not be there yet)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise DrillFailed(
            f"the agent did not end and come up again within {UP_S:g} s; it said:\n{agent.last_words()}"
        ) from None
