"""A line's file, for the tests of the configuration."""

from pathlib import Path

import pytest

from edge.config import LineConfig, load

VALID = """\
[line]
name = "line-1"
path = "acme/leeds/assembly"
timezone = "Europe/London"
data = "state"
badge = "optional"

[[order]]
id = "WO-1001"
item = "P7"
revision = "C"
quantity = 100
operations = [10, 20]

[[order]]
id = "WO-1002"
item = "P8"
quantity = 50

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:1502"

[source.press-plc]
type = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
user = "lineside"
password = { credential = "press-plc" }

[source.gun-1]
type = "serial-scanner"
port = "/dev/serial/by-id/gun"

[source.rig-1]
type = "testrig"
port = "/dev/serial/by-id/rig"

[[station]]
name = "press"
ideal_cycle = "6s"
scanner = "gun-1"
rig = "rig-1"
total = { source = "press-plc", node = "ns=2;s=Total", counter = "u32", parts_per_count = 4 }
reject = { source = "press-plc", node = "ns=2;s=Reject", counter = "u32" }
state = { source = "press-plc", node = "ns=2;s=State", map = "packml" }

[[station]]
name = "packer"
ideal_cycle = "2s"
fastest_cycle = "1500ms"
stop_after = "1min"
good = { source = "plc", unit = 3, holding = 100, as = "u32", words = "little", every = "100ms" }
state = { source = "plc", unit = 3, coil = 1, map = { 0 = "Stopped", 1 = "Execute" } }

[sink.file]
type = "file"

[sink.uns]
type = "mqtt"
broker = ["mqtt://broker-a:1883", "mqtts://broker-b"]

[sink.plant-influx]
type = "influxdb"
url = "http://influx:8086"
bucket = "line-1"
token = { env = "INFLUX_TOKEN" }
linger = "200ms"

[board]
port = 8081
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "line.toml"


def check(file: Path, text: str | bytes) -> LineConfig:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(file)


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1, f"{old!r} must stand there once"
    return VALID.replace(old, new)
