"""What was out of sight though nothing was lost is told, and an outage begins at the last good reading."""

import asyncio

import pytest

from adapters._modbus.plan import Point
from adapters._modbus.sight import LEAST_S, MINUTE_S, MOST, Away, Sight
from edge.observation import AGENT, Missed
from tests.adapters.modbus_support import collecting, settings, signal
from tests.support.intake import MemoryIntake


def point(name: str, every_s: float = 0.1, batch: str = "") -> Point:
    return Point(name, 1, "holding", 0, 1, every_s, lambda cells, at: cells[at], batch)


def test_what_was_not_read_for_many_periods_is_told_once() -> None:
    a, b, slow, table = point("a"), point("b"), point("slow", 10.0), point("t/x", batch="t")
    sight = Sight([a, b, slow, table])
    assert sight.read([a, b, slow, table], 100.0, ()) is None
    assert sight.read([a], 100.0 + LEAST_S, ()) is None
    assert sight.read([a], 105.4, ()) == Away(100.0, ("a", "b"))
    assert sight.read([b, slow, table], 105.5, ()) is None, "told with the first of them"
    assert sight.read([b], 120.0, ("b",)) is None, "known to be bad"
    assert sight.last_s("b") == 120.0


def test_a_line_that_never_keeps_its_periods_is_told_a_few_times_a_minute() -> None:
    a = point("a")
    sight = Sight([a])
    told = [sight.read([a], 100.0 + 3.0 * turn, ()) for turn in range(19)]
    assert sum(one is not None for one in told) == MOST
    assert sight.read([a], 100.0 + 2 * MINUTE_S, ()) is not None


class Plc:
    """A Modbus TCP slave whose register counts its requests."""

    def __init__(self) -> None:
        self.asked = 0
        self.pause_s = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readexactly(12)
                if self.pause_s:
                    pause_s, self.pause_s = self.pause_s, 0.0
                    await asyncio.sleep(pause_s)
                self.asked += 1
                answer = request[:2] + bytes((0, 0, 0, 5, request[6], 3, 2)) + self.asked.to_bytes(2, "big")
                writer.write(answer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


async def test_a_counter_that_was_unread_while_the_source_stood_is_told_with_its_interval() -> None:
    plc, intake = Plc(), MemoryIntake("plc")
    server = await asyncio.start_server(plc.serve, "127.0.0.1", 0)
    url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    wanted = [signal("press.total", "u16", 0.05, holding=0)]
    async with server, collecting(settings(host=url, timeout="4s"), wanted, intake):
        await intake.until(lambda: len(intake.values("press.total")) >= 2)
        plc.pause_s = LEAST_S + 0.2
        await intake.until(lambda: any(one.signal == AGENT for one in intake.seen))
        await intake.until(lambda: intake.seen[-1].signal == "press.total")
    [at] = [at for at, one in enumerate(intake.seen) if one.signal == AGENT]
    told, before = intake.seen[at].value, intake.seen[at - 1]
    assert isinstance(told, Missed)
    assert (told.cause, told.subject, told.signals) == ("not-read", "plc", ("press.total",))
    assert abs(told.since_ms - before.seen_ms) <= 50
    assert told.until_ms - told.since_ms >= LEAST_S * 1000
    assert intake.seen[at + 1].signal == "press.total"


@pytest.mark.parametrize(
    "other", ["tcp://localhost:502", "tcp://LOCALHOST", "tcp://[::1]", "tcp://[::ffff:127.0.0.1]:502"]
)
def test_one_gateway_is_one_however_it_is_written(other: str) -> None:
    assert settings(host=other).owns() == settings(host="tcp://127.0.0.1").owns()
    assert settings(host="tcp://PLC.plant.").owns() == settings(host="tcp://plc.plant").owns()
