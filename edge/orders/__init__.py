"""Work orders from outside: files of them, and the folder that is watched. Its page is orders.md."""

from edge.orders.files import LARGEST, Parsed, Row, RowFault, parse, read_file
from edge.orders.folder import watch
from edge.orders.intake import Entry, Intake, Taken, take_in

__all__ = [
    "LARGEST", "Entry", "Intake", "Parsed", "Row", "RowFault", "Taken", "parse", "read_file", "take_in",
    "watch",
]  # fmt: skip
