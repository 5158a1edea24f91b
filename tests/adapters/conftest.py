"""The libmodbus device, compiled once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.adapters.modbus_support import Device, build_device, device


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_device(tmp_path_factory.mktemp("modbus"))


@pytest_asyncio.fixture
async def plc(program: Path) -> AsyncIterator[Device]:
    async with device(program, "tcp") as running:
        yield running
