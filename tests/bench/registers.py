"""A Modbus TCP device whose registers all change at every request: `python -m tests.bench.registers`.

It prints its port. Register 0 is the milliseconds of now, as many as it holds: it tells how old a value is.
The other registers of an answer are a piece of bytes that lie ready: the device is to be no brake.
"""

import asyncio
import struct
import time

_HEAD = struct.Struct(">HHHBBHH")
_ANSWER = struct.Struct(">HHHBBB")
_STEP = 7
_RAMP = struct.pack(f">{2 * 65_536}H", *range(65_536), *range(65_536))
"""Registers that count up, and begin anew."""


class Device(asyncio.Protocol):
    """Answers reads of holding registers, and nothing else."""

    def __init__(self) -> None:
        self._asked = 0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= _HEAD.size:
            transaction, _, _, unit, function, start, count = _HEAD.unpack_from(self._received)
            self._received = self._received[_HEAD.size :]
            self._asked += 1
            first = 2 * ((self._asked * _STEP + start) & 0xFFFF)
            registers = _RAMP[first : first + 2 * count]
            if start == 0:
                registers = struct.pack(">H", time.time_ns() // 1_000_000 & 0xFFFF) + registers[2:]
            head = _ANSWER.pack(transaction, 0, 3 + 2 * count, unit, function, 2 * count)
            self._transport.write(head + registers)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Device, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
