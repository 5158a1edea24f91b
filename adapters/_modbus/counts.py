"""What happened on a line, counted for each unit; it outlives the connections."""

from dataclasses import dataclass, field

from adapters._modbus.frames import Question
from adapters._modbus.gateway import Gateway
from adapters._modbus.others import CURE, Others


@dataclass(slots=True)
class UnitCounts:
    """Of one unit, since the agent started."""

    requests: int = 0
    """All that went out, also those that the wire repeated by itself."""
    answers: int = 0
    """Answers that were taken, exceptions among them."""
    timeouts: int = 0
    """Requests that nothing came for."""
    crc_errors: int = 0
    """Serial: requests that as many bytes came for as an answer has, and no right checksum."""
    cut_answers: int = 0
    """Serial: requests that fewer bytes came for than an answer has."""
    wrong_answers: int = 0
    """Answers that were to something else, or have the wrong form."""
    repeats: int = 0
    """Serial: whole frames that nobody was waiting for."""
    doubted: int = 0
    """Serial: answers that were not believed, for they could have been to another master."""
    stray_bytes: int = 0
    """Bytes that were no answer; told of the unit that was asked last."""
    reconnects: int = 0
    """Connections made anew while this unit was asked."""
    late_answers: int = 0
    """TCP: answers that came after the timeout, and were told apart by that."""
    late_s: float = 0.0
    """From the request to the end of the last of them."""
    exceptions: dict[int, int] = field(default_factory=dict)
    """How often each exception code came."""
    last_answer_s: float = 0.0
    """From the request to the end of its answer."""
    slowest_answer_s: float = 0.0

    def answered(self, after_s: float) -> None:
        """Note an answer."""
        self.answers += 1
        self.last_answer_s = after_s
        self.slowest_answer_s = max(self.slowest_answer_s, after_s)

    def late(self, after_s: float) -> None:
        """Note an answer that came too late."""
        self.late_answers += 1
        self.late_s = after_s

    def refused(self, code: int) -> None:
        """Note an exception, which was noted as an answer already."""
        self.exceptions[code] = self.exceptions.get(code, 0) + 1


class Counts:
    """The counts of a line, and what a person should be told of it."""

    def __init__(self) -> None:
        self.units: dict[int, UnitCounts] = {}
        self.silent = 0
        """TCP: connections in a row that were made, and on which nothing was ever answered."""
        self.unanswered: dict[int, Question] = {}
        """TCP: the last read of each unit that nothing came for."""
        self.gateway = Gateway()
        """TCP: what is known of how long the far end takes for a unit that is dead."""
        self.babbles = False
        """Serial: the line was never silent, and has not been heard to be silent since."""
        self.others = Others()
        """Serial: frames of another master."""
        self._told: set[str] = set()
        self._notes: list[str] = []

    def of(self, unit: int) -> UnitCounts:
        """The counts of a unit, from its first request on."""
        counts = self.units.get(unit)
        if counts is None:
            counts = self.units[unit] = UnitCounts()
        return counts

    def note(self, words: str) -> None:
        """Have a sentence told, once."""
        if words not in self._told:
            self._told.add(words)
            self._notes.append(words)

    def notes(self) -> list[str]:
        """The sentences that were not told yet."""
        if self.others.is_told:
            self.note(CURE)
        notes, self._notes = self._notes, []
        return notes
