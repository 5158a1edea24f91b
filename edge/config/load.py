"""From a TOML file to one frozen configuration, or to all of its faults at once."""

import os
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge import registry
from edge.batches import TelemetryTable
from edge.config.document import read_document
from edge.config.faults import Faults, nearest
from edge.config.feedback import StationFeedback, build_feedback
from edge.config.hours import Hours
from edge.config.labels import build_labels
from edge.config.stations import Sources, build_stations
from edge.config.surveys import survey_sources
from edge.config.tables import BoardTable, Document, LineTable, OrderTable
from edge.config.telemetry import build_telemetry
from edge.config.writes import StationWrite, build_writes
from edge.contract import Output, Signal, SinkModule, SinkSettings, Source, SourceSettings, Survey, Target
from edge.errors import ConfigError
from edge.journal.retention import Keep
from edge.observation import WorkOrder
from edge.production import Line
from edge.production.line import StationSpec

DEFAULT_SINK = {"file": {"type": "file"}}


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One `[source.NAME]` and every signal that names it."""

    name: str
    module: Source
    settings: SourceSettings
    signals: Sequence[Signal[Any]]
    outputs: Sequence[Output[Any]] = ()
    """What stations have it switch."""
    targets: Sequence[Target[Any]] = ()
    """What stations have it write."""
    survey: Survey = field(default_factory=Survey)
    """What all of this asks of it."""


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One `[sink.NAME]`."""

    name: str
    module: SinkModule
    settings: SinkSettings


@dataclass(frozen=True, slots=True)
class LineConfig:
    """Everything that the agent and the board need to know."""

    file: Path
    line: Line
    path: str
    timezone: str
    data: Path
    sources: Mapping[str, SourceConfig]
    sinks: Mapping[str, SinkConfig]
    board: BoardTable
    warnings: Sequence[str]
    orders_folder: Path | None = None
    """Watched for files of orders."""
    record: int | None = None
    """Bytes that the recording of what was decided may take; None: nothing is recorded."""
    keep: Keep = field(default_factory=Keep)
    require_ntp: bool = False
    """The clock is believed only where a time server has set it."""
    telemetry: Sequence[TelemetryTable] = ()
    feedback: Sequence[StationFeedback] = ()
    """Of the stations that show what became of a scan by lamps or a buzzer."""
    label_examples: Sequence[str] = ()
    """What each example of a plant's own labels means, in words."""
    writes: Sequence[StationWrite] = ()
    """What devices are to hold of a station: a release, a hold, an order's number."""

    @property
    def journal(self) -> Path:
        return self.data / "journal.db"


def load(file: Path, data: Path | None = None) -> LineConfig:
    """Read and check; opens no socket. Raises ConfigError with every fault."""
    faults = Faults(str(file))
    document = read_document(_read(file, faults), faults)
    sources = _sources(document, faults)
    stations, signals = build_stations(document, sources, faults)
    telemetry = build_telemetry(document, sources, signals, faults)
    feedback, outputs = build_feedback(document, sources, faults)
    writes, targets = build_writes(document, sources, outputs, faults)
    surveys = survey_sources(sources, signals, outputs, targets, faults)
    orders = _orders(document.orders, faults)
    labels, examples = build_labels(document.labels, faults)
    sinks = _sinks(document, faults)
    owned = {f"source.{name}": one.owns() for name, (_, one) in sources.items() if one}
    owned |= {f"sink.{name}": one.settings.owns() for name, one in sinks.items()}
    _refuse_shared(owned, faults)
    if faults.found or document.line is None or document.board is None:
        raise ConfigError(faults.found)
    data = data or _data_folder(file, document.line)
    line = Line(
        document.line.name, tuple(stations), orders, document.line.badge == "required",
        labels, document.reasons, badge_ends_ms=_badge_ends_ms(document.line),
        hour=Hours(document.line.timezone),
    )  # fmt: skip
    return LineConfig(
        file, line, document.line.path, document.line.timezone,
        data,
        {
            name: SourceConfig(
                name, module, settings, tuple(signals.get(name, ())), outputs.get(name, ()),
                targets.get(name, ()), surveys.get(name, Survey()),
            )
            for name, (module, settings) in sources.items()
            if settings is not None
        },
        sinks, document.board, _warnings(sources, stations, surveys), _orders_folder(data, document),
        document.line.record, _keep(document.line), document.line.clock == "require-ntp",
        telemetry, feedback, examples, writes,
    )  # fmt: skip


