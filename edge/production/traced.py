"""The events that a genealogy is read from: of units, lots, materials and tools."""

from typing import ClassVar

from msgspec import Struct

from edge.observation import LotShare, Step


def lot_subject(lot: str) -> str:
    return f"lot/{lot}"


def unit_subject(serial: str) -> str:
    return f"unit/{serial}"


class Test(Struct, frozen=True, omit_defaults=True):
    """A unit was tested."""

    __test__ = False
    type: ClassVar[str] = "test"

    unit: str
    program: str
    passed: bool | None
    rig: str
    revision: str | None = None
    number: str | None = None
    steps: tuple[Step, ...] = ()
    first: bool = False
    """The unit's first test by this program."""
    first_pass: bool = False
    """Passed at the first test, and never in rework."""
    verdict: bool | None = None
    """What holds: failed where the rig or a limit says so; None: a measurement, nobody judges it."""
    computed: bool | None = None
    """What the limits and the steps' own verdicts say; None: there are none."""
    verdict_differs: bool = False
    """The rig says one thing, the limits another."""
    tools: tuple[str, ...] = ()
    """Those in use at the station."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What this event is part of the history of."""
        return (unit_subject(self.unit),)


class UnitSeen(Struct, frozen=True, omit_defaults=True):
    """A serial number was scanned at a station, or a person decided about it."""

    type: ClassVar[str] = "unit"

    unit: str
    state: str
    lots: tuple[str, ...] = ()
    """Material that was in use."""
    reason: str = ""
    tools: tuple[str, ...] = ()
    """Those that were in use."""
    lot: str | None = None
    """The batch that its own label names."""

    @property
    def subjects(self) -> tuple[str, ...]:
        own = () if self.lot is None or self.lot in self.lots else (lot_subject(self.lot),)
        return (unit_subject(self.unit), *map(lot_subject, self.lots), *own)


class MaterialUsed(Struct, frozen=True, omit_defaults=True):
    """A lot of material was put in use, or some of it was used."""

    type: ClassVar[str] = "material"

    material: str
    lot: str
    use: str
    """`mounted`, `backflush` (by parts made times the need of one) or `scanned` (as a person said)."""
    quantity: float = 0.0
    """Of one that was mounted: what its label says is in it; 0: it says nothing."""

    @property
    def subjects(self) -> tuple[str, ...]:
        return (lot_subject(self.lot),)


class Lot(Struct, frozen=True, omit_defaults=True):
    """A batch was begun, or lots became others."""

    type: ClassVar[str] = "lot"

    change: str
    """`begun`, `split` or `merged`."""
    results: tuple[LotShare, ...]
    sources: tuple[LotShare, ...] = ()
    by: str = ""
    reason: str = ""

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(lot_subject(share.lot) for share in (*self.sources, *self.results))


class Tool(Struct, frozen=True, omit_defaults=True):
    """A tool was put in use at a station, or taken off."""

    type: ClassVar[str] = "tool"

    tool: str
    change: str
    """`mounted` or `taken_off`."""
    group: str = ""
    """What stands before the first dot of its label: of each group one is in use; empty: it has none."""
    why: str = ""
    """`replaced`: another of its group came; `undo`: the scan was taken back."""
