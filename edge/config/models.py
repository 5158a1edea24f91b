"""`model = "packml"` at a station: the signals that its source knows of such a machine, as if written."""

from collections.abc import Mapping
from typing import Any

from edge import registry
from edge.config.faults import Faults, nearest
from edge.contract import SignalAddress, Source, SourceSettings

ROLES = ("total", "good", "reject", "state", "mode")
"""Keys of a station that are signals."""
_WITH_MODEL = ("source", "machine", "without")


def with_model(
    station: str,
    written: Mapping[str, Any],
    sources: Mapping[str, tuple[Source, SourceSettings | None]],
    faults: Faults,
) -> Mapping[str, Any]:
    """The station's table with the signals of its model.

    A signal that names its own source stands as it is; any other adds to the model's, or overrides its keys.
    """
    where, model = f"station[{station}]", written.get("model")
    if not isinstance(model, str):
        for key in _WITH_MODEL:
            if key in written and "model" not in written:
                faults.add(f"{where}.{key}", "does nothing without model", 'such as model = "packml"')
        return written
    found = _tables(where, model, written.get("source"), sources, faults)
    if found is None:
        return {key: value for key, value in written.items() if not _is_part(key, value)}
    without = written.get("without")
    left_out = {str(one) for one in without} if isinstance(without, list) else set()
    if "good" in written:  # it counts total and reject, or good and reject
        left_out.add("total")
    tables = {role: keys for role, keys in found.items() if role not in left_out}
    common = {key: written[key] for key in ("source", "machine") if key in written}
    own = {key: _joined(key, value, tables, common) for key, value in written.items()}
    return {role: common | dict(keys) for role, keys in tables.items()} | own


def _is_part(key: str, value: object) -> bool:
    """A signal that would have its source from the model: what is wrong is told of the model already."""
    return key in ROLES and isinstance(value, dict) and "source" not in value


def _joined(
    key: str, value: object, tables: Mapping[str, Mapping[str, object]], common: Mapping[str, object]
) -> object:
    if key in tables and isinstance(value, dict) and "source" not in value:
        return {**common, **tables[key], **value}
    return value


def _tables(
    where: str,
    model: str,
    source: object,
    sources: Mapping[str, tuple[Source, SourceSettings | None]],
    faults: Faults,
) -> Mapping[str, Mapping[str, object]] | None:
    if not isinstance(source, str):
        faults.add(f"{where}.source", "is missing: what is the machine of this model read from?")
        return None
    if source not in sources:  # a source of an unknown type is told where it stands
        faults.add(f"{where}.source", f"names no source: {source!r}", nearest(source, sources))
        return None
    address = sources[source][0].Address
    found = address.modelled(model) if address is not None else None
    if found is None:
        faults.add(f"{where}.model", f'"{model}" is no model that source "{source}" knows', _known(address))
    return found


def _known(address: type[SignalAddress] | None) -> str:
    """The models of this kind of source, or the kinds of sources that have any."""
    models = address.models() if address is not None else ()
    if models:
        return f"valid: {', '.join(models)}"
    found = {one: registry.source(one) for one in registry.types()}
    others = [name for name, one in found.items() if one and one.Address and one.Address.models()]
    return f"sources with models are of type {', '.join(others)}"
