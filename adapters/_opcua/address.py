"""Where a value is on a server: the keys of one signal."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from adapters._opcua.models import MODELS, Part
from adapters._opcua.nodes import parse_node
from adapters._opcua.paths import parse_member, parse_path
from edge.contract import Settings, SignalAddress, refuse

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%")
QUEUE = 64
"""Values a server keeps of one item between two publishes; 0 or 1 would hide every loss."""


def _node(text: str) -> str:
    parse_node(text)
    return text.strip()


def _path(text: str) -> str:
    parse_path(text)
    return text.strip()


def _member(text: str) -> str:
    parse_member(text)
    return text


NodeText = Annotated[str, AfterValidator(_node)]
PathText = Annotated[str, Field(max_length=8_192), AfterValidator(_path)]


class Deadband(Settings):
    """A number in the unit of the value, or a percentage of the range that the server declares for it."""

    width: float = 0.0
    is_percent: bool = False


def _deadband(value: object) -> object:
    if isinstance(value, Deadband):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return Deadband(width=float(value))
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if found is not None and float(found[1]) > 100:
        raise ValueError("100% is the whole range of the node: no more than that")
    if found is None or not float(found[1]):
        raise ValueError('write it as a number in the unit of the value, or as a percentage, "2%"')
    return Deadband(width=float(found[1]), is_percent=True)


class Address(SignalAddress):
    """Where a value is on the server: `node`, `path`, or a part of a `model`."""

    node: NodeText | None = None
    """`"nsu=urn:acme:press;s=Count.Total"`, or with an index, `"ns=2;s=Count.Total"`."""
    path: PathText | None = None
    """From the Objects folder: `"nsu=urn:acme:press;Press/Count/Total"`. A namespace holds until another is
    named."""
    model: Literal["packml", "machinery"] | None = None
    """What the machine follows (OPC 30050 or OPC 40001-1): found by its type, whatever it is called."""
    machine: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """With `model`: which one, where the server has several; its name, or the end of its path,
    `"Hall 2/Filler"`."""
    part: Part | None = None
    """With `model`: `"total"`, `"reject"`, `"state"` or `"mode"`."""
    index: Annotated[int, Field(ge=0, le=0x7FFF_FFFF)] | None = None
    """Of an array: which element, counted from 0; of a matrix row after row."""
    member: Annotated[str, Field(max_length=4_096), AfterValidator(_member)] | None = None
    """Of a structure: `"AccCount"`, `"Counts[0].AccCount"`."""
    enumeration: Literal["number", "name"] = "number"
    """What is taken of an enumeration."""
    server_deadband: Annotated[Deadband, BeforeValidator(_deadband)] | None = None
    """Of telemetry: the server sends nothing until it has moved by more than this, `0.5`, or `"2%"` of its
    range (EURange)."""
    trigger: Literal["status", "value", "timestamp"] = "value"
    """What makes the server send: another status; or another value too; or another time too."""
    queue: Annotated[int, Field(ge=2, le=10_000)] = QUEUE
    """How many values the server keeps of it between two publishes."""

    @model_validator(mode="after")
    def _whole(self) -> "Address":
        ways = [key for key in ("node", "path", "model") if getattr(self, key) is not None]
        bare = self.model is None and (self.machine is not None or self.part is not None)
        extra = self.model is not None and (self.index is not None or self.member is not None)
        silent = self.server_deadband is not None and self.trigger == "status"
        refuse(
            "" if len(ways) == 1 else _which(ways),
            "machine and part go with model" if bare else "",
            "model needs part: which value of the machine this is" if self.model and not self.part else "",
            _without(self),
            "model knows its index and member: leave both out" if extra else "",
            'server_deadband does nothing with trigger = "status"' if silent else "",
        )
        return self

    def misfit(self, use: str) -> str:
        if use != "telemetry" and self.server_deadband is not None:
            return f"server_deadband is for telemetry: a {use} is read as it is"
        if use != "telemetry" and self.trigger == "status":
            return f'trigger = "status" hides every change of a {use}: leave it out'
        if use == "counter" and self.enumeration == "name":
            return 'enumeration = "name" gives a text, and a counter is a number'
        return ""

    def identity(self) -> str:
        """Without what says how it is sent: a counter stays the same with another queue."""
        return self.model_dump_json(
            exclude_defaults=True, exclude={"server_deadband", "trigger", "queue", "enumeration"}
        )

    @classmethod
    def models(cls) -> tuple[str, ...]:
        return tuple(MODELS)

    @classmethod
    def modelled(cls, model: str) -> dict[str, dict[str, object]] | None:
        found = MODELS.get(model)
        return None if found is None else found.tables()


def _which(ways: list[str]) -> str:
    if not ways:
        return 'needs node or path, such as node = "nsu=urn:acme:press;s=Count.Total"'
    return f"has {' and '.join(ways)}: one of them says where it is"


def _without(address: Address) -> str:
    model = MODELS.get(address.model or "")
    if model is None or address.part is None or address.part in model.parts:
        return ""
    return f'{model.name} has no "{address.part}"; it has {", ".join(model.parts)}'
