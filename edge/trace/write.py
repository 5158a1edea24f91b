"""A dossier as files."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from edge.errors import DossierRefused
from edge.journal.history import History
from edge.production.state import Run
from edge.trace.dossier import EventLine, Header, RunLine, begin_chain, chain, event_bytes, rendered
from edge.trace.page import page_of
from edge.trace.summary import events_of, made_of

Form = Literal["json", "html"]


def pieces(history: History, run: Run, form: Form) -> Iterator[bytes]:
    """The dossier's bytes, a piece at a time, all of one moment of the journal."""
    with history.snapshot():
        header = made_of(history, RunLine(history.line, run, history.head()))
        if form == "json":
            yield from rendered(header, map(event_bytes, events_of(history)))
        else:
            for piece in _page(history, header):
                yield piece.encode()


def _page(history: History, header: Header) -> Iterator[str]:
    follow = _Follow(header)
    return page_of(header, events_of(history, "test"), follow.through(events_of(history)), follow.final)


class _Follow:
    """Makes the chain of events that pass through."""

    def __init__(self, header: Header) -> None:
        self._link = begin_chain(header)

    def through(self, events: Iterable[EventLine]) -> Iterator[EventLine]:
        for event in events:
            self._link = chain(self._link, event_bytes(event))
            yield event

    def final(self) -> str:
        return self._link


def places(out: Path, line: str, run: str, forms: tuple[Form, ...]) -> list[tuple[Path, Form]]:
    """Where each form goes: `LINE-RUN.json` and `.html` in a folder, or the file that is named."""
    if not out.suffix and not out.exists():
        out.mkdir(parents=True)
    if out.is_dir():
        return [(out / f"{line}-{run}.{form}", form) for form in forms or ("json", "html")]
    named: Form = "html" if out.suffix.lower() in (".html", ".htm") else "json"
    if len(forms) > 1 or (forms and out.suffix and forms != (named,)):
        raise DossierRefused(
            str(out), "is one file of another form; name a folder, or NAME.json or NAME.html"
        )
    return [(out, forms[0] if forms else named)]


def write(path: Path, body: Iterable[bytes]) -> None:
    """The whole file or none; only its owner can read it. Raises DossierRefused."""
    part = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(body)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DossierRefused(str(path), f"cannot be written: {error.strerror}") from error
