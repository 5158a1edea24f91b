"""The whole way: from a Modbus device and an OPC UA server through a running agent to a file and a broker."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.far_ends import mosquitto
from tests.adapters.opcua_server import NAMESPACE, opcua_server
from tests.line.test_agent import agent
from tests.support.agent import running_agent
from tests.support.servers import heard

pytestmark = pytest.mark.timeout(90)

LINE = """
[line]
name = "line-1"
path = "acme/leeds"
badge = "optional"

[[order]]
id = "WO-1"
item = "P7"
quantity = 50

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:{{packer}}"

[source.press]
type = "opcua"
endpoint = "{opcua}"
security = "None"
publish = "50ms"

[[station]]
name = "packer"
ideal_cycle = "2s"
state = {{{{ source = "plc", holding = 500, as = "u16", map = "packml", every = "10s" }}}}

[telemetry.oven]
source = "plc"
station = "packer"
every = "50ms"
as = "u16"
clock = {{{{ holding = 0, unit_of_measure = "ms" }}}}
zone_1 = {{{{ holding = 1 }}}}
still = {{{{ holding = 2, deadband = 100000 }}}}

[telemetry.air]
source = "press"
every = "50ms"
deadband = 0.5
warm = {{{{ node = "nsu={namespace};s=Temperature" }}}}

[sink.file]
type = "file"
linger = "1ms"

[sink.broker]
type = "mqtt"
broker = ["mqtt://127.0.0.1:{mqtt}"]
"""


@contextlib.contextmanager
def registers() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.bench.registers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def values(batches: list[dict[str, Any]], table: str, name: str) -> list[Any]:
    return [
        frame["values"][name]
        for one in batches
        if one["data"]["name"] == table
        for frame in one["data"]["frames"]
        if name in frame.get("values", {})
    ]


async def test_samples_of_two_protocols_come_out_as_a_file_and_as_messages(tmp_path: Path) -> None:
    with registers() as port, opcua_server() as server:
        async with mosquitto(tmp_path / "mqtt") as broker:
            text = LINE.format(opcua=server.endpoint, namespace=NAMESPACE, mqtt=broker.port)
            topic = "acme/leeds/line-1/packer/_telemetry/oven"
            listening = asyncio.create_task(heard(broker.port, topic, 3, within_s=30))
            async with agent(tmp_path, str(port), text) as running:
                await running.until(lambda: len(values(running.events("telemetry"), "air", "warm")) >= 1)
                for degrees in (21.5, 21.7, 30.25):
                    server.tell(f"set Temperature {degrees}")
                    kept = 21.5 if degrees == 21.7 else degrees  # within the deadband
                    await running.until(
                        lambda kept=kept: values(running.events("telemetry"), "air", "warm")[-1:] == [kept]  # type: ignore[misc]
                    )
                await running.until(lambda: len(values(running.events("telemetry"), "oven", "clock")) > 30)
                messages = await listening
                assert await running.stop() == 0
                written = running.events("telemetry")
            [units] = await heard(broker.port, "acme/leeds/line-1/packer/_state/telemetry", 1)
    by_id = {one["id"]: one for one in written}
    assert len(by_id) == len(written)
    assert [by_id[one.json["id"]] for one in messages] == [one.json for one in messages], "the same bytes"
    assert {one["station"] for one in written if one["data"]["name"] == "oven"} == {"packer"}
    assert len(values(written, "oven", "still")) == 1
    assert 21.7 not in values(written, "air", "warm")
    assert units.json == {"units": {"oven": {"clock": "ms"}}}


MISNAMED = """
[line]
name = "line-1"

[source.press]
type = "opcua"
endpoint = "{opcua}"
security = "None"
publish = "50ms"

[[station]]
name = "packer"
ideal_cycle = "2s"

[telemetry.air]
source = "press"
every = "50ms"
warm = {{ node = "nsu={namespace};s=Temperature" }}
force = {{ node = "nsu={namespace};s=Forc" }}

[sink.file]
type = "file"
linger = "1ms"
"""


async def test_a_signal_that_cannot_be_read_is_named_in_the_log(tmp_path: Path) -> None:
    with opcua_server() as server:
        text = MISNAMED.format(opcua=server.endpoint, namespace=NAMESPACE)
        async with running_agent(tmp_path, text) as running:
            named = (
                f"telemetry/air/force: cannot be read: nsu={NAMESPACE};s=Forc: the server has no such node"
            )
            await running.until(lambda: named in running.log)
            server.tell("add Forc")
            await running.until(lambda: "telemetry/air/force: can be read again" in running.log, 60)
            assert await running.stop() == 0
            assert running.log.count("telemetry/") == 2, running.log
