"""schemathesis against a running board and its agent: does the API do what its description says?

Every check it has is on. One is loosened: an order or a command that fits the schema may be refused with 422,
for no schema can say that an id is taken, that there is no such run, or which characters are printable.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from tests.board.agent import write_line
from tests.board.http import ask
from tests.board.process import board, end, start

TOKEN = "0123456789abcdef0123456789abcdef"
EXAMPLES = 40
"""Requests for each operation, beside those that schemathesis derives from the schema."""

SETTINGS = """
continue-on-failure = true
[cache]
enabled = false
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "404"]
[[operations]]
include-operation-id = "sendOrders"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "422"]
[[operations]]
include-operation-id = "sendCommand"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "422"]
"""
CREDENTIALS = f'[auth.openapi.bearer]\nbearer = "{TOKEN}"\n'


@contextlib.asynccontextmanager
async def line(folder: Path, *, credentials: bool) -> AsyncIterator[int]:
    """`lineside run` and `lineside board` of one line; the board's port."""
    file = write_line(folder)
    if credentials:
        token = folder / "erp.token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        client = f'\n[[board.client]]\nname = "erp"\ntoken = {{ file = "{token}" }}\n'
        file.write_text(file.read_text() + client)
    agent = await start(file, name="run")
    try:
        async with board(file) as shown, asyncio.timeout(30):
            while (await ask(shown.port, "/api/orders")).status == 503:
                await asyncio.sleep(0.05)
            yield shown.port
    finally:
        _, said = await end(agent)
        assert agent.returncode == 0, said


@dataclass(frozen=True, slots=True)
class Found:
    """What schemathesis says."""

    passed: bool
    words: str
    answers: Mapping[str, Counter[int]]
    """By operation, how often each status came."""


async def described(port: int) -> Any:
    return json.decode((await ask(port, "/api/openapi.json")).body)


async def asked(folder: Path, port: int, description: Any, *arguments: str) -> Found:
    """Everything that this description allows and forbids, sent to this board.

    It is read from a file: the operation that it would be fetched from is never tried.
    """
    credentials = "securitySchemes" in description["components"]
    (folder / "api.json").write_bytes(json.encode(description))
    (folder / "schemathesis.toml").write_text(SETTINGS + (CREDENTIALS if credentials else ""))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run",
        "api.json", "--url", f"http://127.0.0.1:{port}", "--checks", "all", "--max-examples", str(EXAMPLES),
        "--generation-deterministic", "--report", "ndjson", "--report-ndjson-path", "report.ndjson",
        *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Found(process.returncode == 0, out.decode(), _answers(folder / "report.ndjson"))


def _answers(report: Path) -> dict[str, Counter[int]]:
    """Of the phases that go operation by operation; the lines of the report are schemathesis's own."""
    found: dict[str, Counter[int]] = {}
    for text in report.read_bytes().splitlines():
        recorder = json.decode(text).get("ScenarioFinished", {}).get("recorder", {})
        counter = found.setdefault(recorder.get("label", ""), Counter())
        for one in recorder.get("interactions", {}).values():
            if one.get("response"):
                counter[one["response"]["status_code"]] += 1
    return found


@pytest.mark.parametrize("credentials", [True, False], ids=["credentials", "without"])
async def test_the_api_does_what_its_description_says(tmp_path: Path, credentials: bool) -> None:
    async with line(tmp_path, credentials=credentials) as port:
        found = await asked(tmp_path, port, await described(port))
    assert found.passed, found.words
    posted = found.answers["POST /api/orders"]
    assert posted.keys() >= {200, 201, 400, 405, 422} | ({401} if credentials else set()), posted
    assert posted[201] >= 20, "enough of what is right goes in, or nothing was tried"
    assert found.answers["GET /api/orders/{id}"].keys() >= {200, 405}
    assert found.answers["POST /api/commands"].keys() >= {400, 405, 422}
    assert found.answers["GET /api/orders/{id}/result"].keys() >= {200, 405}
    assert found.answers.keys() >= {
        "GET /api/orders", "GET /api/line", "GET /api/openapi.json", "GET /api/inbox",
    }  # fmt: skip


async def test_a_wrong_description_is_noticed(tmp_path: Path) -> None:
    async with line(tmp_path, credentials=True) as port:
        description = await described(port)
        paths, schemas = description["paths"], description["components"]["schemas"]
        schemas["OrderView"]["properties"]["quantity"] = {"type": "string"}
        paths["/api/line"]["get"]["security"] = [{"bearer": []}]
        paths["/api/openapi.json"]["get"]["responses"]["200"]["headers"] = {
            "ETag": {"required": True, "schema": {"type": "string"}}
        }
        del paths["/api/orders"]["post"]["responses"]["422"]
        paths["/api/orders"]["post"]["operationId"] = "withoutTheExceptionOfSendOrders"
        found = await asked(tmp_path, port, description, "--phases", "coverage,fuzzing")
    assert not found.passed
    for says in (
        "Response violates schema",
        "API accepts requests without authentication",
        "Missing required response headers",
        "Undocumented status code",
        "Schema-valid request rejected",
    ):
        assert says in found.words, (says, found.words)
