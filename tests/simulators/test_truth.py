"""The join of parts and scans, and the reconciliation with what was counted."""

from collections import Counter
from itertools import product
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import DecodeError

from simulators.records import Made, ResultAcked, ResultMade, Scan, TruthFile, read_results, read_truth
from simulators.truth import (
    ByOrder,
    Change,
    Difference,
    Either,
    Key,
    Order,
    Tally,
    Verdict,
    changes,
    judge,
    parts_by_order,
    reconcile,
)

ORDERS = ["A", "B", "C", None]


def part(n: int, from_ms: float, to_ms: float, good: bool = True, station: str = "press") -> Made:
    return Made(n, good, from_ms, to_ms, station)


def scan(label: str, answer: str, sent_ms: float, answered_ms: float | None = None) -> Scan:
    return Scan(label, answer, sent_ms, answered_ms)  # type: ignore[arg-type]


# --- which order a part belongs to ---


def test_a_part_clear_of_every_change_has_one_order() -> None:
    parts = [part(1, 10, 11), part(2, 99, 99.9), part(3, 121, 122, good=False), part(4, 300, 301)]
    joined = parts_by_order(parts, [Change("press", 100, 120, "A"), Change("press", 200, 220, None)])
    assert joined.either == ()
    assert joined.definite == {Key("press", None): Tally(good=3), Key("press", "A"): Tally(scrap=1)}


@pytest.mark.parametrize(("from_ms", "to_ms"), [(90, 100), (100, 100), (105, 106), (120, 130), (90, 130)])
def test_a_part_that_touches_a_change_may_belong_to_either(from_ms: float, to_ms: float) -> None:
    joined = parts_by_order([part(1, from_ms, to_ms)], [Change("press", 100, 120, "A")])
    assert joined.definite == {}
    assert joined.either == (Either("press", 1, True, (None, "A")),)


def test_a_change_to_the_same_order_leaves_no_doubt() -> None:
    both = [Change("press", 0, 1, "A"), Change("press", 100, 120, "A")]
    assert parts_by_order([part(1, 110, 111)], both).definite == {Key("press", "A"): Tally(good=1)}


def test_a_change_that_was_never_confirmed_leaves_both_until_the_next_that_was() -> None:
    lost = [Change("press", 0, 1, "A"), Change("press", 100, inf, "B"), Change("press", 200, 210, "C")]
    joined = parts_by_order([part(1, 50, 50), part(2, 150, 150), part(3, 205, 205), part(4, 211, 211)], lost)
    assert [one.orders for one in joined.either] == [("A", "B"), ("A", "B", "C")]
    assert joined.definite == {Key("press", "A"): Tally(1), Key("press", "C"): Tally(1)}


def test_a_change_at_one_station_is_none_of_another() -> None:
    joined = parts_by_order([part(1, 150, 150, station="packer")], [Change("press", 100, 120, "A")])
    assert joined.definite == {Key("packer", None): Tally(good=1)}


def test_a_change_cannot_be_confirmed_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="before it is sent"):
        Change("press", 10, 9, "A")


# --- scans become changes ---


def test_a_label_sent_until_it_was_confirmed_is_one_change_from_the_first_send() -> None:
    scans = [
        scan("$E1", "confirmed", 1, 2),
        scan("$JA", "none", 10),
        scan("$JA", "none", 13),
        scan("$JA", "confirmed", 16, 17),
        scan("$JA", "confirmed", 20, 21),
    ]
    assert changes("press", scans, {"$JA": "A"}) == [
        Change("press", 10, 17, "A"),
        Change("press", 20, 21, "A"),
    ]


def test_a_refused_label_changes_nothing() -> None:
    scans = [scan("$JA", "refused", 10, 11), scan("$JA", "confirmed", 20, 21), scan("$JB", "refused", 30, 31)]
    assert changes("press", scans, {"$JA": "A", "$JB": "B"}) == [Change("press", 20, 21, "A")]


def test_a_label_given_up_for_another_may_have_taken_effect() -> None:
    scans = [scan("$JA", "none", 10), scan("$JB", "confirmed", 20, 21), scan("$JA", "none", 30)]
    found = changes("press", scans, {"$JA": "A", "$JB": "B"})
    assert found == [
        Change("press", 10, inf, "A"),
        Change("press", 20, 21, "B"),
        Change("press", 30, inf, "A"),
    ]
    joined = parts_by_order([part(1, 15, 15), part(2, 25, 25), part(3, 35, 35)], found)
    assert [one.orders for one in joined.either] == [(None, "A"), ("B", "A")]
    assert joined.definite == {Key("press", "B"): Tally(good=1)}


# --- reconciliation ---

windows = st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 50), st.sampled_from(ORDERS)), max_size=5).map(
    lambda found: [Change("press", sent, sent + took, order) for sent, took, order in found]
)
made_parts = st.lists(st.tuples(st.floats(-10, 1100), st.floats(0, 5), st.booleans()), max_size=30).map(
    lambda found: [part(n, at, at + took, good) for n, (at, took, good) in enumerate(found, 1)]
)


@settings(deadline=None)
@given(made_parts, windows)
def test_every_part_is_in_the_join_once(parts: list[Made], found: list[Change]) -> None:
    joined = parts_by_order(parts, found)
    definite = sum(tally.good + tally.scrap for tally in joined.definite.values())
    assert definite + len(joined.either) == len(parts)
    assert all(len(set(one.orders)) == len(one.orders) >= 2 for one in joined.either)


