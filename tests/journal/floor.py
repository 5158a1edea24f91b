"""Journals with something in them, and ways to do them harm."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw
from msgspec import json

from edge.journal import Journal
from edge.journal.store import encode_data
from edge.production.baselines import Counter
from edge.production.context import Context
from edge.production.events import Event
from edge.production.losses import Health
from edge.production.state import Row, Run, Station

PAGE = 4096


def said(number: int, detail: str = "", boot: str = "b0") -> tuple[Event, bytes]:
    """An event of 1970, one a second."""
    data = Health("agent", "start", detail or f"event {number}")
    context = Context(order=f"WO-{number // 100}", run=f"r{number // 100}")
    at_ms = 1_000 * number
    return Event(data, at_ms, at_ms + 1, at_ms + 2, boot, "press", context), encode_data(data)


def running(order: str) -> Mapping[str, Row]:
    """A station with this order on, and the baseline of its counter."""
    return {
        "station/press": Station(run=Run("r7", "press", order, 10, 1_000, 50)),
        "counter/plc|press.total|u32": Counter(90_211, 1, 1, 1, "b0"),
    }


def fill(path: Path, events: int, acknowledged: int = 0, order: str = "WO-7") -> str:
    """So many events, the first of them acknowledged by the sink `file`. Returns the epoch."""
    journal = Journal(path)
    progress = {"file": [(1, acknowledged)]} if acknowledged else {}
    for first in range(1, events + 1, 500):
        some = [said(number) for number in range(first, min(first + 500, events + 1))]
        journal.commit(some, running(order), progress=progress)
    epoch = journal.epoch
    journal.close()
    return epoch


def details(path: Path) -> dict[int, str]:
    """By seq, of every event that is there; empty of those that have none."""
    rows = _ask(path, "SELECT seq, data FROM event ORDER BY seq")
    return {seq: json.decode(data).get("detail", "") for seq, data in rows}


def counted(path: Path) -> int:
    """Parts of all orders."""
    [(parts,)] = _ask(path, "SELECT sum(CAST(data AS TEXT) ->> '$.produced') FROM event WHERE type = 'count'")
    return parts or 0


def _ask(path: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute(query, values).fetchall()
    finally:
        db.close()


def pages_of(path: Path, name: str) -> list[int]:
    """Pages of a table or an index, the root first."""
    return [page for (page,) in _ask(path, "SELECT pageno FROM dbstat WHERE name = ? ORDER BY path", name)]


def spoil(path: Path, pages: list[int], seed: int = 1) -> None:
    """Overwrite these pages with noise, as a worn card does."""
    noise = random.Random(seed)
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(noise.randbytes(PAGE))


def integrity(path: Path) -> object:
    return _ask(path, "PRAGMA integrity_check")[0][0]
