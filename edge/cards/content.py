"""What the cards say: from the line's file, its orders and what was typed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from edge.errors import CardsRefused
from edge.production.line import Line
from edge.production.orders import FINAL, job_name
from edge.production.places import card_of
from edge.production.scanning import Label, LabelRules, make_label, read_label
from edge.readmodel import OrderView

MOST_CARDS = 5_000
QUANTITIES = ("1..10", "12", "15", "20", "25", "50", "75", "100", "150", "200", "250", "500", "1000")
"""What is printed where none are named."""
_AIM = "]d1"
"""What a gun may put before a Data Matrix, and must where the line's file demands it."""
_BODY = re.compile(r"[0-9A-Z.-]{1,40}")
_RANGE = re.compile(r"(?P<begin>\S*?)(?P<from>[0-9]+)\.\.(?P<again>\S*?)(?P<to>[0-9]+)", re.ASCII)


class What(StrEnum):
    """A kind of sheet."""

    JOBS = "jobs"
    BATCHES = "batches"
    BADGES = "badges"
    LOTS = "lots"
    UNITS = "units"
    TOOLS = "tools"
    REASONS = "reasons"
    COMMANDS = "commands"
    QUANTITIES = "quantities"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Card:
    """One card."""

    label: str
    """What is in its barcode."""
    heading: str
    """What sort of card it is."""
    title: str
    """What it is read for."""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """Cards of one kind, in the order in which they are printed."""

    what: What
    cards: tuple[Card, ...]

    @property
    def is_too_many(self) -> bool:
        return len(self.cards) > MOST_CARDS


COMMANDS = {
    "START": "begin, or go on with, the job",
    "PAUSE": "the job is interrupted",
    "DONE": "the job is ended here",
    "SETUP": "the job is being set up: its parts are no production",
    "TEST": "a test run: its parts are no production",
    "OK": "after a unit: it is good; or reworked parts: then how many",
    "NG": "after a unit: it is not good",
    "REWORK": "a unit, or parts: then how many",
    "SCRAP": "a unit, or parts in rework: then how many",
    "UNDO": "take back the last scan (2 minutes)",
    "BACK5": "the last card was meant 5 minutes ago",
    "BACK10": "the last card was meant 10 minutes ago",
    "BACK20": "the last card was meant 20 minutes ago",
    "BACK30": "the last card was meant 30 minutes ago",
    "CANCEL": "forget what waits for another scan",
    "LOGOUT": "badge out",
}
"""What a station obeys, in the order of the sheet. RESUME is left out: START does the same."""

NAMED = {
    What.BADGES: ("E", "Badge"), What.LOTS: ("L", "Lot"), What.UNITS: ("S", "Unit"),
    What.TOOLS: ("T", "Tool"), What.QUANTITIES: ("Q", "Quantity"),
}  # fmt: skip
"""Kinds whose cards are named by whoever prints them: their letter and heading."""
_REASONS = {"scrap": ("X", "Scrap reason"), "downtime": ("D", "Downtime reason")}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be printed."""

    sheets: tuple[Sheet, ...]
    left_out: tuple[str, ...]
    """What nobody named and what cannot be a label, a sentence each."""


def choose(what: What, names: Sequence[str], line: Line, orders: Sequence[OrderView]) -> Chosen:
    """The sheets of one kind, or of all that need no names.

    Raises CardsRefused with everything that is wrong with what was asked for.
    """
    faults: list[str] = []
    if names and what in (What.ALL, What.REASONS, What.COMMANDS):
        faults.append(f"{what} takes no names: {' '.join(names)!a}")
    kinds = (What.JOBS, What.BATCHES, What.REASONS, What.COMMANDS, What.QUANTITIES)
    found = [
        Sheet(one, tuple(_cards(one, names, line, orders, faults)))
        for one in (kinds if what is What.ALL else (what,))
    ]
    too_many = [
        f"more than {MOST_CARDS:,} {one.what}: print them in parts" for one in found if one.is_too_many
    ]
    if too_many or (names and faults):
        raise CardsRefused([*faults, *too_many])
    full = tuple(sheet for sheet in found if sheet.cards)
    if not full:
        raise CardsRefused([*faults, _NOTHING[what].format(line=line.name)])
    return Chosen(full, tuple(faults))


_NOTHING = {
    What.JOBS: "{line} has no order that is still to be made; name one to print its cards again",
    What.BATCHES: "no order of {line} that is still to be made has a batch",
    What.REASONS: "the file of {line} names no reasons: write [reasons.scrap] or [reasons.downtime]",
} | {one: f"name the {one}: `lineside cards {one} NAME...`" for one in NAMED}


def _cards(
    what: What, names: Sequence[str], line: Line, orders: Sequence[OrderView], faults: list[str]
) -> Iterator[Card]:
    if what in (What.JOBS, What.BATCHES):
        chosen = _chosen(names, orders, line.name, faults)
        make = _job_cards if what is What.JOBS else _batch_cards
        return make(chosen, bool(names), line.labels, faults)
    if what in (What.REASONS, What.COMMANDS):
        return (_reason_cards if what is What.REASONS else _command_cards)(line, faults)
    return islice(_named_cards(what, names, line, faults), MOST_CARDS + 1)


def _checked(letter: str, body: str, rules: LabelRules, faults: list[str]) -> str | None:
    """The label's text, where a gun that reads it will be understood."""
    text = make_label(letter, body) if _BODY.fullmatch(body) else ""
    if text and read_label(_AIM + text, rules) == Label(letter, body):
        return text
    faults.append(
        f"{body!a} cannot be a label: it holds 1 to 40 capital letters, digits, points and hyphens"
        + (f"; write {body.upper()}" if _BODY.fullmatch(body.upper()) else "")
    )
    return None


