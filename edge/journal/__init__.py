"""The product's memory: an SQLite file with one writer."""

from edge.journal.begin import SetAside, begin
from edge.journal.integrity import Integrity
from edge.journal.ranges import Ranges
from edge.journal.reader import JournalReader
from edge.journal.store import Journal

__all__ = ["Integrity", "Journal", "JournalReader", "Ranges", "SetAside", "begin"]
