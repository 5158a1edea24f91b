"""A serial bus at its worst: devices, and between them and a pseudo-terminal a line that spoils frames.

    python -m tests.adapters.modbus_bad_bus '{"seed": 1, "drop": 0.01, ...}'    prints "READY path"

Every register proves itself: it tells its unit, table and address, and the time at which it was read, see
`value_at`. Each line on standard input is answered by what was done to frames so far, as JSON; the end of the
input ends it.
"""

import json
import os
import random
import select
import struct
import sys
import time
import tty
from collections import Counter
from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush

TICK_S = 0.002
SIZE = 400
"""Registers, and bits, of each table."""
LIVING = (1, 2, 3)


@dataclass
class Faults:
    """How often each thing happens to a frame of either direction, and how late one may be."""

    seed: int = 1
    drop: float = 0.0
    repeat: float = 0.0
    """Said twice, the second time at once or up to `latest_s` later."""
    cut: float = 0.0
    corrupt: float = 0.0
    """A burst of up to 16 bits."""
    late: float = 0.0
    """Held back for up to `latest_s`."""
    noise: float = 0.0
    """Some bytes before, after or between frames."""
    echo: bool = False
    """The line gives back what is sent, as some RS485 adapters do."""
    mute_beyond: bool = False
    """A read that reaches too far gets no answer instead of a refusal."""
    latest_s: float = 0.05
    answer_s: float = 0.001
    outside: bool = False
    """The devices are another program, at a second pseudo-terminal whose path is printed, too."""
    ranges: list[tuple[int, int]] = field(default_factory=lambda: [(0, SIZE)])
    """The addresses that exist."""


def mark(unit: int, function: int, address: int) -> int:
    """What tells one register from all others."""
    return (unit * 40_503 + function * 22_695 + address * 30_011) * 2_654_435_761 >> 7 & 0xFFFF


def value_at(unit: int, function: int, address: int, at_s: float) -> int:
    """What a register holds at a time of the monotonic clock."""
    return (mark(unit, function, address) + int(at_s / TICK_S)) & 0xFFFF


def age_of(value: int, unit: int, function: int, address: int, now_s: float) -> float:
    """How long ago a register held this value, in s; it repeats after 131 s."""
    return ((int(now_s / TICK_S) - (value - mark(unit, function, address))) & 0xFFFF) * TICK_S


