"""What one reading of a counter says in the loss ledger: what it recovered, and what it leaves open."""

from collections.abc import Mapping
from typing import NamedTuple

from edge.contract import Record
from edge.ledger_entries import Cause, Interval, Recovery
from edge.production.claims import claim_of
from edge.production.counting import Kind

UNSEEN = "it could have turned over or begun again unseen"

UNCLOCKED = f"{UNSEEN}, or no clock tells how long it was not seen"

WAITS = "parts that it claims wait for a person"


class Reading(NamedTuple):
    """The events of one reading follow each other: its gap, then its counts, one for each job that has parts
    of it. All that is uncertain of it is one sentence."""

    signal: str
    record: Record
    """The first of them."""
    recovery: Recovery | None = None
    quality: str = ""
    """Of its counts; empty where they tell nothing odd."""
    raw: int = 0
    was: int | None = None
    held: int = 0
    most: int = 0
    """Parts its device can have made since it was restarted; 0: nobody knows."""
    read_as: str = ""
    role: str = ""

    @classmethod
    def of_gap(cls, record: Record, data: Mapping[str, object]) -> "Reading":
        signal, since_ms = str(data["signal"]), whole(data["since_ms"])
        recovery = Recovery(
            signal, whole(data["recovered"]), bool(data["certain"]), bool(data["assigned"]), record.seq,
            since_ms, whole(data["until_ms"]),
        )  # fmt: skip
        return cls(signal, record, recovery, most=whole(data.get("most", 0)))

    def has(self, record: Record) -> bool:
        """Whether an event is of this reading too."""
        if record.type != "count" or record.at_ms != self.record.at_ms:
            return False
        data = record.data
        is_mine = f"{record.station}.{data['role']}" == self.signal and data["quality"] != Kind.BASELINE
        return is_mine and (not self.quality or (data["quality"], data["raw"]) == (self.quality, self.raw))

    def with_count(self, data: Mapping[str, object]) -> "Reading":
        was = data.get("was")
        return self._replace(
            quality=str(data["quality"]), raw=whole(data["raw"]), role=str(data["role"]),
            was=was if isinstance(was, int) else None, read_as=str(data.get("read_as", "")),
            held=self.held + whole(data.get("held", 0)),
        )  # fmt: skip

    def doubt(self) -> str:
        """What nobody can tell of it; empty where it is right."""
        if self.read_as:
            return f"{self.read_as}: nobody knows of which its parts are, they are booked as before"
        if self.most and self.recovery is not None and self.quality in ("", Kind.UNCERTAIN):
            return (
                f"{went_words(self.was, self.raw)}its device may have begun anew, and gone on from"
                f" an older count: {self.recovery.parts} parts were made at least, {self.most} may have"
                " been since it began"
            )
        if not self.quality:
            return UNSEEN if self.recovery is not None and not self.recovery.certain else ""
        back = "" if self.was is None else f"it went back from {self.was} to {self.raw}: "
        words = {
            Kind.RESET: f"{back}it began again at zero, what was made just before is not known",
            Kind.REPLACED: f"another device's, from {self.raw}: what the old one made after {self.was} is not"
            " known",
            Kind.UNCERTAIN: f"{went_words(self.was, self.raw)}{UNCLOCKED}",
            Kind.IMPLAUSIBLE: f"{self.held} {WAITS}: {claim_of(self.role, self.was, self.raw, self.held)}",
        }
        return words.get(Kind(self.quality), self.quality)

    def alone(self) -> Interval:
        """An entry of its own: nobody waited for it."""
        record, why = self.record, self.doubt()
        since_ms, until_ms = record.at_ms, record.at_ms
        if self.recovery is not None:
            since_ms, until_ms = self.recovery.since_ms, self.recovery.until_ms
        return Interval(
            Cause.COUNTER, self.signal, since_ms, until_ms, record.seq, record.station,
            () if self.recovery is None else (self.recovery,), uncertain=(why,) if why else (),
        )  # fmt: skip


def went_words(was: int | None, raw: int) -> str:
    """Both readings, to go on after; empty where the count does not tell what it was before."""
    return "" if was is None else f"it went from {was} to {raw}: "


def first_words(data: Mapping[str, object]) -> str:
    """Of the first reading of a counter."""
    raw, was, read_as = whole(data["raw"]), data.get("was"), data.get("read_as")
    if read_as:
        return (
            f"it is read otherwise than before, {read_as}: what was counted from {was} to {raw} is of nobody"
        )
    if was is not None:
        return (
            "the file gives it fewer readings than its last one shows, so it begins anew:"
            f" what it counted from {was} to {raw} is of nobody"
        )
    return "it was read for the first time, what it had counted before is of nobody"


def whole(value: object) -> int:
    return value if isinstance(value, int) else 0
