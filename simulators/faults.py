"""What goes wrong on a wire now and then: every Nth time, so that it goes wrong the same way again."""

import argparse
from dataclasses import dataclass

NOISE = b"\x00\xff~\x02\x7f\xc3"
"""Bytes as a relay that switches beside the cable makes them; a begin (STX) is among them."""
_HELP = {
    "noise": "bytes of noise before",
    "cut": "only the first half, then silence, before",
    "merge": "it runs into another one, without an end between them, before",
    "wrong_sum": "a wrong checksum, before",
    "double": "sent twice at once",
    "hang_up": "half of it, then the plug is pulled, before",
}


@dataclass(frozen=True, slots=True)
class Faults:
    """Each is a number N: it happens at every Nth message, before that is sent as it should be; 0: never."""

    noise: int = 0
    cut: int = 0
    merge: int = 0
    wrong_sum: int = 0
    double: int = 0
    hang_up: int = 0


def due(every: int, number: int) -> bool:
    """Whether message `number`, from 1, is one of every `every`."""
    return every > 0 and number % every == 0


def add_faults(parser: argparse.ArgumentParser, *names: str) -> None:
    """An option for each; `names` are fields of `Faults`."""
    for name in names:
        flag = "--" + name.replace("_", "-")
        parser.add_argument(
            flag, type=int, default=0, metavar="N", help=f"every Nth time {_HELP[name]}; 0: never"
        )


def faults(options: argparse.Namespace) -> Faults:
    """Those that the options name."""
    given = {name: value for name in _HELP if (value := getattr(options, name, None)) is not None}
    return Faults(**given)
