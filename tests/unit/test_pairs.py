"""Keys that go together: what is wrong with one pair hides nothing of the next."""

from typing import Any

import pytest

from edge import registry
from edge.config.faults import Faults

SECRET = {"env": "SECRET"}


@pytest.mark.parametrize(
    ("kind", "table", "says"),
    [
        (
            "influxdb",
            {"url": "http://a:1", "bucket": "b", "api": "v1", "user": "u", "token": SECRET},
            ["`user` and `password` go together", "a `token` is of `api"],
        ),
        (
            "influxdb",
            {"url": "http://a:1", "bucket": "b", "password": SECRET},
            ["`user` and `password` go together", 'are of `api = "v1"`'],
        ),
        (
            "mqtt",
            {"broker": "mqtts://a", "password": SECRET, "key": "/k"},
            ["a password needs a user", "a key needs a cert"],
        ),
        (
            "opcua",
            {"endpoint": "opc.tcp://a:4840", "password": SECRET, "key": "/k"},
            ["certificate and key go together", "a password needs a user"],
        ),
        (
            "modbus",
            {"host": "tcp://a:1", "port": "/dev/ttyUSB0", "baud": 9600},
            ["give either host", "baud belong to a serial port"],
        ),
    ],
)
def test_every_wrong_pair_is_told(kind: str, table: dict[str, Any], says: list[str]) -> None:
    module = registry.source(kind) or registry.sink(kind)
    assert module is not None
    faults = Faults("line.toml")
    assert faults.check(module.Settings, {"type": kind, **table}, "it") is None
    told = [fault.what for fault in faults.found]
    assert len(told) == len(says), told
    assert all(said in what for said, what in zip(says, told, strict=True)), told
