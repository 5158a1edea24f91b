"""A press behind an OPC UA server: `python -m simulators.opcua_press`.

Namespace `urn:lineside:sim:press`, string node ids under Objects/Press:

    Count.Total, Count.Reject   UInt32, or UInt16 with --bits 16; both roll over
    State                       Int32, the PackML state's code
    Temperature                 Double, degrees Celsius; wanders, once a second

Security None, anonymous, loopback only. The source timestamp is the machine's wall clock.
"""

import argparse
import asyncio
import logging
import random
from datetime import UTC

from asyncua import ua
from asyncua.server.server import Server

from simulators.machine import Counters, State
from simulators.process import Console, run
from simulators.records import TruthFile, Where
from simulators.station import Station, machine_arguments, machine_from

NAMESPACE = "urn:lineside:sim:press"
_HOST = "127.0.0.1"


class PressPanel:
    """The nodes of the press.

    A write through asyncua's address space runs to its end without giving way to the event
    loop (2.1: it only queues notifications), and so does a Read service call. Two writes in
    a row are therefore one step for every client.
    """

    def __init__(self, server: Server, bits: int) -> None:
        self._server = server
        self._count_type = ua.VariantType.UInt32 if bits == 32 else ua.VariantType.UInt16
        self._index = 0

    async def build(self) -> None:
        self._index = await self._server.register_namespace(NAMESPACE)
        press = await self._server.nodes.objects.add_object(self._node_id("Press"), f"{self._index}:Press")
        for name, kind in (
            ("Count.Total", self._count_type),
            ("Count.Reject", self._count_type),
            ("State", ua.VariantType.Int32),
            ("Temperature", ua.VariantType.Double),
        ):
            zero = ua.Variant(0.0 if kind is ua.VariantType.Double else 0, kind)
            await press.add_variable(self._node_id(name), f"{self._index}:{name}", zero)

    async def show_counters(self, counters: Counters) -> None:
        at = ua.DateTime.now(UTC)
        await self._write("Count.Total", ua.Variant(counters.total, self._count_type), at)
        await self._write("Count.Reject", ua.Variant(counters.reject, self._count_type), at)

    async def show_state(self, state: State) -> None:
        await self._write("State", ua.Variant(int(state), ua.VariantType.Int32), ua.DateTime.now(UTC))

    async def show_temperature(self, celsius: float) -> None:
        await self._write("Temperature", ua.Variant(celsius, ua.VariantType.Double), ua.DateTime.now(UTC))

    async def _write(self, name: str, value: ua.Variant, at: ua.DateTime) -> None:
        data = ua.DataValue(value, SourceTimestamp=at, ServerTimestamp=at)
        await self._server.write_attribute_value(self._node_id(name), data)

    def _node_id(self, name: str) -> ua.NodeId:
        return ua.NodeId(ua.String(name), ua.Int16(self._index))


async def wander(panel: PressPanel, seed: int) -> None:
    """A tool temperature around 180 degrees: a random walk that is drawn back, once a second."""
    steps = random.Random(f"{seed} temperature")
    celsius = 180.0
    while True:
        await panel.show_temperature(round(celsius, 2))
        celsius += steps.gauss(0, 0.4) + (180.0 - celsius) * 0.05
        await asyncio.sleep(1)


async def new_server(port: int) -> Server:
    """A server on the loopback interface, not yet listening; port 0 takes a free one."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://{_HOST}:{port}")
    server.set_server_name("Lineside press simulator")
    await server.set_application_uri(f"{NAMESPACE}:server")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    server.set_identity_tokens([ua.AnonymousIdentityToken])
    return server


def port_of(server: Server) -> int:
    """The port that a started server listens on."""
    assert server.bserver is not None
    return server.bserver.port


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The press, from its first node to the end of input."""
    server = await new_server(options.port)
    panel = PressPanel(server, options.bits)
    await panel.build()
    station = Station(options.station, machine_from(options), panel, truth)
    await station.show()
    async with server, asyncio.TaskGroup() as tasks:
        wandering = tasks.create_task(wander(panel, options.seed), name="temperature")
        console.ready(Where(endpoint=f"opc.tcp://{_HOST}:{port_of(server)}"))
        if options.running:
            station.start()
        await station.run(console)
        wandering.cancel()


def main() -> None:
    parser = machine_arguments("simulators.opcua_press", "A press behind an OPC UA server.", "press")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    options = parser.parse_args()
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
