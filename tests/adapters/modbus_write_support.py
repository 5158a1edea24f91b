"""What the tests of writing to Modbus share."""

from typing import Any

from adapters._modbus.write import Write


def place(**keys: Any) -> Write:
    """Such as `place(holding=100, as_="u32", order="CDAB")`."""
    return Write.model_validate({key.rstrip("_"): value for key, value in keys.items()})
