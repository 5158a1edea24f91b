"""Results and the inbox as lines of text, for a terminal."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from edge.inbox import Unassigned
from edge.production.orders import job_name
from edge.readmodel import StationView
from edge.resultform import JobResult


def told_results(results: Iterable[JobResult], zone: ZoneInfo) -> Iterator[str]:
    """A paragraph a job; times of the line's time zone."""
    for one in results:
        yield f"{job_name(one.order, one.operation)}: {one.state}, {one.good} of {one.quantity} {one.item}"
        yield f"  made {one.produced}: {one.good} good, {one.scrap} scrap, {one.rework} in rework"
        yield from (f"  {line}" for line in _more(one, zone))


def _more(one: JobResult, zone: ZoneInfo) -> Iterator[str]:
    """What there is to say of it."""
    if one.reasons:
        yield f"scrap by reason: {_listed(one.reasons.items())}"
    if one.reworked:
        yield f"good after rework: {one.reworked}"
    if one.adjusted:
        yield f"added by hand: {one.adjusted:+}"
    if one.inspected:
        yield f"tested: {one.inspected}, good at once {one.first_pass}"
    if one.aside:
        yield f"aside: {_listed(one.aside.items())}"
    if one.started:
        ended = f" to {_at(one.ended, zone)}" if one.ended else ""
        yield f"from {_at(one.started, zone)}{ended}, runs that ended took {one.busy_s:.0f} s"
    if one.lots:
        yield f"lots: {', '.join(one.lots)}"
    if one.people:
        yield f"people: {', '.join(one.people)}"


def told_inbox(found: Iterable[Unassigned], zone: ZoneInfo) -> Iterator[str]:
    """Three lines an entry: what, why, and whose it may be."""
    for one in found:
        scrap = f", {one.scrap} of them scrap" if one.scrap else ""
        still = ", still open" if one.open else ""
        yield f"{one.run}: {one.produced} parts at {one.station}{scrap}{still}"
        yield f"  {_at(one.since, zone)} to {_at(one.until, zone)}: {one.why_words}"
        yield f"  {f'probably of {one.owner}' if one.owner else 'whose is open'}: {one.because}"


def told_held(views: Iterable[StationView]) -> Iterator[str]:
    """Parts that wait for a person: what was read, what each answer books, and how it is given."""
    for one in views:
        if not one.held:
            continue
        yield f"{one.station}: {one.held} parts are held"
        yield from (f"  {claim}" for claim in one.claims)
        yield f"  lineside correct held {one.station} --run RUN accepts them, --dismiss does not"


def _listed(figures: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {parts}" for name, parts in figures)


def _at(text: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M:%S}"
