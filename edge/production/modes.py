"""What a machine is set up to do: its mode, the other axis beside its state (OPC 40001-1)."""

from msgspec.structs import replace

from edge.production.cycles import UNDEFINED, code_of
from edge.production.draft import Draft
from edge.production.events import MachineMode
from edge.production.line import StationSpec

MACHINERY = {0: "None", 1: "Maintenance", 2: "Setup", 3: "Processing"}
"""Modes of OPC 40001-1, 13.2, by their StateNumber."""

PACKML = {0: "None", 1: "Processing", 2: "Maintenance", 3: "Manual"}
"""Unit modes of ISA-TR88.00.02, in the words of OPC 40001-1 where it has one; a plant's own begin at 4."""


def machine_mode(draft: Draft, station: StationSpec) -> None:
    """Decide one reading of a station's mode; its quality is not bad. It changes nobody's parts."""
    code = code_of(draft.observation)
    name, row = station.mode_map.get(code, UNDEFINED), draft.station(station)
    if name != row.mode:
        number = int(code) if code.removeprefix("-").isdecimal() and len(code) < 19 else None
        draft.say(MachineMode(name, row.mode, number), station.name, row.context)
        draft.put(station.key, replace(row, mode=name, mode_at_ms=draft.observation.at_ms))
