"""Who reads a Modbus device's registers and keeps nothing of them; the agent is compared with it.

`python -m tests.bench.bare_modbus HOW PORT REQUESTS SIZE STEP EVERY_MS`: so many requests in turn, each of
SIZE registers and STEP behind the one before. HOW is `socket` (blocking), `pymodbus` (as its manual shows
it) or `adapter` (Lineside's, without core and journal). EVERY_MS 0: as fast as answers come. Each line on its
stdin is answered with the number of values so far.
"""

import asyncio
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pymodbus.client import AsyncModbusTcpClient

from adapters import modbus
from edge.contract import Lane, Number, Signal
from tests.support.intake import MemoryIntake

AT_ONCE = 125
"""Registers in one request at the most."""
_REQUEST = struct.Struct(">HHHBBHH")


class Count:
    """How many values came."""

    def __init__(self) -> None:
        self.values = 0

    def answer(self) -> None:
        """Until stdin ends."""
        while sys.stdin.readline():
            sys.stdout.write(f"{self.values}\n")
            sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be read."""

    port: int
    requests: int
    size: int
    step: int
    every_s: float

    @property
    def starts(self) -> range:
        return range(0, self.requests * self.step, self.step)


def by_socket(count: Count, task: Task) -> None:
    with socket.create_connection(("127.0.0.1", task.port)) as device:
        device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due, transaction = time.monotonic(), 0
        while True:
            for start in task.starts:
                transaction = (transaction + 1) & 0xFFFF
                device.sendall(_REQUEST.pack(transaction, 0, 6, 1, 3, start, task.size))
                count.values += len(_registers(device, transaction, task.size))
            if task.every_s:
                due += task.every_s
                time.sleep(max(0.0, due - time.monotonic()))


def _registers(device: socket.socket, transaction: int, size: int) -> tuple[int, ...]:
    answer = b""
    while len(answer) < 9 + 2 * size:
        more = device.recv(512)
        if not more:
            raise ConnectionError("the device has closed")
        answer += more
    assert answer[:2] == transaction.to_bytes(2, "big")
    return struct.unpack_from(f">{size}H", answer, 9)


async def by_pymodbus(count: Count, task: Task) -> None:
    device = AsyncModbusTcpClient("127.0.0.1", port=task.port)
    await device.connect()
    due = time.monotonic()
    while True:
        for start in task.starts:
            answer = await device.read_holding_registers(start, count=task.size)
            count.values += len(answer.registers)
        if task.every_s:
            due += task.every_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class _Counting(MemoryIntake):
    """Forgets what it is given."""

    def __init__(self, count: Count) -> None:
        super().__init__("plc")
        self._count = count

    def sample(self, lane: Lane, values: Sequence[Number], **keys: object) -> None:
        self._count.values += len(values)


async def by_adapter(count: Count, task: Task) -> None:
    host = f"tcp://127.0.0.1:{task.port}"
    keys = {"type": "modbus", "host": host, "max_registers": AT_ONCE, "max_gap": 0}
    every = timedelta(seconds=task.every_s or 0.001)  # all of them take longer: the next is always due
    places = [start + at for start in task.starts for at in range(task.size)]
    signals = [
        Signal(f"oven/r_{at}", modbus.Address.model_validate({"holding": at, "as": "u16"}), every, "oven")
        for at in places
    ]
    await modbus.collect(modbus.Settings.model_validate(keys), signals, _Counting(count))


def main(how: str, task: Task) -> None:
    count = Count()
    threading.Thread(target=count.answer, daemon=True).start()
    if how == "socket":
        by_socket(count, task)
    else:
        asyncio.run({"pymodbus": by_pymodbus, "adapter": by_adapter}[how](count, task))


if __name__ == "__main__":
    port, requests, size, step, every_ms = map(int, sys.argv[2:])
    main(sys.argv[1], Task(port, requests, size, step, every_ms / 1000))
