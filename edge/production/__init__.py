"""The pure core: what observations mean. No await, no I/O, no clock; imports only `observation`."""

from edge.production.decide import Decision, decide, needs
from edge.production.line import Line

__all__ = ["Decision", "Line", "decide", "needs"]
