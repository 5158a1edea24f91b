"""A line's file that a proposal is to be added to: which names it has, and whether both go together."""

import tempfile
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.config import load


@dataclass(frozen=True, slots=True)
class Into:
    """A line's file, which passes `lineside check` as it is."""

    file: Path
    text: str
    sources: Collection[str]
    stations: Collection[str]
    telemetry: Collection[str]

    @classmethod
    def of(cls, file: Path) -> "Into":
        """Read it. Raises OSError, UnicodeDecodeError or TOMLDecodeError."""
        text = file.read_text(encoding="utf-8")
        document: dict[str, Any] = tomllib.loads(text)
        stations = [str(one["name"]) for one in document.get("station", [])]
        return cls(
            file, text, list(document.get("source", {})), stations, list(document.get("telemetry", {}))
        )


def free(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where somebody has it."""
    if name not in taken:
        return name
    return next(one for at in range(2, len(taken) + 3) if (one := f"{name}-{at}") not in taken)


def warnings(text: str, into: Into | None) -> Sequence[str]:
    """What `lineside check` says of it, behind the file where there is one. Raises ConfigError.

    It is checked in a folder of its own in which what stands beside the file stands too.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if into is not None:
            for one in into.file.absolute().parent.iterdir():
                (folder / one.name).symlink_to(one)
        file = folder / "line.toml"
        file.unlink(missing_ok=True)
        head = into.text if into is not None else '[line]\nname = "probe"\n'
        file.write_text(f"{head}\n{text}", encoding="utf-8")
        found = load(file, folder).warnings
    known = load(into.file).warnings if into is not None else ()
    return [one for one in found if one not in known]
