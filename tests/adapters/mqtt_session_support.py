"""What the tests of the mqtt sink's session share."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from adapters import mqtt
from edge.contract import Sink
from tests.adapters.mqtt_support import OUTLET
from tests.support.servers import FarEnd, mosquitto


def table(port: int, **settings: Any) -> mqtt.Settings:
    """One table of the TOML: what connects with it twice goes on with what it has."""
    given = {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{port}", "timeout": "2s", **settings}
    return mqtt.Settings.model_validate(given)


def opened(settings: mqtt.Settings) -> AbstractAsyncContextManager[Sink]:
    return mqtt.connect(settings, OUTLET)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[FarEnd]:
    async with mosquitto(tmp_path / "mosquitto") as server:
        yield server
