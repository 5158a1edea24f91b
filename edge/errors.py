"""Every error of Lineside.

LinesideError
├── ConfigError          the configuration has faults; carries all of them
├── BoardRefused         the board cannot be served where it was asked to
├── DemoFailed           the demo could not be played to its end
├── DrillFailed          the drill could not be played to its end
├── ReplayRefused        a recording cannot be replayed: it is none, damaged, or of another line
├── TraceRefused         there is no such lot, serial number or run to tell of, or it is not clear which
├── DossierRefused       a file is no dossier, or cannot be read or written
├── BackupRefused        no backup can be made there, or a file cannot be restored
├── CardsRefused         cards cannot be printed so; carries all that is wrong
├── ProbeRefused         a port cannot be listened to
├── NotRecorded          the observations did not reach the disk; keep them or read again
│   └── JournalFull      there is no room for them: a state that is known and alarmed, until there is
├── JournalError         the journal cannot be used: locked, from a newer version, its disk fails
│   └── JournalDamaged   what is in its file is no journal, or not all of it any more
├── SourceError          something about one source; its supervisor retries
│   ├── SourceLost       the connection is gone or was never there
│   └── SourceRefused    the device answers, but says no (credentials, limits, protocol)
└── SinkError            something about one sink; delivery retries, nothing is lost
    ├── SinkLost         the far end cannot be reached, or did not answer in time
    └── SinkRefused      the far end answers, but says no (credentials, ACL, no such bucket)
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a configuration file."""

    file: str
    key: str
    """Where, as the user wrote it: `station[press].ideal_cycle`; empty for the whole file."""
    what: str
    """What was found and what was expected."""
    hint: str = ""
    """What to do: the nearest valid name, an example."""

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


class LinesideError(Exception):
    """The root; its text is a sentence for the user."""


class ConfigError(LinesideError):
    """The configuration has faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


class BoardRefused(LinesideError):
    """The board cannot be served where it was asked to."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"the board cannot be served on {host}:{port}: {reason}")


class DemoFailed(LinesideError):
    """The demo could not be played to its end; nothing can be said of the counting."""


class DrillFailed(LinesideError):
    """The drill could not be played to its end; it says nothing about the line."""


class ReplayRefused(LinesideError):
    """A recording cannot be replayed."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"recording {path}: {reason}")


class TraceRefused(LinesideError):
    """There is nothing to tell of under this name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")


class DossierRefused(LinesideError):
    """A file cannot be used as a dossier."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"dossier {path}: {reason}")


class BackupRefused(LinesideError):
    """No backup can be made there, or a file cannot be restored."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path} {reason}")


class CardsRefused(LinesideError):
    """Cards cannot be printed so; nothing was written."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))


class ProbeRefused(LinesideError):
    """A port cannot be listened to."""

    def __init__(self, port: str, reason: str) -> None:
        super().__init__(f"{port}: {reason}")


class NotRecorded(LinesideError):
    """The observations are not on disk, and nobody has seen an effect of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not recorded: {reason}")


class JournalFull(NotRecorded):
    """The journal's room, or the disk's, is used up."""


class JournalError(LinesideError):
    """The journal cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"journal {path}: {reason}")


class JournalDamaged(JournalError):
    """Pages of the file are not what was written there."""


class SourceError(LinesideError):
    """Something about one source."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"{source}: {reason}")


class SourceLost(SourceError):
    """The connection is gone or was never there."""

    def __init__(self, source: str, reason: str, *, again_s: float = 0.0) -> None:
        """`again_s`: the longest pause before the next try, in seconds, where a try harms nobody."""
        self.again_s = again_s
        self.unseen_s = 0.0
        """So long before now something may have been missed, in seconds; the outage is dated by it."""
        super().__init__(source, reason)


class SourceRefused(SourceError):
    """The device answers, but says no."""


class SinkError(LinesideError):
    """Something about one sink."""

    def __init__(self, sink: str, reason: str) -> None:
        self.sink = sink
        self.reason = reason
        super().__init__(f"{sink}: {reason}")


class SinkLost(SinkError):
    """The far end cannot be reached."""

    def __init__(self, sink: str, reason: str, after_s: float = 0.0, *, alive: bool = False) -> None:
        """`after_s`: how long the far end wants to be left alone, in seconds, where it says so.

        `alive`: it has answered, and only wants less: it has forgotten nothing.
        """
        self.after_s = after_s
        self.alive = alive
        super().__init__(sink, reason)


class SinkRefused(SinkError):
    """The far end says no to everything we send."""
