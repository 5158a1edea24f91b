"""Where a probe is to look: a URL to the keys of a `[source.NAME]`."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import ValidationError

from adapters._modbus.settings import Settings

_FORMS = "tcp://HOST:PORT, rtu+tcp://HOST:PORT or rtu:///dev/serial/by-id/...?baud=19200&parity=even"
_OPTIONS = ("baud", "parity", "stop_bits")


def keys_of(url: str) -> Mapping[str, Any]:
    """The keys of the source. Raises ValueError, in words, where the URL is none."""
    place, _, query = url.strip().partition("?")
    options = _options(query)
    scheme = urlsplit(place).scheme
    if place.startswith("/"):
        return _checked({"port": place, **options})
    if scheme == "rtu":
        path = place.removeprefix("rtu:").removeprefix("//")
        return _checked({"port": unquote(path), **options})
    if scheme in ("tcp", "rtu+tcp"):
        return _checked({"host": place.rstrip("/"), **options})
    raise ValueError(f"{url}: write {_FORMS}")


def _options(query: str) -> dict[str, Any]:
    pairs = parse_qsl(query, keep_blank_values=True)
    if strange := [key for key, _ in pairs if key not in _OPTIONS]:
        raise ValueError(f"{strange[0]}: what may stand behind the ? is {', '.join(_OPTIONS)}")
    return {key: int(value) if value.isdecimal() and value.isascii() else value for key, value in pairs}


def _checked(keys: dict[str, Any]) -> Mapping[str, Any]:
    try:
        Settings.model_validate({"type": "modbus", **keys})
    except ValidationError as error:
        words = [_said(one["loc"], one["msg"]) for one in error.errors()]
        raise ValueError(f"{'; '.join(words)} (write {_FORMS})") from None
    return {"type": "modbus", **keys}


def _said(place: tuple[int | str, ...], words: str) -> str:
    name = f"{place[0]}: " if place and place[0] in _OPTIONS else ""
    return name + words.removeprefix("Value error, ")
