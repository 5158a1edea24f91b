"""A proposal as the TOML that it is copied into."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")

_SHORT = {"\r": "\\r", "\n": "\\n", "\t": "\\t"}


def source_table(name: str, keys: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """Comments, `[source.NAME]` with its keys, and a table for each of a list of tables."""
    lines = [*map(_comment, comments), f"[source.{_key(name)}]"]
    tables: list[str] = []
    for key, value in keys.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for one in value:
                tables += ["", f"[[source.{_key(name)}.{_key(key)}]]", *_pairs(one)]
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    return "\n".join([*lines, *tables, ""])


def table(path: Sequence[str], keys: Mapping[str, Any], *, is_one_of_many: bool = False) -> str:
    """`[path]` with its keys, nested tables inline."""
    name = f"[{'.'.join(map(_key, path))}]"
    return "\n".join([f"[{name}]" if is_one_of_many else name, *_pairs(keys), ""])


def pair(key: str, value: Any) -> str:
    """`key = value`"""
    return f"{_key(key)} = {_value(value)}"


def commented(texts: Sequence[str]) -> str:
    """A comment each."""
    return "".join(f"{_comment(text)}\n" for text in texts)


def station_table(name: str, role: str, source: str) -> str:
    """A station that hears it."""
    return "\n".join(
        ["[[station]]", f"name = {_text(name)}", 'ideal_cycle = "30s"', f"{role} = {_text(source)}", ""]
    )


def _comment(text: str) -> str:
    """One line, whatever a device says in it."""
    return "# " + "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{_key(key)} = {_value(value)}" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(_pairs(value)) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _key(key: str) -> str:
    return key if key and set(key) <= _BARE else _text(key)


def _text(text: str) -> str:
    """A basic string; what a terminal would obey is escaped."""
    return "".join(['"', *map(_character, text), '"'])


def _character(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    if one in _SHORT:
        return _SHORT[one]
    if one.isprintable():
        return one
    return f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"
