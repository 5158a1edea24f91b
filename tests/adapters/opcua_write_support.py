"""What the tests of writing to nodes share."""

from edge.contract import (
    Done,
    WriteValue,
)
from tests.support.agent import Agent
from tests.support.intake import MemoryIntake


async def done(intake: MemoryIntake, target: str, value: WriteValue, *, only_look: bool = False) -> Done:
    number = intake.write(target, value, only_look=only_look)
    await intake.until_sampled(lambda: number in intake.done)
    return intake.done[number]


def told(agent: Agent, target: str) -> list[str]:
    """In their order; a file may get an event again after a kill."""
    found = {one["id"]: one["data"] for one in agent.events("write") if one["data"]["target"] == target}
    return [f"{one['state']} {one['value']}".strip() for one in found.values()]
