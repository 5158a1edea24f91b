"""What a demo is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """See `lineside demo --help`."""

    for_s: float = 120.0
    """How long parts are made."""
    seed: int = 1
    rate: float | None = None
    """Parts a second at every machine; None: what config/demo.toml says."""
    kills: int = 0
    """How often the agent is killed with -9 on the way."""
    json: bool = False
    mqtt: str | None = None
    """A running broker; None: one of our own, where mosquitto is installed."""
    influx: str | None = None
    """A running database; None: one of our own, where victoria-metrics is installed."""
    keep: bool = False
    """Keep the folder with configuration, journal, logs and ground truth."""
