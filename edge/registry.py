"""Finds the adapter behind a `type`: a file in adapters/, or an installed package's entry point."""

import importlib
from importlib.metadata import entry_points
from importlib.resources import files
from types import ModuleType
from typing import Any, cast

from edge.contract import SinkModule, Source

GROUP = "lineside.adapters"


def types() -> list[str]:
    """Every type that a source or a sink can have."""
    own = [
        entry.name.removesuffix(".py").replace("_", "-")
        for entry in files("adapters").iterdir()
        if entry.name.endswith(".py") and not entry.name.startswith("_")
    ]
    return sorted({*own, *(entry.name for entry in entry_points(group=GROUP))})


def source(name: str) -> Source | None:
    """The source of this type; None where the type is unknown or a sink."""
    module: Any = _module(name)
    return cast("Source", module) if hasattr(module, "collect") else None


def sink(name: str) -> SinkModule | None:
    """The sink of this type; None where the type is unknown or a source."""
    module: Any = _module(name)
    return cast("SinkModule", module) if hasattr(module, "connect") else None


def serial_probe() -> ModuleType:
    """What the adapters know of serial devices that nobody has described yet."""
    return importlib.import_module("adapters._serial_probe")


def opcua_probe() -> ModuleType:
    """What the adapters know of an OPC UA server that nobody has described yet."""
    return importlib.import_module("adapters._opcua.probe")


def modbus_probe() -> ModuleType:
    """What the adapters know of a Modbus line that nobody has described yet."""
    return importlib.import_module("adapters._modbus.probe")


def certificates() -> ModuleType:
    """What `lineside certificate` does, for the sources that have certificates."""
    return importlib.import_module("adapters._opcua.certificates")


def _module(name: str) -> ModuleType | None:
    for entry in entry_points(group=GROUP, name=name):
        loaded: ModuleType = entry.load()
        return loaded
    if name not in types():
        return None
    return importlib.import_module(f"adapters.{name.replace('-', '_')}")
