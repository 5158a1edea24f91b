r"""A barcode gun: `python -m simulators.scanner --link PATH`, or `--tcp PORT`, or `--call PORT`.

`scan LABEL` on standard input sends the label and a carriage return, and waits for the host's
answer: by default one byte, ACK (0x06), the scan is recorded, or NAK (0x15), it is refused. Without
an answer it is for the person at the gun to scan again.

What goes wrong at a gun has commands of its own, each answered like a scan of what really went out:
`cut LABEL` (the first half, and no end), `merge LABEL LABEL` (no end between them), `noise LABEL`
(bytes before it that nobody sent), `double LABEL` (the trigger bounced: twice at once, and the
second answer counts), `hang-up LABEL` (half of it, then the plug is pulled, and put back).
"""

import argparse
from collections.abc import Awaitable, Callable
from typing import Literal

from simulators.carriers import add_carrier, carrier, unescaped
from simulators.faults import NOISE
from simulators.process import Console, arguments, run
from simulators.records import Scan, TruthFile, wall_ms
from simulators.speaker import Speaker

Meaning = Literal["confirmed", "refused", "duplicate", "none"]
_COMMANDS = "scan LABEL, cut LABEL, merge LABEL LABEL, noise LABEL, double LABEL, hang-up LABEL, exit"


class Gun:
    """The gun and the hand that holds it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.speaker = Speaker(carrier(options))
        self._options = options
        self._meanings: dict[bytes, Meaning] = {
            options.refuse: "refused",
            options.duplicate or options.confirm: "duplicate",
            options.confirm: "confirmed",
        }
        self.verbs: dict[str, Callable[[str], Awaitable[Scan]]] = {
            "scan": self.scan, "cut": self._cut, "merge": self._merge,
            "noise": self._noise, "double": self._double, "hang-up": self._hang_up,
        }  # fmt: skip

    async def scan(self, label: str) -> Scan:
        return await self._send(label, self._framed(label.encode()))

    async def _cut(self, label: str) -> Scan:
        half = label[: (len(label) + 1) // 2]
        return await self._send(half, self._options.begin + half.encode())

    async def _merge(self, labels: str) -> Scan:
        merged = labels.replace(" ", "")
        return await self._send(merged, self._framed(merged.encode()))

    async def _noise(self, label: str) -> Scan:
        return await self._send(label, NOISE + self._framed(label.encode()))

    async def _double(self, label: str) -> Scan:
        framed = self._framed(label.encode())
        first = await self._send(label, framed + framed)
        if first.answered_ms is None:
            return first
        return await self._answered(label, first.sent_ms, b"")

    async def _hang_up(self, label: str) -> Scan:
        sent_ms = wall_ms()
        half = label[: (len(label) + 1) // 2]
        self.speaker.send(self._options.begin + half.encode())
        await self.speaker.hang_up(self._options.away)
        return Scan(half, "none", sent_ms, None)

    def _framed(self, label: bytes) -> bytes:
        return bytes(self._options.begin + label + self._options.end)

    async def _send(self, text: str, data: bytes) -> Scan:
        self.speaker.forget()
        return await self._answered(text, wall_ms(), data)

    async def _answered(self, text: str, sent_ms: float, data: bytes) -> Scan:
        self.speaker.send(data)
        try:
            answer = await self.speaker.heard(list(self._meanings), self._options.patience)
        except TimeoutError:
            return Scan(text, "none", sent_ms, None)
        return Scan(text, self._meanings[answer], sent_ms, wall_ms())


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The gun, until the end of input."""
    gun = Gun(options)
    with gun.speaker.open():
        console.ready(gun.speaker.carrier.where)
        async for command in console.commands():
            verb, _, label = command.partition(" ")
            if verb not in gun.verbs or not label.strip():
                console.refuse(command, _COMMANDS)
                continue
            scan = await gun.verbs[verb](label.strip())
            truth.write(scan)
            console.say(scan)


def main() -> None:
    parser = arguments("simulators.scanner", "A barcode gun on a pseudo-terminal or on TCP.")
    add_carrier(parser)
    parser.add_argument("--patience", type=float, default=2.0, metavar="S", help="wait for an answer")
    parser.add_argument("--begin", type=unescaped, default=b"", help="sent before each label")
    parser.add_argument("--end", type=unescaped, default=b"\r", help="sent after each label")
    parser.add_argument("--confirm", type=unescaped, default=b"\x06", help="the answer: recorded")
    parser.add_argument("--refuse", type=unescaped, default=b"\x15", help="the answer: refused")
    parser.add_argument("--duplicate", type=unescaped, default=b"", help="just read; empty: as --confirm")
    parser.add_argument("--away", type=float, default=1.0, metavar="S", help="of a plug that was pulled")
    options = parser.parse_args()
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
