"""Lengths as names: which request may be asked how, and which answers are doubtful."""

from itertools import pairwise

import pytest

from adapters._modbus.names import CLEAN, Names, Read, Trust
from adapters._modbus.plan import Block, Limits
from tests.adapters.modbus_talk import block


def names(gap: int = 8, most: int = 100) -> Names:
    return Names(Limits(most, gap), lambda unit: 1.0, lambda unit: 0.8)


def ask(of: Names, at: Block, now: float, pdu: bytes | None = None) -> Read:
    read = of.choose(at, now)
    of.asked(at, read, now)
    said = bytes((3, read.size)) + bytes(read.size) if pdu is None else pdu
    of.answered(at, read, said, now, 0.01)
    return read


def trusted(gap: int = 8) -> Names:
    of = names(gap)
    for at in range(CLEAN):
        ask(of, block(900, 20), 10.0 + at)
    assert of.trust is Trust.TRUSTED
    return of


def test_requests_that_differ_in_the_address_only_get_lengths_of_their_own() -> None:
    of, now = trusted(), 10_000.0
    for turn in range(50):
        sizes = [ask(of, block(start), now + turn * 0.1).size for start in (10, 30, 50, 70)]
        assert len(set(sizes)) == 4
    assert max(sizes) <= 16, "and no longer ones than that takes"


@pytest.mark.parametrize("state", ["new", "wary"])
def test_a_request_differs_from_its_last_time_on_a_line_that_is_not_trusted(state: str) -> None:
    of = names()
    if state == "wary":
        of.repeated()
    sizes = [ask(of, block(10), 1.0 + turn * 0.1).size for turn in range(30)]
    assert all(one != other for one, other in pairwise(sizes))


def test_a_request_whose_last_answer_is_long_ago_is_a_plain_one() -> None:
    of = names()
    of.repeated()
    assert {ask(of, block(10), 1.0 + 2.0 * turn).count for turn in range(30)} == {1}


def test_where_frames_are_repeated_no_name_comes_again_while_its_answer_may() -> None:
    of = names()
    of.repeated()
    now, last = 1.0, dict[tuple[int, int], float]()
    for turn in range(100):
        start = 10 + 20 * (turn % 2)
        read = of.choose(block(start), now)
        now += read.wait_s
        assert all(now - at > 0.799 for (size, _), at in last.items() if size == read.size)
        last[read.size, start] = now
        of.asked(block(start), read, now)
        of.answered(block(start), read, bytes((3, read.size)) + bytes(read.size), now, 0.01)
        now += 0.01


def test_blocks_share_the_names() -> None:
    of = names()
    of.repeated()
    for turn in range(20):
        sizes = [ask(of, block(10 * at), 1.0 + turn * 0.2).size for at in range(17)]
    assert len(set(sizes)) == 17


def test_on_a_trusted_line_a_request_differs_from_its_last_time_only() -> None:
    of = trusted()
    counts = [ask(of, block(10), 10_000.0 + at * 0.1).count for at in range(30)]
    assert counts == [1, 2] * 15


def test_trust_is_lost_at_the_first_frame_too_many() -> None:
    of = trusted()
    of.repeated()
    assert of.trust is Trust.WARY


def test_bits_are_named_by_bytes() -> None:
    of, now = trusted(), 10_000.0
    one = ask(of, block(0, 12, table="coil"), now, b"\1\2\0\0")
    other = of.choose(block(100, 12, table="coil"), now)
    assert (one.count, one.size) == (12, 2)
    assert (other.count, other.size) == (17, 3)


@pytest.mark.parametrize(
    ("start", "count", "most", "gap"), [(65_535, 1, 100, 8), (10, 100, 100, 8), (10, 1, 100, 0)]
)
def test_nothing_is_read_beyond_the_limits(start: int, count: int, most: int, gap: int) -> None:
    of = names(gap, most)
    assert {ask(of, block(start, count), at * 0.1).count for at in range(1, 20)} == {count}


def test_where_no_name_is_left_time_parts_the_requests() -> None:
    of = trusted(gap=0)
    of.repeated()
    ask(of, block(10), 10_000.0)
    assert of.choose(block(30), 10_000.3).wait_s == pytest.approx(0.5)
    assert of.choose(block(30), 10_001.1).wait_s == 0
    assert of.choose(block(10), 10_000.3).wait_s == 0


def test_on_another_line_the_answer_has_to_be_the_only_one() -> None:
    of = trusted(gap=0)
    ask(of, block(10), 10_000.0)
    read = of.choose(block(30), 10_000.0)
    assert (read.wait_s, read.is_alone) == (0, False)
    assert of.second_answer_s(1) == pytest.approx(0.02)
    assert of.choose(block(30), 10_001.1).is_alone