def _read(file: Path, faults: Faults) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.add("", "there is no such file", "config/press-line.toml is an example to copy")
    except OSError as error:
        faults.add("", f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        faults.add("", f"is not UTF-8 text: {error.reason} at byte {error.start}")
    except tomllib.TOMLDecodeError as error:
        faults.add("", f"is not valid TOML: {error}")
    except RecursionError:
        faults.add("", "is not valid TOML that can be read: it is nested too deeply")
    except ValueError as error:
        faults.add("", f"is not valid TOML that can be read: {error}")
    raise ConfigError(faults.found)


def _sources(document: Document, faults: Faults) -> Sources:
    """Every source whose type is known; without settings where they have faults."""
    found: dict[str, tuple[Source, SourceSettings | None]] = {}
    for name, table in document.sources.items():
        key = f"source.{name}"
        kind = _type(table, key, faults)
        module = registry.source(kind) if kind else None
        if module is not None:
            found[name] = module, faults.check(module.Settings, table, key)
        elif kind:
            _wrong_type(kind, "source", key, faults)
    return found


def _type(table: Mapping[str, Any], key: str, faults: Faults) -> str | None:
    kind = table.get("type")
    if isinstance(kind, str):
        return kind
    what = "is missing" if kind is None else f"must be text in quotes, found {kind!r}"
    faults.add(f"{key}.type", what, f"one of {', '.join(registry.types())}")
    return None


def _wrong_type(kind: str, wanted: str, key: str, faults: Faults) -> None:
    if kind in registry.types():
        faults.add(f"{key}.type", f'"{kind}" is not a {wanted}')
    else:
        faults.add(f"{key}.type", f'there is no "{kind}"', nearest(kind, registry.types()))


def _refuse_shared(owned: Mapping[str, list[str]], faults: Faults) -> None:
    """One owner a wire: two on one serial port would steal each other's bytes, a source and a sink with one
    client id at a broker would throw each other out."""
    owner: dict[str, str] = {}
    for name, things in owned.items():
        for thing in things:
            if thing in owner:
                faults.add(name, f"{thing} is already used by {owner[thing]}", "one owner each")
            owner.setdefault(thing, name)


def _sinks(document: Document, faults: Faults) -> dict[str, SinkConfig]:
    found: dict[str, SinkConfig] = {}
    for name, table in (document.sinks or DEFAULT_SINK).items():
        key = f"sink.{name}"
        kind = _type(table, key, faults)
        module = registry.sink(kind) if kind else None
        settings = faults.check(module.Settings, table, key) if module else None
        if module is not None and settings is not None:
            found[name] = SinkConfig(name, module, settings)
        elif kind and module is None:
            _wrong_type(kind, "sink", key, faults)
    return found


def _orders(tables: Sequence[OrderTable], faults: Faults) -> dict[str, WorkOrder]:
    for name, times in Counter(table.id for table in tables).items():
        if times > 1:
            faults.add(f"order[{name}].id", f"{times} orders have this id", "an id names one order")
    jobs = {f"{table.id}-{operation}": table.id for table in tables for operation in table.operations}
    for name in {table.id for table in tables} & jobs.keys():
        what = f"is also the job card of an operation of order {jobs[name]}"
        faults.add(f"order[{name}].id", what, "choose another id")
    return {table.id: table.order() for table in tables}


def _warnings(sources: Sources, stations: Sequence[StationSpec], surveys: Mapping[str, Survey]) -> list[str]:
    """What is valid but doubtful, as adapters see it, and what nobody listens to."""
    heard = {name for station in stations for name in (station.gun, station.rig)}
    return [
        *(
            f"source.{name}: no station names it; what it sends is refused"
            for name, (module, _) in sources.items()
            if module.Address is None and module.gives != "orders" and name not in heard
        ),
        *(
            f"station.{station.name}: no scanner: all of its parts will be UNASSIGNED"
            for station in stations
            if station.counters and station.gun is None
        ),
        *(
            f"station.{station.name}: no scanner, and {station.rig} sends no unit: its results will have none"
            for station in stations
            if station.gun is None and (rig := sources.get(station.rig or ""))
            if rig[1] is not None and rig[1].needs_a_scan()
        ),
        *_doubts(sources, surveys),
    ]


def _doubts(sources: Sources, surveys: Mapping[str, Survey]) -> list[str]:
    own = {name: settings.warnings() for name, (_, settings) in sources.items() if settings is not None}
    return [
        f"source.{name}: {warning}"
        for name, warnings in own.items()
        for warning in (*warnings, *surveys.get(name, Survey()).warnings)
    ]


def _orders_folder(data: Path, document: Document) -> Path | None:
    """Relative to the data folder; an absolute path stays as it is."""
    table = document.intake
    return data / table.folder if table is not None and table.folder is not None else None


def _badge_ends_ms(line: LineTable) -> int | None:
    return None if line.badge_ends is None else round(line.badge_ends.total_seconds() * 1000)


def _keep(line: LineTable) -> Keep:
    return Keep(line.keep, line.telemetry_keep, line.journal)


def _data_folder(file: Path, line: LineTable) -> Path:
    """`[line] data`, else the service's state directory, else one in the user's home."""
    if line.data is not None:
        return (file.parent / line.data).resolve()
    if (state := os.environ.get("STATE_DIRECTORY")) is not None:
        return Path(state)
    return home_folder(line.name)


def home_folder(line: str) -> Path:
    """Where the journal of who types is, unless the file, the command or systemd says otherwise."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "lineside" / line
