"""The user's own document, with every address in it replaced by a stand-in of the drill's own.

All else stays as it is written: stations, decodings, answers, formats, batches. What cannot stay is told.
"""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from edge.contract import parse_duration

Table = dict[str, Any]

CYCLE_S = 0.5
"""A station that counts more seldom is played so fast, or a fault of seconds would meet no part."""
EVERY_S = 0.5
"""Counters and states are read so often at the least."""
LINGER_S = 1.0

_CREDENTIALS = (
    "user", "password", "token", "ca", "cert", "key", "certificate", "server_certificate", "user_certificate",
    "user_key",
)  # fmt: skip
_OF_UNIT = ("serial", "uptime", "heartbeat", "identity_every")
_OF_SERIAL = ("baud", "parity", "stop_bits", "worst_answer")
_OF_STATION = ("total", "good", "reject", "state")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the stand-ins are, by the name of the source or sink: a URL, a port's path, a folder."""

    sources: Mapping[str, str]
    sinks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Substituted:
    """What the drill's agent is given."""

    document: Table
    notes: tuple[str, ...]
    """In which way it is not the user's own file, a sentence each."""


def _at(key: str) -> Callable[[Table, str], None]:
    def put(table: Table, place: str) -> None:
        table[key] = place

    return put


def _modbus(table: Table, place: str) -> None:
    """The stand-in knows no serial number and no heartbeat, and on a network it speaks Modbus TCP."""
    is_behind_a_server = str(table.get("host", "")).startswith("rtu+tcp:")
    dropped = (*_OF_UNIT, *_OF_SERIAL) if is_behind_a_server else _OF_UNIT
    for each in (table, *table.get("unit", {}).values()):
        for key in dropped:
            each.pop(key, None)
    table["host" if "host" in table else "port"] = place


def _opcua(table: Table, place: str) -> None:
    table["endpoint"] = place
    table["security"] = "None"


def _serial(table: Table, place: str) -> None:
    """The stand-in is on a serial port, also where the device itself is on TCP."""
    for key in ("connect", "listen", "timeout"):
        table.pop(key, None)
    table["port"] = place


def _hid(table: Table, place: str) -> None:
    """No keyboard can be made here: a gun with a cable plays it, and hears what became of a scan."""
    table.clear()
    table.update(type="serial-scanner", port=place)


def _rig(table: Table, place: str) -> None:
    if not is_plain_rig(table):
        table.clear()
        table["type"] = "testrig"
    _serial(table, place)


def is_plain_rig(table: Mapping[str, Any]) -> bool:
    """Whether the stand-in can speak as this rig does: a line of key=value, answered or not."""
    return (
        set(table) <= _PLAIN
        and table.get("format", "key=value") == "key=value"
        and table.get("handshake", "ack") != "enq"
        and table.get("end") != "idle"
        and isinstance(table.get("checksum", "auto"), str)
    )


_PLAIN = {
    "type", "port", "connect", "listen", "timeout", "baud", "bits", "parity", "stop", "end", "longest",
    "idle", "handshake", "confirm", "refuse", "format", "encoding", "separator", "fields", "ignore", "pass",
    "fail",
    "checksum",
}  # fmt: skip
SOURCES: dict[str, Callable[[Table, str], None]] = {
    "modbus": _modbus, "opcua": _opcua, "serial-scanner": _serial, "hid-scanner": _hid, "testrig": _rig,
    "mqtt-orders": _at("broker"),
}  # fmt: skip
SINKS: dict[str, Callable[[Table, str], None]] = {
    "mqtt": _at("broker"), "influxdb": _at("url"), "file": _at("folder"), "results": _at("folder"),
}  # fmt: skip


def substitute(document: Mapping[str, Any], places: Places) -> Substituted:
    """A document that names nothing outside of the drill."""
    found = deepcopy(dict(document))
    notes: list[str] = []
    found.pop("board", None)
    _line(found, notes)
    _ends(found, "source", SOURCES, places.sources, notes)
    _ends(found, "sink", SINKS, places.sinks, notes)
    sources = found.get("source", {})
    for station in found["station"]:
        _station(station, sources, notes)
    _telemetry(found, sources)
    if "folder" in found.get("orders", {}):
        found["orders"] = {"folder": "orders"}
    return Substituted(found, tuple(notes))


