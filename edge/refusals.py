"""What a far end denies for now while it takes the rest: one topic of many, by its access list."""

from collections.abc import Iterable, Sequence

from edge.contract import Receipt, Record
from edge.journal import Ranges
from edge.plural import counted

Kind = tuple[str, str, str]
"""Station, type and name: what an access list can tell apart."""
SHOWN = 3


class Refusals:
    """By kind: when one of a kind is taken, the others of it may be sent again."""

    def __init__(self) -> None:
        self.seqs = Ranges()
        self._kinds: dict[Kind, Ranges] = {}
        self._reasons: dict[Kind, str] = {}
        self._going: set[Kind] = set()
        """Of which one was acknowledged, and none denied since; looked at while something is denied."""

    def __len__(self) -> int:
        return len(self.seqs)

    def take(self, records: Sequence[Record], receipt: Receipt) -> list[str]:
        """What became of a write. The reasons of kinds that are denied for the first time."""
        refused, acknowledged = receipt.refused, {*receipt.acknowledged}
        settled = {*acknowledged, *receipt.rejected}
        denied: dict[Kind, list[int]] = {}
        new: list[str] = []
        for one in records:
            if one.seq in refused and one.seq not in settled:
                kind = _kind(one)
                if kind not in self._reasons:
                    new.append(refused[one.seq])
                self._reasons[kind] = refused[one.seq]
                denied.setdefault(kind, []).append(one.seq)
        for kind, seqs in denied.items():
            self._kinds.setdefault(kind, Ranges()).add_all(seqs)
            self.seqs.add_all(seqs)
        if self._kinds:
            self._going |= {_kind(one) for one in records if one.seq in acknowledged}
            self._going -= denied.keys()
            for kind in {_kind(one) for one in records if one.seq in settled} & self._kinds.keys():
                if kind not in denied:
                    self._release(kind)
        return new

    def _release(self, kind: Kind) -> None:
        del self._reasons[kind]
        for first, last in self._kinds.pop(kind):
            self.seqs.remove(first, last)
        if not self._kinds:
            self._going.clear()

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
        """Why, for a person, and whether others go out; empty where nothing is denied."""
        if not self._kinds:
            return ""
        reasons = list(dict.fromkeys(self._reasons.values()))
        more = f" and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        why = "; ".join(reasons[:SHOWN])
        said = f"{counted(len(self), 'event')} {'is' if len(self) == 1 else 'are'} denied and kept"
        return f"{said}{', others go out' if self._going else ''}: {why}{more}"


def _kind(record: Record) -> Kind:
    return record.station, record.type, record.name
