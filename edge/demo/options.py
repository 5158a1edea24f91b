"""What a demo is asked for."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from edge.errors import DemoFailed

SHORTEST_S = 5.0
"""The script does not fit into less: each scan is answered, a changeover reads the counters."""


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


def check(options: DemoOptions) -> None:
    """Raises DemoFailed where an address cannot be one."""
    if options.mqtt is not None and not _is_server(options.mqtt, "mqtt"):
        raise DemoFailed(f"--mqtt: {options.mqtt!r} is not a broker; write mqtt://HOST:PORT")
    if options.influx is not None and not _is_server(options.influx, "http", "https"):
        raise DemoFailed(f"--influx: {options.influx!r} is not a database; write http://HOST:PORT")


def _is_server(url: str, *schemes: str) -> bool:
    """A scheme, a host, perhaps a port, and nothing else."""
    try:
        parts = urlsplit(url)
        whole = url == f"{parts.scheme}://{parts.netloc}" and parts.username is None
        return whole and parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
