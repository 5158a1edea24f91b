"""A batch of telemetry with fewer frames: nothing that only one frame said is lost."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from edge.batches import pack, unpack
from edge.journal.thinning import MERGED, thin

NAMES = st.sampled_from(["zone_1", "zone_2", "amps"])
NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.none())
FRAMES = st.lists(
    st.fixed_dictionaries(
        {"values": st.dictionaries(NAMES, NUMBERS)}, optional={"bad": st.dictionaries(NAMES, st.text())}
    ),
    min_size=0,
    max_size=45,
)


def batch(frames: list[dict[str, Any]], lost: int = 0) -> bytes:
    stamped = [{"at": 1_000 + 100 * number, **frame} for number, frame in enumerate(frames)]
    return pack("oven", [json.encode(frame) for frame in stamped], lost)


def last_word(frames: list[dict[str, Any]], until_ms: int) -> dict[str, tuple[str, Any]]:
    """What was said last of each name; in one frame `bad` goes before a value of the same name."""
    said: dict[str, tuple[str, Any]] = {}
    for frame in frames:
        if frame["at"] <= until_ms:
            said |= {name: ("values", value) for name, value in frame.get("values", {}).items()}
            said |= {name: ("bad", why) for name, why in frame.get("bad", {}).items()}
    return said


@given(FRAMES)
def test_after_every_frame_that_stays_the_same_is_known_of_each_name(frames: list[dict[str, Any]]) -> None:
    body = batch(frames, lost=3)
    thinned = thin("oven", body)
    if thinned is None:
        return
    before, after = (json.decode(unpack("oven", one)) for one in (body, thinned.body))
    assert after["lost"] == 3
    assert after["name"] == "oven"
    assert len(after["frames"]) == -(-len(frames) // MERGED)
    assert thinned.at_ms == after["frames"][0]["at"]
    assert len(thinned.body) < len(body)
    for frame in after["frames"]:
        assert last_word(after["frames"], frame["at"]) == last_word(before["frames"], frame["at"])


def test_ten_frames_become_one() -> None:
    body = batch([{"values": {"zone_1": number}} for number in range(30)])
    thinned = thin("oven", body)
    assert thinned is not None
    frames = json.decode(unpack("oven", thinned.body))["frames"]
    assert frames == [{"at": 1_000 + 100 * last, "values": {"zone_1": last}} for last in (9, 19, 29)]


def test_a_value_that_came_back_is_no_longer_bad() -> None:
    frames: list[dict[str, Any]] = [
        {"bad": {"amps": "no answer"}},
        {"values": {"amps": 7}},
        {"bad": {"zone_1": "no answer"}},
    ] * 4
    thinned = thin("oven", batch(frames))
    assert thinned is not None
    last = json.decode(unpack("oven", thinned.body))["frames"][-1]
    assert (last["values"], last["bad"]) == ({"amps": 7}, {"zone_1": "no answer"})


@given(st.binary(max_size=200))
def test_a_batch_that_the_disk_has_damaged_stays_as_it_is(body: bytes) -> None:
    assert thin("oven", body) is None


def test_a_single_frame_cannot_be_thinned() -> None:
    assert thin("oven", batch([{"values": {"zone_1": 1}}])) is None
