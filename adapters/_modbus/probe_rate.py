"""Rate and parity of a serial bus that nobody knows yet: the usual ones are tried, by reads alone.

Who is set otherwise hears noise, and is silent. With parity none a second stop bit makes no difference to who
listens: 8N2 is found as 8N1.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters._modbus.lines import Parity, SerialLine
from adapters._modbus.probe_ask import Asker, Silent, Tell
from adapters._modbus.probe_units import SERIAL_UNITS, is_noise
from adapters._modbus.wire import Link
from edge.contract import SourceLost
from edge.errors import SourceError
from edge.plural import counted

Rate = tuple[int, Parity]
Links = Callable[[SerialLine], Link]
Askers = Callable[[Link], Asker]

RATES: Sequence[Rate] = (
    (9600, "none"), (19_200, "even"), (9600, "even"), (19_200, "none"), (38_400, "none"), (38_400, "even"),
    (115_200, "none"), (115_200, "even"), (57_600, "none"), (57_600, "even"), (4800, "none"), (2400, "none"),
    (4800, "even"), (2400, "even"), (9600, "odd"), (19_200, "odd"),
)  # fmt: skip
"""The likeliest first: 19200 even is the standard's own, 9600 none what most makers deliver."""
_FIRST = 3
"""Units that are asked at every rate before more are: a device is delivered as unit 1, as a rule."""
_PROOFS = (1, 2, 7)
"""Addresses that are read once somebody answered: other bits, which a parity that is wrong would break."""
_SETTLES_S = 0.1
"""Silence after the port was set anew: what a device heard of the last rate is over then."""


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port, and what is known of how it is set."""

    line: SerialLine
    has_baud: bool
    has_parity: bool

    @classmethod
    def of(cls, line: SerialLine, keys: Mapping[str, Any]) -> "Port":
        """`keys` are those that somebody gave."""
        return cls(line, "baud" in keys, "parity" in keys)

    @property
    def is_known(self) -> bool:
        return self.has_baud and self.has_parity

    def rates(self) -> list[Rate]:
        """What is to be tried; what is known stays as it is."""
        rates = RATES if not self.has_baud else [(self.line.baud, one) for one in _PARITIES]
        own = [(baud, self.line.parity if self.has_parity else parity) for baud, parity in rates]
        return list(dict.fromkeys(own))


_PARITIES: Sequence[Parity] = ("none", "even", "odd")


class Search:
    """One search for the rate of a port."""

    def __init__(
        self,
        port: Port,
        given: Sequence[int],
        links: Links,
        askers: Askers,
        tell: Tell,
        settles_s: float = _SETTLES_S,
    ) -> None:
        self._port = port
        self._units = tuple(given or SERIAL_UNITS)
        self._links, self._askers, self._tell = links, askers, tell
        self._settles_s = settles_s
        self._tried: dict[str, None] = {}
        self._heard: dict[str, None] = {}
        """Rates at which there was something that nobody could understand."""

    async def found(self, name: str) -> SerialLine:
        """The line as somebody answers on it. Raises SourceLost: also where the port cannot be opened."""
        rates = self._port.rates()
        doubtful: SerialLine | None = None
        for units in filter(None, (self._units[:_FIRST], self._units[_FIRST:])):
            for line in self._lines(rates):
                sure = await self._at(line, units)
                if sure:
                    return line
                if sure is False and doubtful is None:
                    doubtful = line
                if self._is_over:
                    raise SourceLost(name, self._nobody())
            if doubtful is not None:
                self._tell(f"no setting is without fault; {_named(doubtful)} is the best of them")
                return doubtful
        raise SourceLost(name, self._nobody())

    def _lines(self, rates: Iterable[Rate]) -> Iterable[SerialLine]:
        return (replace(self._port.line, baud=baud, parity=parity) for baud, parity in rates)

    _is_over = False

    async def _at(self, line: SerialLine, units: Sequence[int]) -> bool | None:
        """Whether all that was asked there was answered once a unit was found; None: there is none."""
        link = self._links(line)
        await link.open()
        if not self._tried:
            self._tell(_BEGINS.format(counted(len(self._port.rates()), "setting")))
        asker = self._askers(link)
        named = _named(line)
        self._tell(f"  {named}: {_units_named(units)}")
        self._tried[_short(line)] = None
        try:
            await asyncio.sleep(self._settles_s)
            return await self._asked(asker, line, units)
        except SourceError as error:
            self._heard[_short(line)] = None
            self._tell(f"  {named}: {error.reason}")
            return None
        finally:
            self._is_over = asker.is_over
            link.close()

    async def _asked(self, asker: Asker, line: SerialLine, units: Sequence[int]) -> bool | None:
        for unit in units:
            if asker.is_over:
                return None
            if asker.is_time_to_tell():
                self._tell(f"  {_named(line)}: unit {unit}")
            answer = await asker.once(unit, "holding", 0, 1)
            if not isinstance(answer, Silent):
                return await self._proven(asker, _named(line), unit)
            if is_noise(answer):
                self._heard[_short(line)] = None
        return None

    async def _proven(self, asker: Asker, named: str, unit: int) -> bool:
        answers = [await asker.once(unit, "holding", at, 1) for at in _PROOFS]
        missing = sum(isinstance(one, Silent) for one in answers)
        if missing:
            self._tell(f"  {named}: unit {unit} answers, but not to {missing} of {len(answers)} more reads")
        else:
            self._tell(f"unit {unit} answers at {named}")
        return not missing

    def _nobody(self) -> str:
        heard = f"; at {', '.join(self._heard)} something was heard that is no answer" if self._heard else ""
        return (
            f"{self._port.line.path} is open, and nobody answered at {', '.join(self._tried)}{heard}: "
            "are wires A and B the right way round, and is the device on? "
            "--units names others, ?baud=... another rate, --timeout waits longer"
        )


_BEGINS = "rate and parity are looked for: {} in turn, by reads alone, until a unit answers or Ctrl-C"


def _named(line: SerialLine) -> str:
    """`9600 baud, parity none`"""
    return f"{line.baud} baud, parity {line.parity}"


def _short(line: SerialLine) -> str:
    return f"{line.baud} {line.parity}"


def _units_named(units: Sequence[int]) -> str:
    if len(units) == 1:
        return f"unit {units[0]}"
    is_row = list(units) == list(range(units[0], units[-1] + 1))
    return f"units {units[0]} to {units[-1]}" if is_row else f"units {', '.join(map(str, units))}"