def crc(data: bytes) -> bytes:
    """CRC-16 of "MODBUS over Serial Line", appendix B, bit by bit."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0xA001 if register & 1 else register >> 1
    return struct.pack("<H", register)


def answer(request: bytes, at_s: float, faults: Faults) -> bytes:
    """What the devices say to a frame; empty for one that is not to them, or is spoilt."""
    if len(request) != 8 or crc(request[:-2]) != request[-2:] or request[0] not in LIVING:
        return b""
    unit, function, start, count = struct.unpack(">BBHH", request[:6])
    if not any(first <= start and start + count <= end for first, end in faults.ranges):
        body = bytes((unit, function | 0x80, 2))
        return b"" if faults.mute_beyond else body + crc(body)
    values = [value_at(unit, function, address, at_s) for address in range(start, start + count)]
    if function in (1, 2):
        bits = sum((value & 1) << at for at, value in enumerate(values))
        data = bits.to_bytes((count + 7) // 8, "little")
    else:
        data = struct.pack(f">{count}H", *values)
    body = bytes((unit, function, len(data))) + data
    return body + crc(body)


class Bus:
    """The far end of a pseudo-terminal."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._chance = random.Random(faults.seed)
        self._events: list[tuple[float, int, bool, bytes]] = []
        self._number = 0
        self.done: Counter[str] = Counter()
        self.fd, far = os.openpty()
        tty.setraw(self.fd)
        tty.setraw(far)
        self.paths = [os.ttyname(far)]
        self._outside, self._said, self._silent_at = -1, b"", 0.0
        if faults.outside:
            self._outside, far = os.openpty()
            tty.setraw(self._outside)
            tty.setraw(far)
            self.paths.append(os.ttyname(far))

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            times = [self._events[0][0]] if self._events else []
            times += [self._silent_at] if self._said else []
            wait_s = max(0.0, min(times) - time.monotonic()) if times else None
            ends = [end for end in (self.fd, self._outside, 0) if end >= 0]
            ready, _, _ = select.select(ends, [], [], wait_s)
            if 0 in ready:
                if not sys.stdin.readline():
                    return
                print(json.dumps(self.done), flush=True)
            if self.fd in ready:
                self._asked(os.read(self.fd, 4096))
            if self._outside in ready:
                self._said += os.read(self._outside, 4096)
                self._silent_at = time.monotonic() + 0.002
            elif self._said and time.monotonic() >= self._silent_at:
                self.done["answers"] += 1
                self._carry(is_request=False, frame=self._said, delay_s=0.0)
                self._said = b""
            while self._events and self._events[0][0] <= time.monotonic():
                _, _, is_request, frame = heappop(self._events)
                self._arrives(is_request, frame)

    def _asked(self, request: bytes) -> None:
        self.done["requests"] += 1
        if self._faults.echo:
            os.write(self.fd, request)
        self._carry(is_request=True, frame=request, delay_s=0.0)

    def _arrives(self, is_request: bool, frame: bytes) -> None:
        if not is_request:
            os.write(self.fd, frame)
        elif self._outside >= 0:
            os.write(self._outside, frame)
        elif said := answer(frame, time.monotonic(), self._faults):
            self.done["answers"] += 1
            self._carry(is_request=False, frame=said, delay_s=self._faults.answer_s)

    def _carry(self, *, is_request: bool, frame: bytes, delay_s: float) -> None:
        """One frame on its way, with what happens to it there."""
        faults, chance = self._faults, self._chance
        frame = self._spoilt(frame)
        if self._happens("late"):
            delay_s += chance.uniform(0, faults.latest_s)
        if self._happens("repeat"):
            later_s = chance.choice([0.0, 2 * faults.answer_s, chance.uniform(0, faults.latest_s)])
            self._at(delay_s + later_s, is_request, frame)
        if not self._happens("drop"):
            self._at(delay_s, is_request, frame)
        if self._happens("noise"):
            when_s = chance.choice([0.0, delay_s, chance.uniform(0, faults.latest_s)])
            self._at(when_s, False, chance.randbytes(chance.choice([1, 1, 2, 3, 8])))

    def _spoilt(self, frame: bytes) -> bytes:
        if self._happens("cut"):
            frame = frame[: self._chance.randrange(1, len(frame))]
        if self._happens("corrupt"):
            width = self._chance.randrange(1, 17)
            burst = self._chance.getrandbits(width) | 1 << (width - 1) | 1
            shift = self._chance.randrange(max(1, 8 * len(frame) - width))
            spoilt = int.from_bytes(frame, "big") ^ burst << shift
            frame = (spoilt & (1 << 8 * len(frame)) - 1).to_bytes(len(frame), "big")
        return frame

    def _happens(self, what: str) -> bool:
        if self._chance.random() < getattr(self._faults, what):
            self.done[what] += 1
            return True
        return False

    def _at(self, delay_s: float, is_request: bool, frame: bytes) -> None:
        self._number += 1
        heappush(self._events, (time.monotonic() + delay_s, self._number, is_request, frame))


def main() -> None:
    bus = Bus(Faults(**json.loads(sys.argv[1])))
    print("READY", *bus.paths, flush=True)
    bus.run()


def arguments(faults: Faults) -> list[str]:
    """The command that runs such a bus."""
    return [sys.executable, "-m", "tests.adapters.modbus_bad_bus", json.dumps(asdict(faults))]


if __name__ == "__main__":
    main()
