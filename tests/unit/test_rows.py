"""Rows of the journal's state: what is written is what is read, and what is not a row is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import DecodeError
from msgspec.structs import replace

from edge.observation import WorkOrder
from edge.production.baselines import Counter, Earlier, Former, Suspect
from edge.production.beside import Frame, Mount, Rig, Slice, View
from edge.production.context import NO_CONTEXT, Context
from edge.production.edges import Edge
from edge.production.line import Role
from edge.production.scanned import LastScan, Noun
from edge.production.state import (
    Job,
    Left,
    LineRow,
    Row,
    Run,
    Slot,
    Station,
    Undo,
    Unit,
    decode_row,
    encode_row,
)
from edge.production.totals import Totals, counted

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe = st.none() | texts
counts = st.integers(0, (1 << 64) - 1)
signed = st.integers(-(1 << 62), 1 << 62)
contexts = st.builds(Context, maybe, st.none() | counts, maybe, maybe, maybe, maybe, maybe)
totals = st.builds(Totals, *[signed] * 12)
moments = st.integers(0, 1 << 45)
runs = st.builds(
    Run, texts, texts, texts, st.none() | counts, moments, counts, totals=totals, before=totals,
    cycles=counts, cycles_s=st.floats(0, 1e9), reasons=st.dictionaries(texts, counts, max_size=3),
)  # fmt: skip
edges = st.builds(Edge, moments, moments, texts, st.booleans())
nouns = st.builds(Noun, texts, texts, moments, texts, texts)
ids = st.tuples(texts, st.none() | counts)
jobs = st.builds(
    Job, texts, st.none() | counts, texts, texts, st.lists(texts).map(tuple),
    totals=st.dictionaries(texts, totals, max_size=3), aside=st.dictionaries(texts, totals, max_size=3),
)  # fmt: skip
slots = st.lists(st.builds(Slot, contexts, runs), max_size=2).map(tuple)
undone = st.builds(
    Undo, texts, maybe, moments, moments, texts, contexts, st.none() | runs, slots,
    jobs=st.dictionaries(texts, jobs, max_size=2), booked=st.none() | st.tuples(texts, counts, texts),
)  # fmt: skip
stations = st.builds(
    Station, context=contexts, run=st.none() | runs, others=slots, unassigned=totals, held=counts,
    loose=st.none() | runs, left=st.none() | st.builds(Left, ids, edges), undo=st.none() | undone,
    mounted=st.dictionaries(texts, st.builds(Mount, texts, st.dictionaries(texts, counts)), max_size=2),
    last_job=st.none() | ids, state=maybe, state_at_ms=moments, state_mono_ms=moments, state_boot=texts,
    edge=st.none() | edges, last_cycle_s=st.none() | st.floats(0, 1e9), noun=st.none() | nouns,
    last_scan=st.none() | st.builds(LastScan, texts, moments, texts), said=texts,
    bad_signals=st.dictionaries(texts, texts, max_size=3),
)  # fmt: skip
counters = st.builds(
    Counter, counts, moments, moments, moments, texts, contexts, st.lists(contexts, max_size=2).map(tuple),
    stale=st.booleans(), suspect=st.none() | st.builds(Suspect, counts, st.integers(1, 3), moments),
    former=st.none() | st.builds(Former, counts, moments, moments, texts, st.booleans(), contexts, counts),
    earlier=st.none() | st.builds(Earlier, contexts, st.just(()), moments), synced=st.booleans(),
)  # fmt: skip
rows: st.SearchStrategy[Row] = st.one_of(
    counters, stations, jobs, runs,
    st.builds(Unit, texts, texts, st.none() | ids, tests=st.dictionaries(texts, st.booleans(), max_size=3)),
    st.builds(
        Rig, st.lists(st.builds(Frame, texts, moments, moments, texts), max_size=5).map(tuple), st.booleans()
    ),
    st.builds(View, st.lists(st.builds(Slice, contexts, totals, counts), max_size=3).map(tuple)),
    st.builds(WorkOrder, texts, texts, counts, maybe, maybe, st.lists(counts, max_size=3).map(tuple)),
    st.builds(LineRow, counts, counts, st.dictionaries(texts, moments, max_size=3)),
)  # fmt: skip


@given(rows)
def test_a_row_comes_back_as_it_was(row: Row) -> None:
    assert decode_row(encode_row(row)) == row


@given(rows)
def test_a_row_is_always_written_the_same(row: Row) -> None:
    assert encode_row(decode_row(encode_row(row))) == encode_row(row)


@given(
    st.binary(max_size=60)
    | st.sampled_from([b"", b"null", b"[]", b'{"type":"nothing"}', b'{"type":"counter"}'])
)
def test_what_is_no_row_is_refused_by_one_error(body: bytes) -> None:
    with pytest.raises((DecodeError, UnicodeDecodeError)):
        decode_row(body)


RUNS = [
    NO_CONTEXT,
    Context("WO-1", 10, "r1", "P7", "C"),
    Context("WO-1", 10, "r2", "P7", "C"),
    Context("WO-2", None, "r3", "P8"),
]
"""A run pins its order, operation, item and revision."""

pinned = st.builds(
    replace,
    st.sampled_from(RUNS),
    batch=st.sampled_from([None, "L1"]),
    operator=st.sampled_from([None, "4711", "4712"]),
)


@given(pinned, pinned, pinned)
def test_what_is_certain_never_grows(one: Context, other: Context, third: Context) -> None:
    both = one.common(other)
    assert one.common(one) == one
    assert both == other.common(one) == both.common(one) == both.common(both)
    assert both.common(third) == one.common(other.common(third))
    for name in Context.__struct_fields__:
        assert getattr(both, name) in (None, getattr(one, name))


def test_two_runs_of_one_order_are_two_answers() -> None:
    first = Context("WO-1", 10, "r1", "P7", "C", "L1", "4711")
    assert first.common(replace(first, run="r2")) == Context(batch="L1", operator="4711")
    assert first.common(NO_CONTEXT) == NO_CONTEXT


@given(totals, totals)
def test_totals_add_up_by_role(one: Totals, other: Totals) -> None:
    both = one.and_(other)
    assert [both.of(role) for role in Role] == [one.of(role) + other.of(role) for role in Role]
    assert both.booked == one.booked + other.booked


TEN = counted("total", 10)


@pytest.mark.parametrize(
    ("made", "good", "scrap"),
    [
        (Totals(), 0, 0),
        (TEN, 10, 0),
        (TEN.and_(counted("reject", 2, of_total=True)), 8, 2),
        (TEN.and_(counted("reject", 2, of_total=True)).and_(Totals(booked=1)), 7, 3),
        (counted("good", 8).and_(counted("reject", 2)), 8, 2),
        (counted("good", 8).and_(counted("reject", 2)).and_(Totals(booked=1)), 7, 3),
        (counted("reject", 1, of_total=True), -1, 1),
        (TEN.and_(Totals(rework=3)), 7, 0),
    ],
)
def test_good_and_scrap(made: Totals, good: int, scrap: int) -> None:
    """PQ = GQ + SQ, whichever two of the three the station counts."""
    assert (made.good_parts, made.scrap_parts) == (good, scrap)
    assert made.good_parts + made.scrap_parts + made.rework == made.produced
