"""What is written to a device: one target, a wire, and what is told of each write."""

from dataclasses import replace

import pytest

from edge.observation import WriteWord
from tests.line.writing_support import FAILED, QUICK, SPEC, WROTE_TRUE, scribe, until
from tests.support.clock import ManualClock


async def test_an_intention_is_on_disk_before_the_wire_has_it_and_the_outcome_after() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        one.want(False)
        await wire.until("intended false", "wrote false", "confirmed false")
        one.want(False)
        await wire.quiet()


async def test_a_value_that_is_there_already_is_not_written() -> None:
    async with scribe() as (one, wire):
        wire.holds = True
        one.want(True)
        await wire.until("confirmed true")
        wire.connect()
        await wire.quiet()


async def test_what_cannot_be_recorded_is_not_written() -> None:
    async with scribe() as (one, wire):
        wire.is_full = True
        one.want(True)
        await wire.quiet()
        assert wire.holds is False
        wire.is_full = False
        await wire.until(*WROTE_TRUE)


async def test_an_outcome_is_told_as_soon_as_the_journal_takes_it() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until("intended true", "wrote true", "confirmed true")
        wire.is_full = True
        wire.holds = False
        wire.connect()
        await wire.quiet()
        wire.is_full = False
        await wire.until(*WROTE_TRUE)


async def test_of_what_is_away_nothing_is_asked_and_the_newest_is_written_when_it_is_back() -> None:
    async with scribe() as (one, wire):
        wire.is_connected = False
        one.want(True)
        one.want(False)
        one.want(True)
        await wire.quiet()
        wire.connect()
        await wire.until(*WROTE_TRUE)


async def test_a_connection_that_dies_with_the_write_leaves_it_open_until_it_is_back() -> None:
    async with scribe() as (one, wire):
        wire.cuts = True
        one.want(True)
        await wire.until("intended true", "wrote true", "unknown true")
        wire.cuts = False
        wire.connect()
        await wire.until("confirmed true")


async def test_a_source_that_never_answers_is_asked_again() -> None:
    async with scribe() as (one, wire):
        wire.is_silent = True
        one.want(True)
        await wire.quiet(0.4)
        wire.is_silent = False
        await wire.until(*WROTE_TRUE)


async def test_a_unit_that_is_silent_on_a_connection_that_stands_is_looked_at_until_it_answers() -> None:
    async with scribe() as (one, wire):
        wire.silence = "unit 3 is lost"
        one.want(True)
        await wire.until("unknown true")
        assert one.trouble == "unit 3 is lost"
        await wire.quiet()
        wire.silence = ""
        await wire.until(*WROTE_TRUE)
        assert wire.words[-1].tries == 1


async def test_a_unit_that_falls_silent_with_the_write_is_no_failure_of_the_value() -> None:
    async with scribe() as (one, wire):
        wire.after_telling = lambda: setattr(wire, "silence", "unit 3: no answer within 1 s")
        one.want(True)
        await wire.until("intended true", "unknown true")
        assert wire.words[-1].detail == "unit 3: no answer within 1 s"
        wire.after_telling, wire.silence = None, ""
        await wire.until(*WROTE_TRUE)


async def test_what_a_restart_finds_half_done_is_looked_at_and_written_at_most_once() -> None:
    half = WriteWord("press", "release", "press.release", SPEC.place, "true", "intended", tries=1)
    clock = ManualClock()
    half = WriteWord(
        "press", "release", "press.release", SPEC.place, "true", "intended", tries=1, tried_ms=clock.wall_ms()
    )
    async with scribe(clock=clock, before=half) as (one, wire):
        wire.holds = True
        one.want(True)
        await wire.until("confirmed true")
    async with scribe(clock=clock, before=half) as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        wire.connect()
        await wire.quiet()


async def test_what_was_said_of_another_node_means_nothing() -> None:
    other = WriteWord("press", "release", "press.release", "press-plc ns=2;s=Old", "true", "confirmed")
    async with scribe(before=other) as (one, wire):
        wire.holds = True
        one.want(True)
        await wire.until("confirmed true")


async def test_what_a_person_sets_stays_while_the_connection_stands() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        wire.holds = False
        await wire.quiet()


async def test_a_device_that_forgets_with_every_power_cut_has_it_again_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        for _ in range(8):
            wire.holds = False
            wire.connect()
            await wire.until(*WROTE_TRUE)
        assert wire.words[-2].detail == "the device had lost it"
        assert one.trouble == ""
    words = "press.release: press-plc ns=2;s=R has lost true: it is written again"
    assert [line.getMessage() for line in caplog.records] == [words] * 8


async def test_a_device_that_may_have_begun_anew_is_looked_at_though_the_connection_stands() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        one.renewed()
        await wire.quiet()
        wire.holds = False
        one.renewed()
        await wire.until(*WROTE_TRUE)


async def test_what_is_lost_again_and_again_while_the_connection_stands_is_no_fight_for_ever() -> None:
    clock = ManualClock()
    async with scribe(clock=clock) as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        for _ in range(3):
            wire.holds = False
            one.renewed()
            await wire.until(*WROTE_TRUE)
        wire.holds = False
        one.renewed()
        await wire.until("left true")
        assert one.trouble == (
            "left alone for an hour after 4 tries: the device lost it while the connection stood, and holds "
            "false: look who else writes it"
        )
        one.renewed()
        await wire.quiet()
        wire.connect()
        await wire.quiet()
        clock.pass_ms(3_600_001)
        one.renewed()
        await wire.until(*WROTE_TRUE)


async def test_what_it_kept_on_a_new_connection_is_forgiven() -> None:
    async with scribe() as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        for _ in range(3):
            wire.holds = False
            one.renewed()
            await wire.until(*WROTE_TRUE)
        wire.connect()
        await wire.quiet()
        wire.holds = False
        one.renewed()
        await wire.until(*WROTE_TRUE)


async def test_what_is_left_alone_is_tried_once_more_by_itself_when_the_hour_is_over() -> None:
    clock = ManualClock()
    async with scribe(clock=clock, patience=replace(QUICK, hour_s=0.3)) as (one, wire):
        wire.keeps = True
        one.want(True)
        await wire.until(*FAILED * 4, "left true")
        clock.pass_ms(301)
        await wire.until(*FAILED, "left true")
        wire.keeps = False
        clock.pass_ms(301)
        await wire.until(*WROTE_TRUE)
        assert one.trouble == ""


async def test_what_was_left_alone_before_this_start_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    left = WriteWord(
        "press", "release", "press.release", SPEC.place, "true", "left", detail="left alone: read-only",
        tries=4, tried_ms=clock.wall_ms(),
    )  # fmt: skip
    async with scribe(clock=clock, before=left) as (one, wire):
        wire.changed.clear()
        one.want(True)
        await until(lambda: bool(one.trouble))
        await wire.quiet()
        assert one.trouble == "left alone: read-only"
    words = "press.release: press-plc ns=2;s=R does not hold true: left alone: read-only"
    assert [line.getMessage() for line in caplog.records] == [words]