def test_what_another_said_is_doubtful_where_it_is_news() -> None:
    of, now = trusted(gap=0), 10_000.0
    ask(of, block(10), now, b"\3\2\0\5")
    ask(of, block(30), now + 0.1, b"\3\2\0\6")
    read = of.choose(block(30), now + 0.2)
    assert of.is_doubtful(block(30), read, b"\3\2\0\5", now + 0.2)
    assert not of.is_doubtful(block(30), read, b"\3\2\0\6", now + 0.2)
    assert not of.is_doubtful(block(30), read, b"\3\2\0\7", now + 0.2)
    assert not of.is_doubtful(block(30), read, b"\3\2\0\5", now + 1.2)


def test_zeros_everywhere_are_believed_after_the_first() -> None:
    of, now = trusted(gap=0), 10_000.0
    ask(of, block(10), now, b"\3\2\0\0")
    read = of.choose(block(30), now)
    assert of.is_doubtful(block(30), read, b"\3\2\0\0", now)
    ask(of, block(30), now, b"\3\2\0\0")
    assert not of.is_doubtful(block(30), read, b"\3\2\0\0", now)


def test_what_was_said_before_is_doubtful_on_a_line_that_is_not_trusted() -> None:
    of = names(gap=0)
    for at, said in enumerate((5, 6, 7)):
        ask(of, block(10), 1 + at * 0.1, bytes((3, 2, 0, said)))
    read = of.choose(block(10), 1.3)
    assert of.is_doubtful(block(10), read, b"\3\2\0\5", 1.3)
    assert not of.is_doubtful(block(10), read, b"\3\2\0\7", 1.3)
    assert not of.is_doubtful(block(10), read, b"\3\2\0\x08", 1.3)


def test_what_was_said_some_time_ago_is_doubtful_on_every_line() -> None:
    of, now = trusted(), 10_000.0
    for at, said in enumerate((5, 6, 7)):
        ask(of, block(10), now + at * 0.1, bytes((3, 2, 0, said)))
    read = of.choose(block(10), now + 0.3)
    assert of.is_doubtful(block(10), read, b"\3\2\0\6", now + 0.3)
    assert not of.is_doubtful(block(10), read, b"\3\2\0\7", now + 0.3)
    assert not of.is_doubtful(block(10), read, b"\3\2\0\6", now + 2.0)


def test_all_that_another_said_is_doubtful_and_not_only_its_last_word() -> None:
    of, now = trusted(gap=0), 10_000.0
    for at, said in enumerate((5, 6, 7)):
        ask(of, block(10), now + at * 0.1, bytes((3, 2, 0, said)))
    ask(of, block(30), now + 0.3, b"\3\2\0\x09")
    read = of.choose(block(30), now + 0.4)
    assert of.is_doubtful(block(30), read, b"\3\2\0\5", now + 0.4)


def test_on_a_new_line_all_news_is_doubtful_that_has_no_name_of_its_own() -> None:
    of = names(gap=0)
    ask(of, block(10), 1.0)
    read = of.choose(block(30), 1.1)
    assert not read.is_alone
    assert of.is_doubtful(block(30), read, b"\3\2\0\x09", 1.1)
    assert not of.is_old(block(30), read, b"\3\2\0\x09", 1.1)


def test_a_device_that_takes_even_numbers_only_refuses_each_block_once() -> None:
    of, refused = names(), 0
    for turn in range(40):
        for start in (10, 30, 50):
            now = 1.0 + turn * 0.1
            while (read := of.choose(block(start, 2), now)).count % 2:
                of.asked(block(start, 2), read, now)
                assert of.too_long(block(start, 2), read)
                refused += 1
            of.asked(block(start, 2), read, now)
            of.answered(block(start, 2), read, bytes((3, read.size)) + bytes(read.size), now, 0.01)
    assert refused == 3


def test_what_is_remembered_is_bounded() -> None:
    of = Names(Limits(100, 8), lambda unit: 3600.0)
    for at in range(2_000):
        read = of.choose(block(10), 1.0 + at)
        of.asked(block(10), read, 1.0 + at)
        of.answered(block(10), read, b"\3\2" + at.to_bytes(2, "big"), 1.0 + at, 0.01)
    assert len(of._habit(block(10)).past) <= 512


def test_a_line_is_trusted_after_2000_answers_and_not_before() -> None:
    of = names()
    for at in range(1_999):
        ask(of, block(10), 10.0 + at)
    before = of.trust
    ask(of, block(10), 3_000.0)
    assert (before, of.trust) == (Trust.NEW, Trust.TRUSTED)


def test_one_slow_answer_is_forgotten_slowly() -> None:
    of = names()
    for at, after_s in enumerate([0.5, *[0.01] * 20]):
        read = of.choose(block(10), 1.0 + at)
        of.asked(block(10), read, 1.0 + at)
        of.answered(block(10), read, bytes((3, read.size)) + bytes(read.size), 1.0 + at, after_s)
    assert of.second_answer_s(1) == pytest.approx(2 * 0.5 * 0.99**20)
