"""What a rig may take for an answer, and when a device that only answers is asked."""

from adapters._frames import Frame


class Answered:
    """What was confirmed last, to know a copy that was sent before the rig could hear it.

    A rig that lost patience sends the same again. Where its copy and the ACK crossed on the wire, a second
    ACK would be taken for that of the next result, before that is on disk.
    """

    MARGIN_S = 0.2

    refused = False
    """What the rig sent before was refused, and not answered for it had said more by then."""

    def __init__(self, baud: int | None) -> None:
        """`baud` of a serial port; over TCP the bytes take no time worth counting."""
        self._byte_s = 11 / baud if baud else 0.0
        self._frame: Frame | None = None
        self._at_s = 0.0

    def confirmed(self, frame: Frame | None, now_s: float) -> None:
        """Of the frame; None: what was answered last was no confirmed result."""
        self._frame, self._at_s = frame, now_s

    def crossed(self, frame: Frame, now_s: float) -> bool:
        """True where this was on its way when the same frame was confirmed. The next copy is answered."""
        transit_s = self.MARGIN_S + len(frame.raw) * self._byte_s
        return frame == self._frame and now_s - self._at_s < transit_s


class Asker:
    """When to ask, and when to give up a device that does not answer. In seconds of a steady clock."""

    TRIES = 3

    def __init__(self, every_s: float, patience_s: float, now_s: float) -> None:
        """`patience_s`: so long an answer may take."""
        self._every_s = every_s
        self._patience_s = patience_s
        self._asked_s = now_s
        self._unanswered = 0
        self.due_s = now_s

    def asked(self, now_s: float) -> None:
        """The next one is due when this was answered, or will never be."""
        self._asked_s = now_s
        self._unanswered += 1
        self.due_s = now_s + max(self._every_s, self._patience_s)

    def heard(self) -> None:
        """Anything at all came."""
        self._unanswered = 0
        self.due_s = min(self.due_s, self._asked_s + self._every_s)

    def is_due(self, now_s: float) -> bool:
        return now_s >= self.due_s

    @property
    def in_vain(self) -> bool:
        """True where the next one would be as useless as those before."""
        return self._unanswered >= self.TRIES
