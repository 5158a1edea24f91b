"""What limits say of a test, against a slow and obvious reading of them."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.observation import Step, TestResult
from edge.production.verdicts import judge

limits = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 1.0, nan, inf, -inf])
verdicts = st.none() | st.booleans()
steps = st.builds(
    Step, st.sampled_from(["leak", "flow"]), limits, st.none(), limits, limits, verdicts, st.just("")
)


def result(passed: bool | None, *steps: Step) -> TestResult:
    return TestResult("U1", "final", passed, steps=steps)


@pytest.mark.parametrize(
    ("step", "computed"),
    [
        (Step("leak", 0.5, None, None, 0.5), True),
        (Step("leak", 0.5, None, 0.5, None), True),
        (Step("leak", 0.5000001, None, None, 0.5), False),
        (Step("leak", 0.4999999, None, 0.5, 1.0), False),
        (Step("leak", nan, None, 0.5, 1.0), False),
        (Step("leak", inf, None, 0.5, None), False),
        (Step("leak", 0.5), None),
        (Step("leak", None, None, 0.5, 1.0), None),
        (Step("leak", 0.5, None, nan, None), None),
        (Step("leak", 0.5, None, -inf, inf), None),
        (Step("leak", 0.5, None, None, 1.0, False), False),
        (Step("leak", 0.5, None, None, 0.1, True), False),
        (Step("leak", 0.5, passed=True), True),
        (Step("version", text="1.2"), None),
    ],
    ids=repr,
)
def test_one_step_is_judged_by_its_limits_and_by_itself(step: Step, computed: bool | None) -> None:
    assert judge(result(None, step)).computed is computed


@given(verdicts, st.lists(steps, max_size=4))
def test_what_anybody_fails_has_failed(passed: bool | None, measured: list[Step]) -> None:
    found = judge(result(passed, *measured))
    says = [passed, *(step.passed for step in measured), *(_obvious(step) for step in measured)]
    known = [one for one in says if one is not None]
    assert found.verdict == (all(known) if known else None)
    if passed is not None and found.computed is not None and passed != found.computed:
        assert found.differs
    if not measured:
        assert not found.differs


def _obvious(step: Step) -> bool | None:
    bounds = [one for one in (step.low, step.high) if one is not None and abs(one) < inf]
    if step.value is None or not bounds:
        return None
    if not abs(step.value) < inf:
        return False
    too_low = step.low is not None and step.low > step.value and step.low in bounds
    too_high = step.high is not None and step.high < step.value and step.high in bounds
    return not (too_low or too_high)


def test_the_words_name_the_steps_that_fail() -> None:
    found = judge(result(True, Step("leak", 0.6, None, None, 0.5), Step("flow", 1.0, None, 0.5, 2.0)))
    assert found.differs == "the rig says passed, its limits say failed (leak)"
    assert judge(result(False, Step("flow", 1.0, None, 0.5))).differs == (
        "the rig says failed, its limits say passed"
    )
    of_a_step = judge(result(False, Step("flow", 1.0, None, 0.5, passed=False)))
    assert of_a_step.differs == "the rig's verdict is not that of the limits at flow"
    assert len(judge(result(True, Step("x" * 5_000, 2.0, None, None, 1.0))).differs) < 200
