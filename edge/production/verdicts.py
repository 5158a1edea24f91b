"""What the limits of a test say, beside what its rig says."""

from math import isfinite
from typing import NamedTuple

from edge.observation import Step, TestResult


class Judged(NamedTuple):
    """A result, looked at again."""

    verdict: bool | None
    """What holds: failed where either says so; None: nobody says anything."""
    computed: bool | None
    """By the limits and the steps' own verdicts; None: there are none."""
    differs: str
    """In words, where the rig and the limits say different things; else empty."""


def judge(result: TestResult) -> Judged:
    """Limits are inclusive; a value that is no number fails them."""
    by_steps = [_computed(step) for step in result.steps]
    known = [one for one in by_steps if one is not None]
    computed = all(known) if known else None
    said = [one for one in (result.passed, computed) if one is not None]
    verdict = all(said) if said else None
    wrong = [step.name for step in result.steps if _differs(step)]
    differs = ""
    if result.passed is not None and computed is not None and result.passed != computed:
        differs = f"the rig says {_word(result.passed)}, its limits say {_word(computed)}"
        failed = [step.name for step, one in zip(result.steps, by_steps, strict=True) if one is False]
        differs += f" ({', '.join(failed)[:_SHOWN]})" if failed else ""
    elif wrong:
        differs = f"the rig's verdict is not that of the limits at {', '.join(wrong)[:_SHOWN]}"
    return Judged(verdict, computed, differs)


_SHOWN = 100
"""Characters of the names of steps in a sentence."""


def _computed(step: Step) -> bool | None:
    """Failed where its own verdict or a limit says so."""
    said = [one for one in (step.passed, _within(step)) if one is not None]
    return all(said) if said else None


def _within(step: Step) -> bool | None:
    """None: it has no limit, or nothing was measured."""
    value, low, high = step.value, _limit(step.low), _limit(step.high)
    if value is None or (low is None and high is None):
        return None
    return isfinite(value) and (low is None or low <= value) and (high is None or value <= high)


def _limit(value: float | None) -> float | None:
    """A limit that is no number, or infinite, is none."""
    return value if value is not None and isfinite(value) else None


def _differs(step: Step) -> bool:
    within = _within(step)
    return within is not None and step.passed is not None and step.passed != within


def _word(passed: bool) -> str:
    return "passed" if passed else "failed"
