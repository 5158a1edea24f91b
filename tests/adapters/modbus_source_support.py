"""What the tests of the Modbus source share."""

import logging
from collections.abc import Iterator

import pytest

from adapters import modbus
from edge.contract import Quality
from tests.adapters.modbus_support import (
    Device,
    settings,
)
from tests.support.intake import MemoryIntake


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake("plc")


@pytest.fixture(autouse=True)
def _quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No library logs a warning or a traceback: what is wrong is said by SourceLost and bad quality."""
    yield
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


def tcp(plc: Device, **keys: object) -> modbus.Settings:
    return settings(host=f"tcp://127.0.0.1:{plc.port}", **keys)


def rtu(port: str, **keys: object) -> modbus.Settings:
    return settings(port=port, parity="none", **keys)


def bad(intake: MemoryIntake, name: str) -> list[str]:
    return [one.detail for one in intake.seen if one.signal == name and one.quality is Quality.BAD]
