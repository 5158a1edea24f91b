"""Runs the source `hid-scanner` for a test, in a process into which input_device.c was preloaded.

Of each line on its standard input one command: `start SETTINGS` (JSON), `stop`, `block SECONDS` (of the event
loop), `answer VERDICT`. On its standard output: `connected`, `label "..."`, `broken "..."`, `lost "..."`,
`refused "..."`, `stopped`, `answering "..."`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence

from adapters import hid_scanner
from edge.contract import Observation, Outcome, Quality, Verdict
from edge.errors import NotRecorded, SourceLost, SourceRefused
from tests.support.intake import MemoryIntake


def say(word: str, text: str | None = None) -> None:
    print(word if text is None else f"{word} {json.dumps(text)}", flush=True)


class SpokenIntake(MemoryIntake):
    """Says what it hears."""

    verdict = "accepted"

    def connected(self) -> None:
        say("connected")

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        for one in observations:
            good = one.quality is Quality.GOOD
            say("label" if good else "broken", str(one.value) if good else one.detail)
        if self.verdict == "unrecorded":
            raise NotRecorded("the test says so")
        return [Outcome(Verdict(self.verdict)) for _ in observations]


async def collect(settings: str, intake: SpokenIntake) -> None:
    try:
        await hid_scanner.collect(hid_scanner.Settings.model_validate_json(settings), [], intake)
    except SourceLost as error:
        say("lost", error.reason)
    except SourceRefused as error:
        say("refused", error.reason)
    finally:
        say("stopped")


async def main() -> None:
    intake = SpokenIntake("gun-1")
    loop = asyncio.get_running_loop()
    source: asyncio.Task[None] | None = None
    async with asyncio.TaskGroup() as group:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, _, argument = line.strip().partition(" ")
            if command == "start":
                source = group.create_task(collect(argument, intake))
            elif command == "block":
                time.sleep(float(argument))
            elif command == "answer":
                intake.verdict = argument
                say("answering", argument)
            elif source is not None:
                source.cancel()
        if source is not None:
            source.cancel()


if __name__ == "__main__":
    asyncio.run(main())
