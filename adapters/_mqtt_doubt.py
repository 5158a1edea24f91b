"""When a broker is believed that says it will never take an event. Decisions without I/O.

One that is set up wrongly, with a schema that fits nothing or a plug-in that is broken, says so of all that
it gets; when it has been put right, all of it is wanted. So it is believed of an event only where it takes
others afterwards.
"""

from dataclasses import dataclass, field

from adapters._mqtt_messages import Flight

MOST = 10_000
"""Events that are remembered as doubtful; of more it is found out when they are sent again."""
ADVICE = "it has taken no other event since, so the fault may be the broker's: look into its log"


@dataclass(slots=True)
class Doubts:
    _doubted: set[int] = field(default_factory=set)
    """seq of what was rejected while nothing went through afterwards."""
    _proven: set[int] = field(default_factory=set)
    """seq of what was rejected before others went through: if it is rejected once more, that is believed."""

    def judge(self, flight: Flight) -> None:
        """Leave among the rejected what is believed; the others may be taken another time."""
        if flight.proof:
            self._proven = {*self._doubted, *(self._proven if len(self._proven) < MOST else ())}
            self._doubted = set()
        self._proven.difference_update(flight.acknowledged)
        for seq, words in list(flight.rejected.items())[flight.sure :]:
            if seq in self._proven:
                self._proven.discard(seq)
                continue
            flight.refused[seq] = f"{words}; {ADVICE}"
            del flight.rejected[seq]
            if len(self._doubted) < MOST:
                self._doubted.add(seq)
