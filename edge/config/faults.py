"""From pydantic's errors to faults that a person can act on."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from edge.errors import Fault
from edge.settings import Clashes

ModelT = TypeVar("ModelT", bound=BaseModel)

_PASSWORD = re.compile(r"//[^/\s]*@")
"""A user, and perhaps a password, in an address."""

_WORDS = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list in [ ]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must not be empty",
}


def nearest(word: str, valid: Iterable[str]) -> str:
    """A hint with the valid name that is most like `word`, or with all of them."""
    names = sorted(set(valid))
    close = get_close_matches(word, names, 1, 0.65)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"valid: {', '.join(names)}" if names else ""


class Faults:
    """Collects everything that is wrong with one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Fault] = []

    def add(self, key: str, what: str, hint: str = "") -> None:
        self.found.append(Fault(self.file, key, what, hint))

    def check(
        self, model: type[ModelT], table: Mapping[str, Any], where: str, also: Iterable[str] = ()
    ) -> ModelT | None:
        """Validate a table; its faults are added and None returned. `also` names keys of others."""
        try:
            return model.model_validate(table)
        except ValidationError as error:
            for one in _real(error.errors(), table):
                self._add_one(model, table, where, one, also)
            return None

    def _add_one(
        self, model: type[BaseModel], table: Mapping[str, Any], where: str, error: Any, also: Iterable[str]
    ) -> None:
        path = _written(table, error["loc"])
        key = _key(where, table, path)
        if error["type"] == "extra_forbidden":
            valid = [*_keys_at(model, path[:-1]), *(also if len(path) == 1 else ())]
            self.add(key, "is not a key here", nearest(str(path[-1]), valid))
            return
        for what in _clashes(error):
            self.add(key, what)
        if not _clashes(error):
            self.add(key, _what(error) + _found(error))


_OTHER_KIND = frozenset(kind for kind in _WORDS if kind.endswith("_type"))
"""The value is of another kind than this alternative wants."""


def _real(errors: Iterable[Any], table: Mapping[str, Any]) -> list[Any]:
    """Without what alternatives say that the value was never meant for."""
    found = [(tuple(_written(table, one["loc"])), one) for one in errors]
    meant = [path for path, one in found if not _is_foreign(one)]
    return [
        one for path, one in found
        if not (_is_foreign(one) and any(other[: len(path)] == path for other in meant))
    ]  # fmt: skip


def _is_foreign(error: Any) -> bool:
    if error["type"] == "literal_error":
        return isinstance(error["input"], dict | list)
    return error["type"] in _OTHER_KIND


def _written(table: Mapping[str, Any], loc: Iterable[Any]) -> list[Any]:
    """The path of a fault without pydantic's names of alternatives and validators."""
    path: list[Any] = []
    here: Any = table
    for part in loc:
        there = isinstance(here, dict) and part in here
        if isinstance(part, str) and not there and (not isinstance(here, dict) or _is_internal(part)):
            continue
        path.append(part)
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = {}
    return path


def _is_internal(part: str) -> bool:
    """`literal['a']`, `function-after[...]`, a model's name: none of them is a key of a user's."""
    return (
        "[" in part
        or part.startswith(("function-", "constrained-"))
        or part[:1].isupper()
        or part in ("str", "int", "float", "bool", "list", "dict")
    )


def _clashes(error: Any) -> Sequence[str]:
    """Of keys that cannot be together: a sentence each."""
    cause = error["ctx"]["error"] if error["type"] == "value_error" else None
    return cause.faults if isinstance(cause, Clashes) else ()


def _what(error: Any) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        if pattern in ("^/", "^(/.*)?$"):
            return "must be an absolute path: one that begins with /"
        return f"has a character that is not allowed (pattern {pattern})"
    known = _WORDS.get(error["type"])
    return known or str(error["msg"])[:1].lower() + str(error["msg"])[1:]


def _found(error: Any) -> str:
    """The value as it stands there; a table is not repeated, and a secret never."""
    value = error["input"]
    if error["type"] == "missing" or isinstance(value, dict) or "secret" in _what(error):
        return ""
    text = f"{value.total_seconds():g}s" if isinstance(value, timedelta) else repr(value)
    if _PASSWORD.search(text):
        return ""
    return f", found {text}" if len(text) <= 60 else f", found {text[:57]}..."


def _key(where: str, table: Mapping[str, Any], path: list[Any]) -> str:
    """`station[press].total.node`: list places are named after what is in them."""
    text, place = where, table
    for part in path:
        if isinstance(part, str) and not isinstance(place, dict):
            continue  # pydantic's name of one alternative among several
        try:
            here: Any = place[part]
        except (KeyError, IndexError, TypeError):
            here = {}
        if isinstance(part, int):
            name = (here.get("name") or here.get("id")) if isinstance(here, dict) else None
            text += f"[{name or part + 1}]"
        else:
            text += f".{part}" if text else str(part)
        place = here
    return text


def _keys_at(model: type[BaseModel], path: list[Any]) -> list[str]:
    """The valid keys of the table at `path` inside a model."""
    current: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        if not _is_model(current):  # tables by name: this is one of the names
            current = _model_in(current)
            continue
        field = current.model_fields.get(part)
        found = field.annotation if field is not None else None
        current = found if get_origin(found) is dict else _model_in(found)
    return _names(current) if _is_model(current) else []


def _is_model(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel)


def _model_in(annotation: Any) -> Any:
    """The model that an annotation such as `list[Model] | None` is about."""
    if _is_model(annotation):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
