"""`lineside orders ...` and the watched folder, with a running agent as a process of its own."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.orders.posting import agent as in_process_agent

LINE = """
[line]
name = "line-1"
badge = "optional"
data = "data"

[orders]
folder = "orders"

[[order]]
id = "WO-1001"
item = "P7"
quantity = 5

[source.gun]
type = "serial-scanner"
port = "{folder}/gun"

[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "line.toml"
    file.write_text(LINE.format(folder=tmp_path))
    return file


async def lineside(file: Path, *arguments: str) -> tuple[int, str, str]:
    """`lineside orders ...` on this line: exit status, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "orders", *arguments, "--line", file.name, cwd=file.parent,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def agent(file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    folder = file.parent
    with (folder / "agent.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", "run", file.name, cwd=folder, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(30):
            while " is up" not in (folder / "agent.log").read_text():
                await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    assert "Traceback" not in (folder / "agent.log").read_text()


async def test_orders_are_imported_listed_and_shown(file: Path) -> None:
    orders = file.parent / "orders.csv"
    orders.write_text(
        "id;item;quantity;revision;operations\nWO-1;P7;100;C;10 20\nWO-2;P8;x;;\nWO-1001;P8;4;;\n"
    )
    async with agent(file):
        status, out, err = await lineside(file, "import", "orders.csv")
        assert (status, out) == (1, "orders.csv: 1 accepted, 0 duplicates, 2 refused\n")
        assert err.splitlines() == [
            "orders.csv:3: WO-2: quantity must be a whole number, found 'x'",
            "orders.csv:4: WO-1001 is written in the line's file: change it there",
        ]
        orders.write_text("id,item,quantity,revision,operations\nWO-1,P7,100,C,10 20\n")
        assert await lineside(file, "import", "orders.csv") == (
            0, "orders.csv: 0 accepted, 1 duplicates, 0 refused\n", "",
        )  # fmt: skip
        (file.parent / "data/orders/more.json").write_text('{"id": "WO-3", "item": "P9", "quantity": 3}')
        async with asyncio.timeout(30):
            while not (file.parent / "data/orders/done/more.json").exists():
                await asyncio.sleep(0.05)
    status, out, _ = await lineside(file, "list")
    assert (status, out.splitlines()) == (0, [
        "ORDER    ITEM      QUANTITY  JOBS",
        "WO-1     P7 rev C       100  op 10 AllowedToStart 0, op 20 AllowedToStart 0",
        "WO-1001  P7               5  job AllowedToStart 0",
        "WO-3     P9               3  job AllowedToStart 0",
    ])  # fmt: skip
    status, out, _ = await lineside(file, "show", "WO-1")
    assert (status, out.splitlines()) == (0, [
        "WO-1: 100 of P7 rev C", "  op 10: AllowedToStart", "  op 20: AllowedToStart",
    ])  # fmt: skip
    status, out, _ = await lineside(file, "show", "WO-1", "--json")
    assert (status, json.loads(out)["quantity"]) == (0, 100)
    status, out, err = await lineside(file, "show", "WO-8")
    assert (status, out, err.count("\n")) == (1, "", 1)


async def test_who_imports_is_recorded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "orders.csv").write_text("id,item,quantity\nWO-1,P7,1\n")
    monkeypatch.setenv("SUDO_USER", "anna")
    async with in_process_agent(file) as senders:
        assert (await lineside(file, "import", "orders.csv"))[0] == 0
    assert senders == ["anna"]


async def test_without_an_agent_everything_is_one_sentence(file: Path) -> None:
    (file.parent / "orders.csv").write_text("id,item,quantity\nWO-1,P7,1\n")
    (file.parent / "bad.csv").write_bytes(b"\x1b[2J\xff")
    for arguments, says in [
        (("import", "orders.csv"), "no agent answers in"),
        (("import", "none.csv"), "none.csv: cannot be read: No such file or directory"),
        (("import", "."), "cannot be read"),
        (("import", "bad.csv"), "bad.csv:1: is not UTF-8 text"),
        (("list",), "has the agent run here yet?"),
        (("show", "WO-1001"), "has the agent run here yet?"),
    ]:
        status, _, err = await lineside(file, *arguments)
        assert (status, says in err, err.count("\n"), "\x1b" in err) == (1, True, 1, False), err
