"""The collector: from what was seen on a wire to events on disk and on their way out."""

__version__ = "0.1.0"
