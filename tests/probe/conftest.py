"""What several of the probes' tests need."""

from pathlib import Path

import pytest

from tests.adapters.modbus_support import build_device


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Modbus device of another make."""
    return build_device(tmp_path_factory.mktemp("device"))
