"""What each source has to do for the file, as its adapter sees it before anything runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from edge.config.faults import Faults
from edge.config.stations import Signals, Sources
from edge.contract import Output, Survey, Target


def survey_sources(
    sources: Sources,
    signals: Signals,
    outputs: Mapping[str, Sequence[Output[Any]]],
    targets: Mapping[str, Sequence[Target[Any]]],
    faults: Faults,
) -> dict[str, Survey]:
    """By source; what cannot be done becomes a fault of the file.

    It is asked also where the file has other faults: what is missing by them would only make it more.
    """
    found: dict[str, Survey] = {}
    for name, (module, settings) in sources.items():
        ask = getattr(module, "survey", None)
        if ask is None or settings is None:
            continue
        survey: Survey = ask(settings, signals.get(name, ()), outputs.get(name, ()), targets.get(name, ()))
        found[name] = survey
        for one in survey.faults:
            key = _key(one.signal) if one.signal else f"source.{name}" + (f".{one.key}" if one.key else "")
            faults.add(key, one.what, one.hint)
    return found


def _key(signal: str) -> str:
    """Where a signal is written."""
    if "/" in signal:  # telemetry/TABLE/NAME
        return signal.replace("/", ".")
    station, _, role = signal.rpartition(".")
    return f"station[{station}].{role}"
