"""Scans that change neither a job nor a count by themselves: what they were is kept for an UNDO."""

from msgspec.structs import replace

from edge.production.beside import LotTaken, Taken
from edge.production.context import Context
from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.slots import MOST_NAMED
from edge.production.state import Undo


def remember(
    draft: Draft, spec: StationSpec, label: str, taken: Taken, context: Context | None = None
) -> None:
    """The scan of now can be taken back. `context`: of the job that it was about, where there are several."""
    row, now = draft.station(spec), draft.observation
    undo = Undo(
        label, row.context.operator, now.at_ms, now.mono_ms, now.boot, context or row.context, row.run,
        taken=taken,
    )  # fmt: skip
    draft.put(spec.key, replace(row, undo=undo))


def note_unit(draft: Draft, spec: StationSpec, serial: str) -> None:
    """A unit is first seen here: if the lot in use is taken back, it is made of another."""
    row = draft.station(spec)
    if row.undo is None or not isinstance(row.undo.taken, LotTaken) or row.undo.taken.quantity:
        return
    taken = row.undo.taken
    noted = replace(taken, units=(*taken.units, serial)[-MOST_NAMED:])
    draft.put(spec.key, replace(row, undo=replace(row.undo, taken=noted)))
