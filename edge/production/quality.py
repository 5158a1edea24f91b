"""What test rigs send: each result once, however often the rig repeats it."""

from hashlib import sha1

from msgspec.structs import replace

from edge.observation import Observation, Outcome, TestResult, Verdict
from edge.production.draft import Draft
from edge.production.events import Test
from edge.production.line import StationSpec
from edge.production.losses import Health
from edge.production.state import Frame, Rig
from edge.production.units import tested

REMEMBERED = 64
"""Results of a rig that a repeated one is compared with."""
UNNUMBERED_MS = 60_000
"""A rig that does not number its results may measure the same again after this time."""


def rig_key(rig: str) -> str:
    return f"rig/{rig}"


def test_result(draft: Draft, rig: str, stations: tuple[StationSpec, ...]) -> None:
    """Decide what a rig sent; a repeated result is recognised and recorded once."""
    result, now = draft.observation.value, draft.observation
    station = stations[0]
    if not isinstance(result, TestResult):
        draft.say(Health(rig, "unreadable", now.detail), station.name, draft.station(station).context)
        known = draft.get(rig_key(rig), Rig) or Rig()
        draft.put(rig_key(rig), replace(known, unreadable=True))
        draft.outcome = Outcome(Verdict.REFUSED, now.detail or "not a test result")
        return
    key, digest = rig_key(rig), _digest(now.detail, result)
    before = draft.get(key, Rig) or Rig()
    if _is_known(before, digest, result, now):
        draft.outcome = Outcome(Verdict.DUPLICATE, f"{result.unit}: this result is recorded already")
        return
    frame = Frame(digest, now.seen_ms, now.mono_ms, now.boot)
    draft.put(key, Rig((*before.recent, frame)[-REMEMBERED:]))
    if before.unreadable:
        draft.say(Health(rig, "readable"), station.name)
    first, first_pass = tested(draft, station, result)
    draft.say(
        Test(
            result.unit, result.program, result.passed, rig, result.revision, result.number, result.steps,
            first, first_pass,
        ),
        station.name,
        draft.station(station).context,
    )  # fmt: skip
    draft.outcome = Outcome(Verdict.ACCEPTED, f"{result.unit} {'passed' if result.passed else 'failed'}")


def _digest(raw: str, result: TestResult) -> str:
    return sha1((raw or repr(result)).encode(), usedforsecurity=False).hexdigest()[:16]


def _is_known(before: Rig, digest: str, result: TestResult, now: Observation) -> bool:
    return any(
        frame.digest == digest and (result.number is not None or _age_ms(frame, now) <= UNNUMBERED_MS)
        for frame in before.recent
    )


def _age_ms(frame: Frame, now: Observation) -> int:
    """By the monotonic clock; across two boots by the wall clock, unless it went back."""
    if frame.boot == now.boot:
        return now.mono_ms - frame.mono_ms
    return max(0, now.seen_ms - frame.seen_ms)
