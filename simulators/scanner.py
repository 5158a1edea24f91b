"""A barcode gun on a serial port: `python -m simulators.scanner --link PATH`.

`scan LABEL` on standard input sends the label and a carriage return, and waits for one byte
from the host: ACK (0x06), the scan is recorded; NAK (0x15), it is refused. Without an answer
it is for the person at the gun to scan again.
"""

import argparse
from pathlib import Path
from typing import Literal

from simulators.process import Console, arguments, run
from simulators.ptyport import Answers
from simulators.records import Scan, TruthFile, Where, wall_ms

_VERB = "scan "


class Gun:
    """The gun and the hand that holds it."""

    def __init__(self, link: Path, patience_s: float) -> None:
        self.answers = Answers(link)
        self._patience_s = patience_s

    async def scan(self, label: str) -> Scan:
        sent_ms = wall_ms()
        byte = await self.answers.ask(label.encode() + b"\r", self._patience_s)
        return Scan(label, _meaning(byte), sent_ms, None if byte is None else wall_ms())


def _meaning(byte: bytes | None) -> Literal["confirmed", "refused", "none"]:
    if byte is None:
        return "none"
    return "confirmed" if byte == Answers.ACK else "refused"


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The gun, until the end of input."""
    gun = Gun(options.link, options.patience)
    with gun.answers.open():
        console.ready(Where(device=str(options.link)))
        async for command in console.commands():
            if not command.startswith(_VERB):
                console.refuse(command, "scan LABEL, exit")
                continue
            scan = await gun.scan(command.removeprefix(_VERB).strip())
            truth.write(scan)
            console.say(scan)


def main() -> None:
    parser = arguments("simulators.scanner", "A barcode gun on a pseudo-terminal.")
    parser.add_argument("--link", type=Path, required=True, help="where the host finds the port")
    parser.add_argument("--patience", type=float, default=2.0, metavar="S", help="wait for an answer")
    options = parser.parse_args()
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
