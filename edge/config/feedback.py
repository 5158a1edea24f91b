"""`feedback` of a station: what its lamps and its buzzer do when a scan was accepted, refused or a duplicate.

Keys of the address that all of them share (the unit) are written once, beside the outcomes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, model_validator

from edge import registry
from edge.config.faults import Faults, nearest
from edge.config.stations import Sources
from edge.config.tables import Document
from edge.contract import Duration, Output, Settings, SwitchAddress
from edge.observation import Verdict

OUTCOMES = {
    "accepted": Verdict.ACCEPTED, "refused": Verdict.REFUSED, "duplicate": Verdict.DUPLICATE,
}  # fmt: skip
LONGEST_S = 5.0
FASTEST_S = 1 / 6
"""On and off for so long each is three times a second; faster flashes can harm a person (WCAG 2.3.1)."""
MOST_LAMPS = 8

Shared = dict[str, Sequence[Output[Any]]]
"""The outputs of each source, each once."""


@dataclass(frozen=True, slots=True)
class Lamp:
    """An output that is on for some time, once or more often."""

    output: str
    for_s: float
    times: int


@dataclass(frozen=True, slots=True)
class StationFeedback:
    """What is shown at one station."""

    station: str
    gun: str
    source: str
    """Whose outputs the lamps are."""
    shows: Mapping[Verdict, tuple[Lamp, ...]]


class LampTable(Settings):
    """`accepted`, `refused` or `duplicate`, or one of a list of these; its other keys are the address."""

    for_: Duration = Field(default=timedelta(milliseconds=500), alias="for")
    """How long it is on, and between two times how long it is off."""
    times: Annotated[int, Field(ge=1, le=5)] = 1
    """How often it is on."""

    @model_validator(mode="after")
    def _bearable(self) -> "LampTable":
        seconds = self.for_.total_seconds()
        if seconds * (2 * self.times - 1) > LONGEST_S:
            raise ValueError(f"lasts longer than {LONGEST_S:g} s: the next scan would have to wait")
        if self.times > 1 and seconds < FASTEST_S:
            raise ValueError('flashes faster than three times a second; write for = "170ms" or longer')
        return self


def build_feedback(
    document: Document, sources: Sources, faults: Faults
) -> tuple[tuple[StationFeedback, ...], Shared]:
    """Every station that has any, and the outputs that each source is to switch."""
    builder = _Builder(document, sources, faults, {})
    found = [
        builder.station(name, written, written["feedback"])
        for name, written, _ in document.stations
        if isinstance(written.get("feedback"), dict)
    ]
    shared: Shared = {name: tuple(outputs.values()) for name, outputs in builder.outputs.items()}
    return tuple(one for one in found if one is not None), shared


@dataclass(frozen=True, slots=True)
class _Builder:
    document: Document
    sources: Sources
    faults: Faults
    outputs: dict[str, dict[str, Output[Any]]]
    """By source, and by their own name: what two stations name is switched once."""

    def station(
        self, name: str, written: Mapping[str, Any], table: Mapping[str, Any]
    ) -> StationFeedback | None:
        key = f"station[{name}].feedback"
        gun = written.get("scanner")
        if not isinstance(gun, str):
            self.faults.add(key, "the station has no scanner: there is nothing to show", 'scanner = "gun-1"')
        outcomes = {one: table[one] for one in OUTCOMES if one in table}
        if not outcomes:
            self.faults.add(key, "shows nothing", "such as refused = { coil = 1 }")
        source, model = table.get("source"), self._model(key, table.get("source"))
        if model is None or not isinstance(source, str):
            return None
        common = {one: value for one, value in table.items() if one not in OUTCOMES and one != "source"}
        self._refuse_foreign(key, common, model)
        shows = {
            OUTCOMES[one]: tuple(self._lamps(f"{key}.{one}", source, model, common, value))
            for one, value in outcomes.items()
        }
        self._refuse_alike(key, shows)
        return StationFeedback(name, str(gun), source, shows)

    def _model(self, key: str, source: object) -> type[SwitchAddress] | None:
        """What an output of this source is; None where there is none."""
        if not isinstance(source, str) or source not in self.document.sources:
            what = "is missing" if source is None else f"names no source: {source!r}"
            self.faults.add(f"{key}.source", what, nearest(str(source), self.document.sources))
            return None
        if source not in self.sources:  # that its type is unknown is told already
            return None
        model: type[SwitchAddress] | None = getattr(self.sources[source][0], "Switch", None)
        if model is None:
            able = ", ".join(one for one in registry.types() if hasattr(registry.source(one), "Switch"))
            self.faults.add(f"{key}.source", f'"{source}" can switch nothing', f"of these types can: {able}")
        return model

    def _refuse_foreign(self, key: str, common: Mapping[str, Any], model: type[SwitchAddress]) -> None:
        valid = {*_keys(LampTable), *_keys(model), *OUTCOMES, "source"}
        for one in sorted(common.keys() - valid):
            self.faults.add(f"{key}.{one}", "is not a key here", nearest(one, valid))

    def _lamps(
        self, key: str, source: str, model: type[SwitchAddress], common: Mapping[str, Any], value: object
    ) -> Iterator[Lamp]:
        tables = value if isinstance(value, list) else [value]
        if not 0 < len(tables) <= MOST_LAMPS or not all(isinstance(one, dict) for one in tables):
            what = f"must be a table, or a list of up to {MOST_LAMPS} of them"
            self.faults.add(key, what, "such as { coil = 1 }")
            return
        own = _keys(LampTable)
        common = {one: given for one, given in common.items() if one in own | _keys(model)}
        for number, table in enumerate(tables, 1):
            where = key if len(tables) == 1 else f"{key}[{number}]"
            merged = common | table
            lamp = self.faults.check(LampTable, {k: v for k, v in merged.items() if k in own}, where)
            rest = {k: v for k, v in merged.items() if k not in own}
            address = self.faults.check(model, rest, where, also=own)
            if lamp is not None and address is not None:
                name = address.identity()
                self.outputs.setdefault(source, {}).setdefault(name, Output(name, address))
                yield Lamp(name, lamp.for_.total_seconds(), lamp.times)

    def _refuse_alike(self, key: str, shows: Mapping[Verdict, tuple[Lamp, ...]]) -> None:
        seen: dict[frozenset[Lamp], Verdict] = {}
        for verdict, lamps in shows.items():
            alike = seen.setdefault(frozenset(lamps), verdict) if lamps else verdict
            if alike is not verdict:
                what = f"looks and sounds the same as {alike.value}: nobody could tell them apart"
                self.faults.add(f"{key}.{verdict.value}", what, "another lamp, or times = 3")


def _keys(model: type[Settings]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}
