"""How the units of a line do, for people: in the agent's status, and now and then in the log."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from adapters._modbus.codec import exception_words
from adapters._modbus.counts import Counts, UnitCounts
from adapters._modbus.refusals import Refusals
from adapters._modbus.roll import Roll
from edge.contract import Intake, Tally

log = logging.getLogger("lineside.source")

TELL_EVERY_S = 1.0
LOG_EVERY_S = 3600.0
_UNITS_SAID = 5
_PLACES_SAID = 3


class Missed(Counter[int]):
    """Times at which a unit should have been polled and was not, since the agent started."""


class Teller:
    """Of one connection."""

    def __init__(self, intake: Intake, counts: Counts, roll: Roll, refusals: Refusals, now: float) -> None:
        self._intake = intake
        self._counts = counts
        self._missed = intake.recall(Missed)
        self._roll = roll
        self._refusals = refusals
        self.at = now
        """When there is something to tell."""
        self._log_at = now + LOG_EVERY_S
        self._logged = self._troubles()

    def missed(self, unit: int, slots: int) -> None:
        """So many polls of it were left out, for the line was too slow."""
        self._missed[unit] += slots

    def look(self, now: float) -> None:
        """Called often; does something once a second."""
        if now < self.at:
            return
        self.at = now + TELL_EVERY_S
        self.tell()
        for note in self._counts.notes():
            log.warning("%s: %s", self._intake.name, note)
        if now >= self._log_at:
            self._log_at = now + LOG_EVERY_S
            self._log()

    def tell(self) -> None:
        self._intake.tell([self._tally(unit) for unit in self._roll.units])

    def _tally(self, unit: int) -> Tally:
        counts = self._counts.of(unit)
        state, detail = self._state(unit, counts)
        has_answered = counts.answers > 0
        return Tally(
            f"unit {unit}", state, detail, tuple(self._counted(unit).items()),
            round(counts.last_answer_s * 1000, 1) if has_answered else None,
            round(counts.slowest_answer_s * 1000, 1) if has_answered else None,
        )  # fmt: skip

    def _state(self, unit: int, counts: UnitCounts) -> tuple[str, str]:
        if self._roll.is_lost(unit):
            return "lost", self._roll.why(unit)
        if self._roll.is_busy(unit):
            return "busy", f"unit {unit} says that it is busy"
        if refused := [block for block, _ in self._refusals.alone(unit)]:
            more = f" and {len(refused) - _PLACES_SAID} more" if len(refused) > _PLACES_SAID else ""
            places = ", ".join(f"{block.table} {block.start}" for block in refused[:_PLACES_SAID])
            return "refuses", f"unit {unit} refuses {places}{more}"
        if self._counts.others.is_told and counts.answers:
            return "answers", f"unit {unit} answers, but another master is on this line: have one only"
        return ("answers", "") if counts.answers else ("waits", "")

    # --- the log ----------------------------------------------------------------------------------

    def _troubles(self) -> dict[int, Counter[str]]:
        return {
            unit: Counter(_troubles(self._counts.of(unit), self._missed[unit])) for unit in self._roll.units
        }

    def _counted(self, unit: int) -> dict[str, int]:
        foreign = {"answers to another master": self._counts.others.of_unit[unit]}
        return _counted(self._counts.of(unit), self._missed[unit]) | foreign

    def _log(self) -> None:
        """A sentence where something went wrong in the last hour, of the units that were worst."""
        before, self._logged = self._logged, self._troubles()
        new = {unit: counted - before[unit] for unit, counted in self._logged.items()}
        worst = sorted((unit for unit in new if new[unit]), key=lambda unit: -new[unit].total())
        if worst:
            log.info("%s: in the last hour: %s", self._intake.name, _sentence(worst, new))


def _sentence(worst: Sequence[int], new: Mapping[int, Mapping[str, int]]) -> str:
    said = [
        f"unit {unit}: " + ", ".join(f"{number:,} {name}" for name, number in new[unit].items())
        for unit in worst[:_UNITS_SAID]
    ]
    more = len(worst) - len(said)
    return "; ".join([*said, f"{more} more units with less"] if more else said)


def _counted(counts: UnitCounts, missed: int) -> dict[str, int]:
    return {"requests": counts.requests, "answers": counts.answers} | _troubles(counts, missed)


def _troubles(counts: UnitCounts, missed: int) -> dict[str, int]:
    found = {
        "timeouts": counts.timeouts, "checksum errors": counts.crc_errors,
        "cut answers": counts.cut_answers, "late answers": counts.late_answers,
        "wrong answers": counts.wrong_answers, "answers not believed": counts.doubted,
        "frames that nobody waited for": counts.repeats,
        "stray bytes": counts.stray_bytes, "reconnects": counts.reconnects, "missed slots": missed,
    }  # fmt: skip
    return found | {exception_words(code): number for code, number in sorted(counts.exceptions.items())[:12]}
