"""`[source.NAME.unit.3]`: one unit that is to be asked otherwise than the others of its line."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from adapters._modbus.device import Device
from edge.contract import Duration


def _number(name: str) -> str:
    if not (name.isascii() and name.isdecimal() and len(name) <= 3 and str(int(name)) == name):
        raise ValueError("is no unit: write its number, as in [source.NAME.unit.3]")
    if int(name) > 255:
        raise ValueError("is no unit: there are 0 to 255")
    return name


UnitNumber = Annotated[str, AfterValidator(_number)]
"""A unit as a key of TOML."""


class UnitTable(Device):
    """`[source.NAME.unit.3]`: what is not given here is as the source has it."""

    timeout: Duration | None = None
    """How long this unit may take to answer."""
    worst_answer: Duration | None = None
    """After an answer of this unit that did not come, how long the line must be silent."""
    delay: Duration | None = None
    """The silence that this unit needs before a request."""
    answers_in: Duration | None = None
    """How long this unit usually takes to begin its answer."""
    max_registers: int | None = Field(default=None, ge=1, le=125)
    """Registers in one request to this unit at the most."""
    max_gap: int | None = Field(default=None, ge=0, le=121)
    """Unwanted registers that are read along from this unit to save a request."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How one unit is asked, in seconds."""

    timeout_s: float
    """How long it may take to begin its answer."""
    worst_answer_s: float
    """How late an answer may be at the worst: so long the line is drained after one that did not come."""
    delay_s: float
    """The least silence before a request to it; 0 where the line's own is enough."""
    answers_in_s: float | None
    """How long it takes to begin its answer as a rule, where that is known."""