@settings(deadline=None)
@given(made_parts, windows, st.data())
def test_a_part_has_the_order_that_was_true_at_any_instants_in_the_windows(
    parts: list[Made], found: list[Change], data: st.DataObject
) -> None:
    """Draw when each change and each part truly happened: the join must allow for it."""
    true_changes = sorted(
        ((data.draw(st.floats(one.sent_ms, one.confirmed_ms)), one.order) for one in _disjoint(found)),
        key=lambda pair: pair[0],
    )
    joined = parts_by_order(parts, _disjoint(found))
    counted: Counter[tuple[Key, bool]] = Counter()
    for one in parts:
        at_ms = data.draw(st.floats(one.from_ms, one.to_ms))
        order: Order = None
        for change_ms, new in true_changes:
            if change_ms <= at_ms:
                order = new
        counted[Key("press", order), one.good] += 1
    keys = {key for key, _ in counted}
    tallies = {key: Tally(counted[key, True], counted[key, False]) for key in keys}
    assert reconcile(joined, tallies) == []


def _disjoint(found: list[Change]) -> list[Change]:
    """Those that begin after the one before was confirmed, as at a gun with one hand."""
    kept: list[Change] = []
    for one in sorted(found, key=lambda change: change.sent_ms):
        if not kept or one.sent_ms > kept[-1].confirmed_ms:
            kept.append(one)
    return kept


candidates = st.lists(st.lists(st.sampled_from(ORDERS), min_size=2, max_size=3, unique=True), max_size=5)
tallies = st.dictionaries(st.sampled_from(ORDERS), st.integers(0, 4), max_size=4)


@settings(deadline=None)
@given(tallies, candidates, tallies)
def test_it_agrees_with_trying_every_assignment(
    definite: dict[Order, int], orders: list[list[Order]], counted: dict[Order, int]
) -> None:
    made = ByOrder(
        {Key("press", order): Tally(good=number) for order, number in definite.items()},
        tuple(Either("press", n, True, tuple(one)) for n, one in enumerate(orders)),
    )
    seen = {Key("press", order): Tally(good=number) for order, number in counted.items()}
    differences = reconcile(made, seen)
    wrong = min(
        sum(abs(counted.get(order, 0) - definite.get(order, 0) - given.count(order)) for order in ORDERS)
        for given in product(*orders)
    )
    assert (differences == []) == (wrong == 0)
    assert sum(abs(one.excess) for one in differences) == wrong


def test_good_and_scrap_do_not_make_up_for_each_other() -> None:
    made = ByOrder({Key("press", "A"): Tally(good=5, scrap=1)}, ())
    assert reconcile(made, {Key("press", "A"): Tally(good=6, scrap=0)}) == [
        Difference("press", ("A",), True, 1),
        Difference("press", ("A",), False, -1),
    ]


def test_what_is_wrong_is_named_and_judged() -> None:
    a, b, packer = Key("press", "A"), Key("press", "B"), Key("packer", None)
    made = ByOrder(
        {a: Tally(good=5), b: Tally(good=5), packer: Tally(good=2)},
        (Either("press", 6, True, ("A", "B")),),
    )
    counted = {a: Tally(good=4), b: Tally(good=7), Key("packer", "A"): Tally(scrap=1)}
    differences = reconcile(made, counted)
    assert Difference("press", ("A",), True, -1) in differences
    assert Difference("press", ("B",), True, 1) in differences
    assert judge(differences) == Verdict(lost=2, duplicated=1, misattributed=1)


def test_a_part_in_doubt_that_nobody_counted_is_lost() -> None:
    made = ByOrder({}, (Either("press", 1, True, ("A", "B")),))
    differences = reconcile(made, {})
    assert differences == [Difference("press", ("A", "B"), True, -1)]
    assert judge(differences) == Verdict(lost=1, duplicated=0, misattributed=0)


def test_a_part_is_moved_to_make_room_for_another() -> None:
    made = ByOrder({}, (Either("press", 1, True, ("A", "B")), Either("press", 2, True, ("A", "C"))))
    assert reconcile(made, {Key("press", "A"): Tally(1), Key("press", "B"): Tally(1)}) == []


# --- the files ---


def test_truth_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "press.truth"
    for made in (part(1, 1795400594810.7893, 1795400594810.8), part(2, 3, 4, good=False)):
        file = TruthFile(path)
        file.write(made)
        file.close()
    assert read_truth(path, Made) == [part(1, 1795400594810.7893, 1795400594810.8), part(2, 3, 4, good=False)]
    with pytest.raises(DecodeError):
        read_truth(path, Scan)


def test_a_rigs_truth_holds_results_and_acknowledgements(tmp_path: Path) -> None:
    file = TruthFile(tmp_path / "rig.truth")
    lines = [ResultMade(1, "U-0001", True, 5.5), ResultAcked(1, 6.5, 2)]
    for line in lines:
        file.write(line)
    file.close()
    assert read_results(tmp_path / "rig.truth") == lines


def test_without_a_path_nothing_is_kept() -> None:
    file = TruthFile(None)
    file.write(part(1, 1, 2))
    file.close()
