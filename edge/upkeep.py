"""Chores: what a person has done to the journal, by its agent where one runs, else under its lock."""

import asyncio

from edge.config import LineConfig
from edge.errors import JournalError, NotRecorded
from edge.forgetting import ForgetSink
from edge.house import House
from edge.journal import Journal
from edge.quarantine import DropObservations, DropRejected, RetryObservation, RetryRejected
from edge.recorder import Recorder

Chore = RetryRejected | DropRejected | RetryObservation | DropObservations | ForgetSink
"""What can be asked for. Each is a frozen Struct with a tag; `carry_out(house)` gives a sentence for
who asked, or raises NotRecorded or JournalError."""


async def under_lock(config: LineConfig, chore: Chore) -> str:
    """Carry it out without an agent. Raises JournalError where one runs after all, NotRecorded."""
    if not config.journal.exists():
        words = "there is none; has the agent run here yet? --data names another folder"
        raise JournalError(str(config.journal), words)
    journal = Journal(config.journal)
    recorder = Recorder(config.line, journal, lambda signals: [])
    words = ""
    failures: list[Exception] = []
    try:
        async with asyncio.TaskGroup() as group:
            recording = group.create_task(recorder.run(), name="recorder")
            try:
                words = await chore.carry_out(House(recorder, config.sinks))
            finally:
                recording.cancel()
    except* (NotRecorded, JournalError) as errors:
        failures += errors.exceptions
    finally:
        journal.close()
    if failures:
        raise failures[0]
    return words
