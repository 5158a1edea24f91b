"""Writes what tomllib has read, so that it reads the same."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any


def to_toml(document: Mapping[str, Any]) -> str:
    """The document as text: a header for each table of the first two levels, all below on one line."""
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, Mapping) and value and all(isinstance(one, Mapping) for one in value.values()):
            for name, table in value.items():
                lines += ["", f"[{_key(key)}.{_key(name)}]", *_pairs(table)]
        elif isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *_pairs(value)]
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for table in value:
                lines += ["", f"[[{_key(key)}]]", *_pairs(table)]
        else:
            lines.insert(0, f"{_key(key)} = {_value(value)}")
    return "\n".join([*lines, ""])


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(_pairs(value))} }}"
    return repr(value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else _text(name)


def _text(text: str) -> str:
    """A basic string; what TOML does not allow in one is escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped) + '"'
