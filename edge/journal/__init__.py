"""The product's memory: an SQLite file with one writer."""

from edge.journal.ranges import Ranges
from edge.journal.reader import JournalReader
from edge.journal.store import Journal

__all__ = ["Journal", "JournalReader", "Ranges"]