def _line(found: Table, notes: list[str]) -> None:
    """Its folder is the drill's; a recording would only fill the drill's small disk."""
    line = found["line"]
    for key in ("data", "record"):
        line.pop(key, None)
    if "clock" in line:
        del line["clock"]
        notes.append("[line] clock is left out: the drill sets its own clock")


def _ends(
    found: Table,
    kind: str,
    known: Mapping[str, Callable[[Table, str], None]],
    places: Mapping[str, str],
    notes: list[str],
) -> None:
    tables = found.get(kind, {})
    for name, table in list(tables.items()):
        if name not in places:
            del tables[name]
            notes.append(f"{kind}.{name} is left out: there is no stand-in for type {table['type']!r}")
            continue
        if table["type"] == "testrig" and not is_plain_rig(table):
            notes.append(f"{kind}.{name}: the stand-in sends lines of key=value and waits for ACK")
        if table["type"] == "hid-scanner":
            notes.append(f"{kind}.{name}: the stand-in is a gun on a serial port, which waits for an answer")
        known[table["type"]](table, places[name])
        dropped = [key for key in _CREDENTIALS if table.pop(key, None) is not None]
        if dropped:
            notes.append(f"{kind}.{name}: {', '.join(dropped)} left out; the stand-in asks for none")
        if kind == "sink" and parse_duration(table.get("linger", "0s")).total_seconds() > LINGER_S:
            notes.append(f"{kind}.{name}: linger is {LINGER_S:g} s instead of {table['linger']}")
            table["linger"] = f"{LINGER_S:g}s"


def _station(station: Table, sources: Mapping[str, Any], notes: list[str]) -> None:
    _without_sources(station, sources)
    if station.pop("write", None):
        notes.append(f"{station['name']}: nothing is written to a device; a stand-in has no such place")
    _faster(station, notes)


def _without_sources(station: Table, sources: Mapping[str, Any]) -> None:
    """Nothing that names a source that is left out."""
    for key in ("scanner", "rig"):
        if key in station and station[key] not in sources:
            del station[key]
    for key in _OF_STATION:
        if key in station and station[key]["source"] not in sources:
            del station[key]
    if not {"total", "good"} & station.keys():
        station.pop("reject", None)
        if station.get("counts_by") in ("machine", "reconcile"):
            del station["counts_by"]


def _faster(station: Table, notes: list[str]) -> None:
    for key in _OF_STATION:
        if key in station and parse_duration(station[key].get("every", "250ms")).total_seconds() > EVERY_S:
            station[key]["every"] = f"{EVERY_S * 1000:g}ms"
            notes.append(f"{station['name']}.{key} is read every {EVERY_S:g} s, for parts come faster")
    parts = max((_parts(station[key]) for key in ("total", "good", "reject") if key in station), default=1)
    ideal_ms = max(math.floor(CYCLE_S * 1000 / parts), 1)
    if parse_duration(station["ideal_cycle"]).total_seconds() * 1000 > ideal_ms:
        notes.append(f"{station['name']} makes a part every {ideal_ms} ms, not {station['ideal_cycle']}")
        station["ideal_cycle"] = f"{ideal_ms}ms"
        for key in ("fastest_cycle", "stop_after"):
            station.pop(key, None)


def _parts(counter: Mapping[str, Any]) -> int:
    """What one count stands for at the most."""
    return int(max([counter.get("parts_per_count", 1), *counter.get("parts_by_item", {}).values()]))


def _telemetry(found: Table, sources: Mapping[str, Any]) -> None:
    tables = found.get("telemetry", {})
    for name in [name for name, table in tables.items() if table.get("source", "") not in sources]:
        del tables[name]
    if not tables:
        found.pop("telemetry", None)
