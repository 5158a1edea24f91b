"""What a far end denies for now while it takes the rest: one topic of many, by its access list."""

from collections.abc import Iterable, Mapping, Sequence

from edge.contract import Record
from edge.journal import Ranges

Kind = tuple[str, str, str]
"""Station, type and name: what an access list can tell apart."""
SHOWN = 3


class Refusals:
    """By kind: when one of a kind is taken, the others of it may be sent again."""

    def __init__(self) -> None:
        self.seqs = Ranges()
        self._kinds: dict[Kind, Ranges] = {}
        self._reasons: dict[Kind, str] = {}

    def __len__(self) -> int:
        return len(self.seqs)

    def take(self, records: Sequence[Record], settled: set[int], refused: Mapping[int, str]) -> list[str]:
        """What became of a write. The reasons of kinds that are denied for the first time."""
        denied: dict[Kind, list[int]] = {}
        new: list[str] = []
        for one in records:
            if one.seq in refused and one.seq not in settled:
                kind = (one.station, one.type, one.name)
                if kind not in self._reasons:
                    new.append(refused[one.seq])
                self._reasons[kind] = refused[one.seq]
                denied.setdefault(kind, []).append(one.seq)
        for kind, seqs in denied.items():
            self._kinds.setdefault(kind, Ranges()).add_all(seqs)
            self.seqs.add_all(seqs)
        if self._kinds:
            taken = {(one.station, one.type, one.name) for one in records if one.seq in settled}
            for kind in taken & self._kinds.keys():
                if kind not in denied:
                    self._release(kind)
        return new

    def _release(self, kind: Kind) -> None:
        del self._reasons[kind]
        for first, last in self._kinds.pop(kind):
            self.seqs.remove(first, last)

    def forget(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are no longer waited for, or are something else now."""
        for first, last in ranges:
            self.seqs.remove(first, last)
            for seqs in self._kinds.values():
                seqs.remove(first, last)
        for kind in [kind for kind, seqs in self._kinds.items() if not seqs]:
            self._release(kind)

    def oldest(self) -> list[int]:
        """One of each kind, to try whether it is still denied; ascending."""
        return sorted(next(iter(seqs))[0] for seqs in self._kinds.values())

    def words(self) -> str:
        """Why, for a person; empty where nothing is denied."""
        if not self._kinds:
            return ""
        reasons = list(dict.fromkeys(self._reasons.values()))
        more = f" and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        why = "; ".join(reasons[:SHOWN])
        return f"{len(self)} events are denied and kept, the others go out: {why}{more}"
