"""The machine model, for any machine and any sequence of commands."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.machine import Counters, Machine, MachineSpec, Part, RandomStops, State

specs = st.builds(
    MachineSpec,
    cycle_s=st.floats(0.02, 5),
    jitter=st.floats(0, 0.9),
    scrap=st.floats(0, 1),
    counter_bits=st.sampled_from([3, 4, 16, 32]),
    first=st.builds(Counters, st.integers(0, 7), st.integers(0, 7), st.integers(0, 7)),
    stops=st.none() | st.builds(RandomStops, st.floats(0.5, 10), st.floats(0.05, 5)),
)
seeds = st.integers(0, 2**32)
commands = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from(["start", "start", "stop", "reset"])), min_size=1, max_size=12
)
END_S = 80.0


def obey(machine: Machine, steps: list[tuple[float, str]], between: Callable[[float], None]) -> None:
    """Give each command, after so many seconds; `between` is called with each time before it."""
    now_s = 0.0
    for wait_s, command in steps:
        now_s += wait_s
        between(now_s)
        {"start": machine.start, "stop": machine.stop, "reset": machine.reset}[command](now_s)


def made(spec: MachineSpec, seed: int, steps: list[tuple[float, str]]) -> list[Part]:
    machine = Machine(spec, seed)
    obey(machine, steps, lambda now_s: None)
    return machine.advance(END_S)


@settings(deadline=None)
@given(specs, seeds, commands)
def test_the_same_seed_and_commands_make_the_same_parts(
    spec: MachineSpec, seed: int, steps: list[tuple[float, str]]
) -> None:
    assert made(spec, seed, steps) == made(spec, seed, steps)


@settings(deadline=None)
@given(specs, seeds, commands, st.lists(st.floats(0, 1), max_size=8))
def test_it_makes_no_difference_how_often_it_is_asked(
    spec: MachineSpec, seed: int, steps: list[tuple[float, str]], fractions: list[float]
) -> None:
    often = Machine(spec, seed)
    parts: list[Part] = []
    last_s = 0.0

    def ask(until_s: float) -> None:
        nonlocal last_s
        for fraction in sorted(fractions):
            parts.extend(often.advance(last_s + fraction * (until_s - last_s)))
        last_s = until_s

    obey(often, steps, ask)
    ask(END_S)
    parts.extend(often.advance(END_S))
    assert parts == made(spec, seed, steps)


@settings(deadline=None)
@given(specs, seeds)
def test_counters_are_the_parts_modulo_their_width(spec: MachineSpec, seed: int) -> None:
    machine = Machine(spec, seed)
    machine.start(0.0)
    parts = machine.advance(30.0)
    good = sum(part.good for part in parts)
    full = 2**spec.counter_bits
    assert machine.counters == Counters(
        (spec.first.total + len(parts)) % full,
        (spec.first.good + good) % full,
        (spec.first.reject + len(parts) - good) % full,
    )
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert not parts or parts[-1].counters == machine.counters


@settings(deadline=None)
@given(specs, seeds, commands)
def test_parts_come_in_order_and_no_faster_than_the_cycle(
    spec: MachineSpec, seed: int, steps: list[tuple[float, str]]
) -> None:
    parts = made(spec, seed, steps)
    shortest_s = spec.cycle_s * (1 - spec.jitter)
    for earlier, later in pairwise(parts):
        assert later.at_s - earlier.at_s >= shortest_s - 1e-9
    if spec.stops is None and len(steps) == 1 and steps[0][1] == "start":
        longest_s = spec.cycle_s * (1 + spec.jitter)
        assert all(b.at_s - a.at_s <= longest_s + 1e-9 for a, b in pairwise(parts))


@settings(deadline=None)
@given(specs, seeds, st.floats(0.1, 20), st.floats(0, 20))
def test_a_stopped_machine_makes_nothing_and_goes_on_where_it_was(
    spec: MachineSpec, seed: int, run_s: float, pause_s: float
) -> None:
    machine = Machine(spec, seed)
    machine.start(0.0)
    machine.stop(run_s)
    before = machine.advance(run_s)
    assert (machine.state, machine.next_event_s) == (State.STOPPED, None)
    assert machine.advance(run_s + pause_s) == []
    machine.start(run_s + pause_s)
    assert machine.next_event_s is not None
    after = machine.advance(run_s + pause_s + 20.0)
    if spec.stops is None:
        unbroken = Machine(spec, seed)
        unbroken.start(0.0)
        for part, same in zip([*before, *after], unbroken.advance(run_s + 20.0), strict=False):
            assert (part.number, part.good) == (same.number, same.good)
            shift_s = pause_s if part.number > len(before) else 0.0
            assert part.at_s == pytest.approx(same.at_s + shift_s, abs=1e-6)


@settings(deadline=None)
@given(specs, seeds)
def test_next_event_is_where_something_happens(spec: MachineSpec, seed: int) -> None:
    machine = Machine(spec, seed)
    machine.start(0.0)
    for _ in range(20):
        due_s = machine.next_event_s
        assert due_s is not None
        before = (machine.state, machine.next_event_s)
        parts = machine.advance(due_s)
        assert parts or (machine.state, machine.next_event_s) != before


def test_a_counter_rolls_over_to_zero() -> None:
    spec = MachineSpec(cycle_s=1, jitter=0, scrap=0, counter_bits=16, first=Counters(65_534, 65_535, 7))
    machine = Machine(spec, 1)
    machine.start(0.0)
    assert [part.counters for part in machine.advance(3.0)] == [
        Counters(65_535, 0, 7),
        Counters(0, 1, 7),
        Counters(1, 2, 7),
    ]


def test_a_reset_zeroes_the_counters_and_not_the_parts() -> None:
    machine = Machine(MachineSpec(cycle_s=1, jitter=0, scrap=1), 1)
    machine.start(0.0)
    machine.reset(2.5)
    assert machine.counters == Counters()
    assert [(part.number, part.counters.reject) for part in machine.advance(3.0)] == [(1, 1), (2, 2), (3, 1)]


def test_random_stops_suspend_it_and_end_by_themselves() -> None:
    machine = Machine(MachineSpec(cycle_s=0.1, stops=RandomStops(every_s=5, length_s=2)), 4)
    machine.start(0.0)
    seen: list[State] = []
    while (due_s := machine.next_event_s) is not None and due_s < 60:
        machine.advance(due_s)
        if not seen or seen[-1] is not machine.state:
            seen.append(machine.state)
    assert seen[:4] == [State.EXECUTE, State.SUSPENDED, State.EXECUTE, State.SUSPENDED]


def test_states_have_the_codes_of_packml() -> None:
    assert {state.name: int(state) for state in State} == {"STOPPED": 2, "SUSPENDED": 5, "EXECUTE": 6}


def test_time_cannot_go_back() -> None:
    machine = Machine(MachineSpec(), 1)
    machine.start(10.0)
    with pytest.raises(ValueError, match="go back"):
        machine.advance(9.0)


@pytest.mark.parametrize(
    "impossible",
    [
        {"cycle_s": 0.0},
        {"jitter": 1.0},
        {"scrap": 1.5},
        {"counter_bits": 0},
        {"counter_bits": 16, "first": Counters(total=65_536)},
    ],
)
def test_a_machine_that_cannot_exist_is_refused(impossible: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|cannot|at the least"):
        MachineSpec(**impossible)  # type: ignore[arg-type]


def test_stops_that_cannot_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        RandomStops(every_s=0.0, length_s=1.0)
