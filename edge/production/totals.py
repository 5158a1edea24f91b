"""Quantities of parts, and how they add up: PQ = GQ + SQ + RQ_open, always."""

from msgspec import Struct
from msgspec.structs import astuple

from edge.production.line import Role


class Totals(Struct, frozen=True, omit_defaults=True):
    """Parts of a run, of a job at a station, or of no order. Facts keep their sign: a reject may be
    counted before its total is."""

    made: int = 0
    """What the source that counts has counted: its total, or where it has none good and reject."""
    total: int = 0
    good: int = 0
    reject: int = 0
    """By the counter's role, of the source that counts."""
    booked: int = 0
    """Scrap that a person said, of what was counted good."""
    rework: int = 0
    """Waiting for rework: neither good nor scrap."""
    reworked: int = 0
    """Were in rework and are good now."""
    added: int = 0
    """Parts that a supervisor added to those made, or took away."""
    other_good: int = 0
    other_scrap: int = 0
    """What the source said that does not count here; never added to the rest."""
    inspected: int = 0
    """Units that were tested, once each."""
    first_pass: int = 0
    """Of these, good at the first test and never in rework."""

    def and_(self, other: "Totals") -> "Totals":
        if other == NOTHING:
            return self
        return Totals(  # written out: every reading of a counter comes here
            self.made + other.made, self.total + other.total,
            self.good + other.good, self.reject + other.reject,
            self.booked + other.booked, self.rework + other.rework, self.reworked + other.reworked,
            self.added + other.added, self.other_good + other.other_good,
            self.other_scrap + other.other_scrap, self.inspected + other.inspected,
            self.first_pass + other.first_pass,
        )  # fmt: skip

    def negative(self) -> "Totals":
        return Totals(*[-parts for parts in astuple(self)])

    def of(self, role: Role) -> int:
        return self.total if role is Role.TOTAL else self.good if role is Role.GOOD else self.reject

    @property
    def produced(self) -> int:
        """PQ."""
        return self.made + self.added

    @property
    def scrap_parts(self) -> int:
        """SQ."""
        return self.reject + self.booked

    @property
    def good_parts(self) -> int:
        """GQ."""
        return self.produced - self.scrap_parts - self.rework

    @property
    def dispositions(self) -> "Totals":
        """What was said of parts, without the counting of them."""
        return Totals(booked=self.booked, rework=self.rework, reworked=self.reworked, added=self.added)

    @property
    def counts(self) -> "Totals":
        """The counting, without what was said of the parts afterwards."""
        return Totals(self.made, self.total, self.good, self.reject)


NOTHING = Totals()


def counted(role: str, parts: int, *, counts: bool = True, of_total: bool = False) -> Totals:
    """Of one count event; `of_total`: a reject that is one of the parts that a total counts."""
    if not counts:
        return Totals(other_scrap=parts) if role == Role.REJECT else Totals(other_good=parts)
    if role == Role.TOTAL:
        return Totals(made=parts, total=parts)
    if role == Role.GOOD:
        return Totals(made=parts, good=parts)
    return Totals(made=0 if of_total else parts, reject=parts)


SCRAPS = ("scrap", "scrap_reason", "rework_scrapped")
"""Dispositions whose reason is one of scrap."""


def disposed(disposition: str, parts: int) -> Totals:
    """The totals of one disposition event; see `events.Disposition`. Raises KeyError."""
    return {
        "scrap": Totals(booked=parts),
        "rework": Totals(rework=parts),
        "reworked": Totals(rework=-parts, reworked=parts),
        "rework_scrapped": Totals(rework=-parts, booked=parts),
        "scrap_reason": Totals(other_scrap=parts),
    }[disposition]
