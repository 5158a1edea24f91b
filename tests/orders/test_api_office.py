"""The office's side of the board's API: results, the inbox, and commands, each signed by who sent it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from edge.inbox import Unassigned
from edge.resultform import JobResult
from tests.board.agent import fake_agent, write_line
from tests.board.http import ask
from tests.board.process import board
from tests.orders.posting import agent, error, post, said
from tests.support.line import events_on_disk

HOLD = {"type": "job", "reason": "no material", "job": "WO-1001", "verb": "hold"}
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_line(tmp_path)


def with_client(file: Path) -> dict[str, str]:
    """A client of the board; the header that it sends."""
    token = file.parent / "mes.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    file.write_text(file.read_text() + f'\n[[board.client]]\nname = "mes"\ntoken = {{ file = "{token}" }}\n')
    return {"Authorization": f"Bearer {TOKEN}"}


async def test_a_command_is_done_and_signed_by_the_client(file: Path) -> None:
    header = with_client(file)
    async with agent(file), board(file) as shown:
        done = await post(shown.port, HOLD, path="/api/commands", **header)
        assert (done.status, said(done)["verdict"]) == (200, "accepted")
        assert said(done)["words"].endswith(": NotAllowedToStart")
        again = await post(shown.port, HOLD, path="/api/commands", **header)
        assert (again.status, "is held already" in error(again)) == (422, True)
        nobody = await post(shown.port, HOLD, path="/api/commands")
        assert (nobody.status, "WWW-Authenticate".lower() in nobody.headers) == (401, True)
        signed = await post(shown.port, HOLD | {"by": "root"}, path="/api/commands", **header)
        assert (signed.status, "leave out `by`" in error(signed)) == (422, True)
    events = [one for one in events_on_disk(file.parent / "data/journal.db") if one["type"] == "order"]
    assert [(one["by"], one["reason"]) for one in events] == [("mes", "no material")]


async def test_where_no_client_is_set_it_is_signed_by_the_api(file: Path) -> None:
    async with agent(file), board(file) as shown:
        assert (await post(shown.port, HOLD, path="/api/commands")).status == 200
    events = [one for one in events_on_disk(file.parent / "data/journal.db") if one["type"] == "order"]
    assert [one["by"] for one in events] == ["api"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"[]", 400, "no JSON object"),
        (b"\xff", 400, "no JSON object"),
        (b"[" * 50_000, 400, "no JSON object"),
        ({}, 422, "this is no command"),
        (HOLD | {"verb": 5}, 422, "Expected `str`"),
        (HOLD | {"verbs": "x"}, 422, "has no `verbs`"),
        (HOLD | {"verb": "paint"}, 422, "is none of hold, release, end, abort"),
        (HOLD | {"reason": ""}, 422, "the reason must be said"),
        ({"type": "reassign", "reason": "x", "job": None, "station": "press", "from_ms": 0, "to_ms": 2**70},
         422, "milliseconds since 1970"),
        (b"x" * (1 << 20), 413, "send less at once"),
    ],
)  # fmt: skip
async def test_what_is_no_command_changes_nothing(file: Path, body: Any, status: int, says: str) -> None:
    async with agent(file) as senders, board(file) as shown:
        answer = await post(shown.port, body, path="/api/commands")
        assert (answer.status, says in error(answer)) == (status, True), answer.body
        assert (await post(shown.port, HOLD, "text/plain", path="/api/commands")).status == 400
        assert len(senders) <= 1


async def test_a_command_for_an_agent_that_is_away_is_told(file: Path) -> None:
    async with board(file) as shown:
        answer = await post(shown.port, HOLD, path="/api/commands")
    assert (answer.status, "no agent answers" in error(answer)) == (503, True)


async def test_results_and_the_inbox_are_read(file: Path) -> None:
    async with board(file) as shown:
        assert (await ask(shown.port, "/api/inbox")).status == 503
        assert (await ask(shown.port, "/api/orders/WO-1001/result")).status == 503
        async with fake_agent(file) as fake:
            await fake.start_job("press")
            for total in (3, 5):  # the card came while the first three were made
                await asyncio.sleep(0.05)
                await fake.see("press.total", total)
            answer = await ask(shown.port, "/api/orders/WO-1001/result")
            found = json.decode(answer.body, type=list[JobResult])
            assert {(one.order, one.state) for one in found} == {("WO-1001", "Running")}
            assert [one.produced for one in found] == [2]
            assert (await ask(shown.port, "/api/orders/WO-8/result")).status == 404
            [item] = json.decode((await ask(shown.port, "/api/inbox")).body, type=list[Unassigned])
            assert (item.produced, item.owner, item.why) == (3, "WO-1001-10", "straddle")
