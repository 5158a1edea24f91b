"""Records that a sink cannot be given: found by halving, so that the others go out."""

import logging
from collections.abc import Sequence

from msgspec import DecodeError, Raw, json

from edge.contract import Receipt, Record, Sink
from edge.errors import JournalError, SinkError
from edge.journal import JournalReader

log = logging.getLogger("lineside.sink")

MOST = 8
"""So many records may fail one after the other before anything else goes through: then it is the adapter."""

_skip = json.Decoder(Raw).decode


def damage(record: Record) -> str:
    """Why a record as it lies in the journal cannot be sent; empty where it can."""
    for part in (record.body, record.owner):
        try:
            part.decode()
            _skip(part)
        except (UnicodeDecodeError, DecodeError) as error:
            return f"it is damaged in the journal: {error}"
    return ""


def reason_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Search:
    """Of one sink."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._suspect: tuple[int, int] | None = None
        """The record that failed alone, and how many the sink had taken before."""

    def read(
        self, reader: JournalReader, first: int, last: int, limit: int
    ) -> tuple[Sequence[Record], dict[int, str], int]:
        """Records of a range, the reasons of those that cannot be read, and up to where it has looked.

        Raises JournalError.
        """
        try:
            return reader.records(first, last, limit), {}, last
        except JournalError:
            raise
        except Exception:  # one row with a flipped bit must not hold up all others
            log.exception("%s: a record cannot be read; it is searched for", self._name)
        found: list[Record] = []
        bad: dict[int, str] = {}
        last = min(last, first + limit - 1)
        for seq in range(first, last + 1):
            try:
                found += reader.records(seq, seq, 1)
            except JournalError:
                raise
            except Exception as error:
                bad[seq] = f"it is damaged in the journal: {reason_of(error)}"
        return found, bad, last

    async def write(self, sink: Sink, records: Sequence[Record], taken: int) -> Receipt:
        """As the sink does it. A record over which it fails is rejected, if others go through.

        `taken`: how many it has taken since the agent's start. Raises what the sink raises.
        """
        try:
            return await sink.write(records)
        except (SinkError, JournalError):
            raise
        except Exception as error:
            log.exception("%s: a bug in its adapter, or a damaged record; it is searched for", self._name)
            return await self._halve(sink, records, taken, error)

    async def _halve(self, sink: Sink, records: Sequence[Record], taken: int, error: Exception) -> Receipt:
        acknowledged: list[int] = []
        rejected: dict[int, str] = {}
        refused: dict[int, str] = {}
        bad: dict[int, str] = {}
        parts = [records]  # once more as it was: not every fault is a record's
        while parts and (acknowledged or len(bad) < MOST):
            part = parts.pop()
            try:
                receipt = await sink.write(part)
            except (SinkError, JournalError):
                if not acknowledged:
                    raise
                break
            except Exception as fault:
                parts += _halves(part) if len(part) > 1 else []
                bad |= {one.seq: reason_of(fault) for one in part if len(part) == 1}
                continue
            acknowledged += receipt.acknowledged
            rejected |= receipt.rejected
            refused |= receipt.refused
        if bad and not acknowledged and not self._is_known(bad, taken):
            raise error
        return Receipt(acknowledged, rejected | bad, refused)

    def _is_known(self, bad: dict[int, str], taken: int) -> bool:
        """Whether it is the same record as before, and others have gone through since then."""
        first = min(bad, default=0)
        if len(bad) == 1 and self._suspect is not None and self._suspect[0] == first:
            return taken > self._suspect[1]
        self._suspect = (first, taken)
        return False


def _halves(records: Sequence[Record]) -> list[Sequence[Record]]:
    """The first one last."""
    middle = len(records) // 2
    return [records[middle:], records[:middle]]
