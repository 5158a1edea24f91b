r"""A tightening controller that speaks Open Protocol: `python -m simulators.torque --tcp 0`.

It listens on loopback and takes one client (a second one hears error 96). It knows MID 0001, 0003, 0060,
0062, 0063, 0080 and 9999, results of revision 1 to `--revision`, and answers all else with error 99.

A joint is tightened every `--cycle` while it is on; four (`--batch`) make a unit, and a joint that failed is
made again. The result (MID 0061) goes out when somebody has subscribed, and until it is acknowledged (MID
0062) the next joint waits: three times every `--patience`, then the connection is closed, and the next
client hears it again. So does a client the result whose acknowledgement got lost. A client that says nothing
for `--silence` is dropped.

Written from the specification and not from the collector's adapter, so that it does not share its mistakes.
"""

import argparse
import asyncio
import contextlib
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulators.faults import add_faults, due, faults
from simulators.process import Console, arguments, run
from simulators.records import Tightened, TighteningAcked, TruthFile, Where, wall_ms
from simulators.testrig import obey

_LOW_NM, _HIGH_NM, _TARGET_NM = 18.0, 22.0, 20.0
_TIMES = 3
_WHEN = "%Y-%m-%d:%H:%M:%S"
_NUL = b"\0"


@dataclass(frozen=True, slots=True)
class Joint:
    """One tightening."""

    number: int
    unit: str
    batch: int
    counter: int
    torque_nm: float
    angle_deg: int
    at: datetime

    @property
    def ok(self) -> bool:
        return _LOW_NM <= self.torque_nm <= _HIGH_NM


def message(mid: int, data: str = "", revision: int = 1) -> bytes:
    """A header of 20, data, NUL."""
    return f"{20 + len(data):04d}{mid:04d}{revision:03d}{'':9}{data}".encode("ascii") + _NUL


def result(joint: Joint, revision: int) -> bytes:
    """MID 0061 of that revision, 1 to 4."""
    said = _first(joint) if revision == 1 else _second(joint)
    if revision >= 3:
        said += [f"{'M8 flange':25}", "1", "01"]
    if revision >= 4:
        said += [f"{'':25}"] * 3
    return message(61, "".join(f"{n:02d}{one}" for n, one in enumerate(said, 1)), revision)


def _state(joint: Joint) -> str:
    return "0" if joint.torque_nm < _LOW_NM else "2" if joint.torque_nm > _HIGH_NM else "1"


def _limits(joint: Joint) -> list[str]:
    torques = (_LOW_NM, _HIGH_NM, _TARGET_NM, joint.torque_nm)
    angles = (30, 90, 60, joint.angle_deg)
    return [f"{round(one * 100):06d}" for one in torques] + [f"{one:05d}" for one in angles]


def _times(joint: Joint) -> list[str]:
    return [joint.at.strftime(_WHEN), "2026-01-15:08:30:00"]


def _head(joint: Joint) -> list[str]:
    return ["0001", "01", f"{'torque-1':25}", f"{joint.unit:25.25}"]


def _first(joint: Joint) -> list[str]:
    counts = [f"{joint.batch:04d}", f"{joint.counter:04d}"]
    return [
        *_head(joint), "01", "007", *counts, str(int(joint.ok)), _state(joint), "1",
        *_limits(joint), *_times(joint), "3", f"{joint.number:010d}",
    ]  # fmt: skip


def _second(joint: Joint) -> list[str]:
    counts = [f"{joint.batch:04d}", f"{joint.counter:04d}"]
    return [
        *_head(joint), "0001", "007", "02", "00007", *counts, str(int(joint.ok)), "3", _state(joint), "1",
        "1", "1", "1", "1", "1", "0" * 10, *_limits(joint), *["0" * 5] * 3, *["0" * 3] * 3, *["0" * 6] * 6,
        f"{joint.number:010d}", "00001", "00000", f"{'C0720021':14}", *_times(joint),
    ]  # fmt: skip


