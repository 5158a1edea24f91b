"""One TOML file describes one line; it is read once, into frozen models."""

from edge.config.load import LineConfig, SinkConfig, SourceConfig, load

__all__ = ["LineConfig", "SinkConfig", "SourceConfig", "load"]