# --- from the orders --------------------------------------------------------------------------


def _chosen(
    names: Sequence[str], orders: Sequence[OrderView], line: str, faults: list[str]
) -> Iterable[OrderView]:
    known = {order.id: order for order in orders}
    faults += [
        f"{line} has no order {name!a}; `lineside orders list` shows all of them"
        for name in names
        if name not in known
    ]
    return [known[name] for name in dict.fromkeys(names) if name in known] if names else orders


def _job_cards(
    orders: Iterable[OrderView], ended_too: bool, rules: LabelRules, faults: list[str]
) -> Iterator[Card]:
    for order in orders:
        for job in order.operations:
            if not ended_too and job.state in FINAL:
                continue
            name = job_name(order.id, job.operation)
            if text := _checked("J", name, rules, faults):
                yield Card(text, "Job card", name, tuple(_job_lines(order, job.operation)))


def _job_lines(order: OrderView, operation: int | None) -> Iterator[str]:
    if operation is not None:
        yield f"order {order.id}"
        yield f"operation {operation}"
    yield f"item {order.item}" + (f", revision {order.revision}" if order.revision else "")
    yield f"quantity {order.quantity:,}"
    if order.batch:
        yield f"batch {order.batch}"


def _batch_cards(
    orders: Iterable[OrderView], ended_too: bool, rules: LabelRules, faults: list[str]
) -> Iterator[Card]:
    made: set[str] = set()
    for order in orders:
        is_open = any(job.state not in FINAL for job in order.operations)
        if not order.batch or order.batch in made or not (is_open or ended_too):
            continue
        made.add(order.batch)
        if text := _checked("L", order.batch, rules, faults):
            yield Card(text, "Batch", order.batch, (f"item {order.item}", f"of order {order.id}"))


# --- from the line's file -----------------------------------------------------------------------


def _reason_cards(line: Line, faults: list[str]) -> Iterator[Card]:
    for kind, (letter, heading) in _REASONS.items():
        for code, words in line.reasons.get(kind, {}).items():
            if text := _checked(letter, code, line.labels, faults):
                yield Card(text, heading, words or code, (code,) if words and words != code else ())


def _command_cards(line: Line, faults: list[str]) -> Iterator[Card]:
    for command, words in COMMANDS.items():
        if text := _checked("C", command, line.labels, faults):
            yield Card(text, "Command", command, (words,))
    for station in line.stations:
        shared = station.gun is not None and len(line.guns[station.gun]) > 1
        if shared and (text := _checked("U", card_of(station), line.labels, faults)):
            yield Card(text, "Station", station.name, ("the gun speaks for it alone, for 30 s",))


# --- from what was typed ------------------------------------------------------------------------


def _named_cards(what: What, names: Sequence[str], line: Line, faults: list[str]) -> Iterator[Card]:
    letter, heading = NAMED[what]
    if what is What.QUANTITIES and not names:
        names = QUANTITIES
    for body, words in _expanded(names, faults):
        if what is What.QUANTITIES and not _is_quantity(body, faults):
            continue
        if text := _checked(letter, body, line.labels, faults):
            yield Card(text, heading, words or body, (body,) if words else ())


def _is_quantity(body: str, faults: list[str]) -> bool:
    if body.isascii() and body.isdigit() and 0 < int(body[:9]) < 10_000 and not body.startswith("0"):
        return True
    faults.append(f"{body!a} is no quantity from 1 to 9999")
    return False


def _expanded(names: Sequence[str], faults: list[str]) -> Iterator[tuple[str, str]]:
    """Each body with its words: of `4711=Anna Smith`, and of every one of `U-0001..U-0050`."""
    made: set[str] = set()
    for name in names:
        written, _, words = name.partition("=")
        for body in _range(written, faults):
            if body in made:
                faults.append(f"{body!a} is named twice")
            made.add(body)
            yield body, words.strip()


def _range(name: str, faults: list[str]) -> Iterator[str]:
    found = _RANGE.fullmatch(name)
    if found is None:
        yield name
        return
    first, last, begin = found["from"], found["to"], found["begin"]
    if found["again"] not in ("", begin) or len(first) > 18 or len(last) > 18 or int(last) < int(first):
        faults.append(f"{name!a} is no range: write the first and the last, as in U-0001..U-0050")
    elif int(last) - int(first) >= MOST_CARDS:
        faults.append(f"{name!a} are more than {MOST_CARDS:,}: print them in parts")
    else:
        width = len(first) if first.startswith("0") else 0
        yield from (f"{begin}{number:0{width}d}" for number in range(int(first), int(last) + 1))