class Controller:
    """One spindle, one client."""

    def __init__(self, options: argparse.Namespace, truth: TruthFile) -> None:
        self.on = asyncio.Event()
        self._options = options
        self._faults = faults(options)
        self._truth = truth
        self._chance = random.Random(f"{options.seed} torque")
        self._writer: asyncio.StreamWriter | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._all_gone = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._revision = 1

    async def work(self) -> None:
        """One joint a cycle, for ever."""
        number, unit, counter = self._options.first, 1, 0
        while True:
            await self.on.wait()
            joint = self._tightened(number, f"U-{unit:04d}" if self._options.vin else "", counter)
            self._truth.write(Tightened(number, joint.unit, joint.ok, joint.torque_nm, wall_ms()))
            await self._bring_home(joint)
            number, counter = number + 1, joint.counter
            if counter >= self._options.batch:
                unit, counter = unit + 1, 0
            await asyncio.sleep(self._options.cycle)

    def _tightened(self, number: int, unit: str, counter: int) -> Joint:
        failed = self._chance.random() < self._options.fail
        torque_nm = round(self._chance.uniform(10.0, 17.9) if failed else self._chance.uniform(19.0, 21.0), 2)
        at = datetime.now() - timedelta(seconds=self._options.slow)
        angle_deg = self._chance.randint(40, 80)
        return Joint(number, unit, self._options.batch, counter + (not failed), torque_nm, angle_deg, at)

    async def _bring_home(self, joint: Joint) -> None:
        tries = 0
        self._acknowledged.clear()
        while True:
            await self._subscribed.wait()
            for _ in range(_TIMES):
                tries += 1
                self._send_result(joint, tries)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._options.patience):
                        await self._acknowledged.wait()
                    self._truth.write(TighteningAcked(joint.number, wall_ms(), tries))
                    return
                if not self._subscribed.is_set():
                    break
            else:
                self._drop()

    def _send_result(self, joint: Joint, tries: int) -> None:
        whole = result(joint, self._revision)
        if tries > 1 or self._writer is None:
            self._send(whole)
        elif due(self._faults.hang_up, joint.number):
            self._send(whole[: len(whole) // 2])
            self._drop()
        elif due(self._faults.cut, joint.number):
            self._send(whole[: len(whole) // 2] + _NUL)
        elif due(self._faults.merge, joint.number):
            self._send(whole[:-1] + whole)
        else:
            self._send(whole * (2 if due(self._faults.double, joint.number) else 1))

    def _send(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(data)

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._subscribed.clear()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes or is silent for too long."""
        self._open.add(writer)
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            if await self._started(reader, writer):
                await self._serve(reader, writer)
        if self._writer is writer:
            self._drop()
        writer.close()
        self._open.discard(writer)
        self._all_gone.set()

    async def leave(self) -> None:
        """Hang up on every client."""
        while self._open:
            self._all_gone.clear()
            for writer in self._open:
                writer.close()
            await self._all_gone.wait()

    async def _started(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        mid, _ = await self._heard(reader)
        if mid != 1:
            writer.write(message(4, f"{mid:04d}79"))
            return False
        if self._writer is not None:
            writer.write(message(4, "000196"))
            return False
        self._writer = writer
        writer.write(message(2, f"01000102{1:02d}03{'torque-1':25}"))
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._writer is writer:
            mid, revision = await self._heard(reader)
            if mid == 62:
                self._acknowledged.set()
            elif mid == 9999:
                writer.write(message(9999))
            elif mid == 80:
                now = datetime.now() - timedelta(seconds=self._options.slow)
                writer.write(message(81, now.strftime(_WHEN)))
            elif mid == 60 and revision > self._options.revision:
                writer.write(message(4, "006097"))
            elif mid in (60, 63):
                self._revision = revision
                writer.write(message(5, f"{mid:04d}"))
                (self._subscribed.set if mid == 60 else self._subscribed.clear)()
            elif mid == 3:
                writer.write(message(5, "0003"))
                return
            else:
                writer.write(message(4, f"{mid:04d}99"))

    async def _heard(self, reader: asyncio.StreamReader) -> tuple[int, int]:
        """MID and revision of the next message; its length is checked."""
        async with asyncio.timeout(self._options.silence):
            raw = await reader.readuntil(_NUL)
        if int(raw[:4]) != len(raw) - 1:
            raise OSError("a message of another length than it says")
        return int(raw[4:8]), int(raw[8:11].strip() or b"1")


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The controller, until the end of input."""
    controller = Controller(options, truth)
    server = await asyncio.start_server(controller.talk, "127.0.0.1", options.tcp)
    host, port = server.sockets[0].getsockname()[:2]
    console.ready(Where(host=host, port=port))
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(controller.work(), name="torque")
        await obey(controller.on, console)
        working.cancel()
    server.close()
    await controller.leave()


def main() -> None:
    parser = arguments("simulators.torque", "A tightening controller on TCP.")
    parser.add_argument("--tcp", type=int, default=0, metavar="PORT", help="listen there; 0: any free port")
    parser.add_argument("--revision", type=int, default=4, choices=range(1, 5), help="newest that it knows")
    parser.add_argument("--cycle", type=float, default=3.0, metavar="S", help="between two joints")
    parser.add_argument("--fail", type=float, default=0.1, help="the chance of a joint to fail")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="joints of a unit")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first tightening id")
    parser.add_argument("--no-vin", dest="vin", action="store_false", help="it does not know the unit")
    parser.add_argument("--slow", type=float, default=0.0, metavar="S", help="what its clock is slow by")
    parser.add_argument("--patience", type=float, default=5.0, metavar="S", help="wait for MID 0062")
    parser.add_argument("--silence", type=float, default=15.0, metavar="S", help="then a client is dropped")
    add_faults(parser, "cut", "merge", "double", "hang_up")
    options = parser.parse_args()
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
