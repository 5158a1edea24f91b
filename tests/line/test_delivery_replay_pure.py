"""What is kept for a replay, without a far end."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SinkLost
from edge.journal import Ranges
from edge.lately import PIECES, SPANS, Lately
from tests.line.delivery_replay_support import WINDOW, run_line, times
from tests.support.delivering import Bench, HandSink, caught_up


@given(st.lists(st.tuples(times, st.sets(st.integers(1, 400), max_size=30))))
def test_what_is_younger_than_the_window_is_always_held(acks: Sequence[tuple[float, set[int]]]) -> None:
    lately, window_s = Lately(15.0), 15.0
    acks = sorted(acks, key=lambda one: one[0])
    for at_s, numbers in acks:
        lately.add(at_s, numbers)
        lately.alive(at_s)
    held, end_s = lately.since(), acks[-1][0] if acks else 0.0
    young = {seq for at_s, numbers in acks if at_s >= end_s - window_s for seq in numbers}
    assert young <= set(_numbers(held))
    assert len(list(lately)) <= (SPANS + 2) * PIECES
    back = Lately(window_s)
    for at_s, begun_s, first, last in lately:
        back.put_back(at_s + 1e-6, begun_s + 1e-6, first, last)
    assert list(back.since()) == list(held), "as it lies on disk"


def test_what_was_acknowledged_long_ago_goes() -> None:
    lately = Lately(15.0)
    lately.add(0.0, [1, 2])
    lately.add(9.0, [7])
    lately.alive(20.0)
    assert list(lately.since()) == [(7, 7)]
    assert list(lately.since(12.0)) == []


@given(st.floats(0.5, 14), st.floats(1_000, 1e7))
def test_what_is_acknowledged_again_and_again_is_young_for_so_long_and_no_longer(
    every_s: float, begin_s: float
) -> None:
    lately, now_s, held_s = Lately(15.0, renewed_s=300.0), begin_s, 0.0
    while now_s < begin_s + 400:
        if now_s == begin_s or 7 in lately.since():
            lately.add(now_s, [7])
        lately.alive(now_s)
        held_s = now_s - begin_s if 7 in lately.since() else held_s
        now_s += every_s
    assert 300 <= held_s + every_s <= 300 + 15 + 17 + 15


def test_how_old_it_is_holds_over_a_restart_and_while_it_waits() -> None:
    lately = Lately(15.0, renewed_s=300.0)
    for now_s in range(1_000, 1_300, 10):
        back = Lately(15.0, renewed_s=300.0)
        for row in lately:
            back.put_back(*row)
        lately = back
        lately.add(now_s, [7])
        lately.alive(now_s)
    lately.alive(1_320.0, [(7, 7)])
    assert next(iter(lately))[1] <= 1_000
    lately.add(1_340.0, [7])
    lately.alive(1_340.0)
    assert not lately.since(), "it stays as old as it is"


def test_a_span_in_pieces_is_bounded() -> None:
    lately = Lately(15.0)
    lately.add(0.0, range(1, 10_000, 2))
    assert [(first, last) for _, _, first, last in lately] == [(1, 9_999)]


def _numbers(ranges: Ranges) -> list[int]:
    return [seq for first, last in ranges for seq in range(first, last + 1)]


@pytest.mark.parametrize("window", [timedelta(milliseconds=1), WINDOW])
def test_a_far_end_that_never_was_there_is_asked_for_nothing(tmp_path: Path, window: timedelta) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink(refuses=SinkLost("hand", "no route"))
        async with bench.delivering(sink, replay=window) as delivery:
            await bench.happen(4)
            while sink.connections < 3:
                await asyncio.sleep(0.1)
            sink.refuses = None
            await sink.until(lambda: bool(sink.writes))
            await caught_up(delivery, sink)
        assert sink.seqs() == [1, 2, 3, 4]

    run_line(tmp_path / "journal.db", runs)
