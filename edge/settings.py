"""How a table of the TOML file is written: durations, sizes, secrets. Adapters have it from `contract`."""

import os
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema, model_validator

_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "y": 31_557_600.0}
LONGEST_S = 10_000 * _UNITS_S["y"]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|y)", re.ASCII)


def parse_duration(value: object) -> timedelta:
    """`"250ms"`, `"12s"`, `"2min"`, `"8h"`, `"30d"`, `"2y"`. Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if match is None:
        raise ValueError('write a duration with its unit, such as "250ms", "12s" or "8h"')
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds > LONGEST_S:
        raise ValueError("must not be longer than 10,000 years")
    return timedelta(seconds=seconds)


def _positive(value: object) -> timedelta:
    duration = parse_duration(value)
    if duration < timedelta(milliseconds=1):
        raise ValueError("must not be shorter than a millisecond")
    return duration


Duration = Annotated[timedelta, BeforeValidator(_positive)]


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_size(value: object) -> int:
    """Bytes of `"512KB"`, `"16MB"` (powers of 1000) or `"64KiB"`, `"16MiB"` (of 1024). Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
        size = int(float(match[1]) * _BYTES[match[2]]) if match else 0
    if size < 1:
        raise ValueError('write a size with its unit, such as "512KB", "16MB" or "1GB"')
    return size


Size = Annotated[
    int, BeforeValidator(parse_size), WithJsonSchema({"type": "string", "pattern": f"^{_SIZE.pattern}$"})
]


class Settings(BaseModel):
    """A table of the TOML file: unknown keys are faults, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Clashes(ValueError):
    """What is wrong with several keys together, a sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def refuse(*faults: str) -> None:
    """For a validator of several keys: all that is wrong with them at once. Raises Clashes.

    Each is a sentence, or empty where there is nothing wrong.
    """
    if told := [one for one in faults if one]:
        raise Clashes(told)


class Secret(Settings):
    """A reference to a secret: `{ credential = "name" }`, `{ env = "NAME" }` or `{ file = "/path" }`.

    A literal secret in the TOML is refused, for the file is read by all.
    """

    credential: str | None = None
    """A systemd credential (LoadCredential= in the unit)."""
    env: str | None = None
    file: str | None = None
    """A file that only its owner can read."""

    @model_validator(mode="before")
    @classmethod
    def _reference_only(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict | Secret):
            raise ValueError('a secret does not belong here; refer to it, as in { credential = "name" }')
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Secret":
        if sum(ref is not None for ref in (self.credential, self.env, self.file)) != 1:
            raise ValueError("give exactly one of credential, env and file")
        return self

    def reveal(self) -> str:
        """The secret's text. Raises OSError or LookupError, in a sentence, when it cannot be had."""
        if self.env is not None:
            if self.env not in os.environ:
                raise LookupError(f"the environment has no {self.env}")
            return os.environ[self.env]
        if self.file is not None:
            path = Path(self.file)
            if path.exists() and path.stat().st_mode & 0o077:
                raise PermissionError(f"{path} can be read by others; chmod 600 {path}")
            return _text(path)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            words = f"credential {self.credential!r} is given by systemd only"
            raise LookupError(f"{words}; to run by hand use {{ env = ... }} or {{ file = ... }}")
        path = Path(folder) / str(self.credential)
        if not path.exists():
            raise LookupError(f"the unit has no credential {self.credential!r}; add LoadCredential= for it")
        return _text(path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise OSError(f"{path} holds no text") from error
    except OSError as error:
        raise type(error)(f"{path}: {error.strerror}") from error
