"""A scan on its way in: the same for guns of every kind."""

from collections.abc import Sequence

from msgspec.structs import replace

from adapters._frames import shown
from edge.contract import Intake, Observation, Outcome, Quality, Verdict
from edge.errors import NotRecorded

REFUSED = Outcome(Verdict.REFUSED)


def observed(stamped: Observation, label: str, raw: bytes, broken: str) -> Observation:
    """The label; or, with quality bad, why it is not believed and its escaped bytes."""
    if not broken:
        return replace(stamped, value=label)
    return replace(stamped, quality=Quality.BAD, detail=f"{broken}: {shown(raw)}" if raw else broken)


async def recorded(observation: Observation, intake: Intake) -> Outcome | None:
    """What became of it, once it is on disk; None where it could not be recorded."""
    [outcome] = await recorded_all([observation], intake)
    return outcome


async def recorded_all(observations: Sequence[Observation], intake: Intake) -> list[Outcome | None]:
    """The same of several, each by itself, with one commit.

    What is not believed is refused, whatever is made of it.
    """
    if not observations:
        return []
    try:
        outcomes = await intake.emit(observations)
    except NotRecorded:
        return [None] * len(observations)
    return [
        outcome if one.quality is Quality.GOOD else REFUSED
        for one, outcome in zip(observations, outcomes, strict=True)
    ]
