"""Cases: a line, what was seen of it in `observations.jsonl`, and what it means in `expected.jsonl`.

A line of observations is `{"s": 1.5, SIGNAL: VALUE, ...}`, seconds since the start; what stands in one line
is seen at one instant, in its order. Short forms: `"scan": "J WO-1001-10"` is a whole label from gun-1,
`"scan-2"` one from gun-2, `"label"` the bare text of one from gun-1, `"test"` a result from rig-1,
`"order": {..}` a work order (10 of P7, unless it says so), `"command": {"type": "reassign", ..}` what a
supervisor asks for (`by` and `reason` may be left out; `from_s` and `to_s` are seconds since the start),
`"device": {"serial": .., "uptime_ms": ..}` what the device behind the press says of itself.
Words that go with an observation: `fresh`, `quality`, `detail`, `device_s`. A line may begin with
`"reboot": NAME` (the monotonic clock starts again) and `"clock_s": N` (the wall clock is set by so much).

A line of what is expected is an event, or an observation that was not accepted. After them stand the events
that a correction gave to another owner, as they are at the end; the last line has the totals, without zeros.
`for` and `to` are contexts: job, run, item, revision, batch, operator, and the run's kind where it is not
production. To see what the core makes of a case: `python -m tests.support.cases FOLDER`; read it line by
line before it becomes what is expected.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import convert, json, to_builtins

from edge.config import load
from edge.observation import (
    Command,
    DeviceWord,
    Observation,
    Outcome,
    Quality,
    Stamp,
    TestResult,
    Value,
    Verdict,
    WorkOrder,
)
from edge.production import Line
from edge.production.context import NO_CONTEXT, Context
from edge.production.events import Event
from edge.production.orders import job_name
from tests.support.line import Core, label

CASES = Path(__file__).parent.parent / "cases"
START_MS = 1_777_874_400_000
"""2026-05-04T06:00:00Z."""
UPTIME_MS = 1_000_000

Entry = dict[str, Any]


def names() -> list[str]:
    return sorted(found.parent.name for found in CASES.glob("*/observations.jsonl"))


def line_of(name: str) -> Line:
    """The case's own line.toml, or the one that all share."""
    own = CASES / name / "line.toml"
    return load(own if own.exists() else CASES / "line.toml").line


def observations(name: str) -> list[Observation]:
    lines = (CASES / name / "observations.jsonl").read_text(encoding="utf-8").splitlines()
    clocks = _Clocks()
    return [one for text in lines if text.strip() for one in clocks.read(json.decode(text))]


def expected(name: str) -> list[Entry]:
    lines = (CASES / name / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.decode(text) for text in lines if text.strip()]


def replay(name: str) -> tuple[list[Entry], list[Event]]:
    """What the core makes of it: the lines of `expected.jsonl`, and the events themselves."""
    core, entries = Core(line_of(name)), []
    for observation in observations(name):
        decision = core.see(observation)
        entries += [_event(event) for event in decision.events]
        if decision.outcome.verdict is not Verdict.ACCEPTED:
            entries.append(_refusal(observation, decision.outcome))
    totals = {station: _totals(by_job) for station, by_job in core.totals().items()}
    made: list[Entry] = json.decode(json.encode([*entries, *_moved(core), {"totals": totals}]))
    return made, core.events


class _Clocks:
    def __init__(self) -> None:
        self._boot = "b0"
        self._uptime_ms = UPTIME_MS
        self._step_ms = 0

    def read(self, entry: Entry) -> Iterator[Observation]:
        s_ms = round(entry.pop("s") * 1000)
        if boot := entry.pop("reboot", None):
            self._boot, self._uptime_ms = boot, 5_000 - s_ms
        self._step_ms += round(entry.pop("clock_s", 0) * 1000)
        seen_ms, mono_ms = START_MS + s_ms + self._step_ms, s_ms + self._uptime_ms
        fresh, device_s = entry.pop("fresh", None), entry.pop("device_s", None)
        quality, detail = Quality(entry.pop("quality", "good")), entry.pop("detail", "")
        at_ms = seen_ms if device_s is None else START_MS + round(device_s * 1000)
        stamp = Stamp.RECEIPT if device_s is None else Stamp.SOURCE
        for name, value in entry.items():
            signal, meant = _meant(name, value)
            yield Observation(
                signal, meant, at_ms, seen_ms, mono_ms, self._boot, quality, stamp, detail,
                fresh=None if fresh is None else tuple(fresh),
            )  # fmt: skip


def _meant(name: str, value: Any) -> tuple[str, Value]:
    if name == "scan" or name.startswith("scan-"):
        return f"gun-{name.removeprefix('scan').removeprefix('-') or '1'}", label(value)
    if name == "label":
        return "gun-1", str(value)
    if name == "test":
        return "rig-1", convert({"program": "final", "passed": True, **value}, TestResult)
    if name == "order":
        order = {"item": "P7", "quantity": 10, **value, "type": "order"}
        return name, convert(order, WorkOrder)
    if name == "device":
        signals = ["press.total", "press.reject", "press.state"]
        return name, convert(
            {"device": "plc unit 1", "signals": signals, **value, "type": "device"}, DeviceWord
        )
    if name == "command":
        return name, convert({"by": "office", "reason": "as told", **_instants(value)}, Command)
    return name, value


def _instants(value: Entry) -> Entry:
    """Seconds since the start to milliseconds since 1970."""
    instants = {key: round(given * 1000) + START_MS for key, given in value.items() if key.endswith("_s")}
    others = {key: given for key, given in value.items() if key not in instants}
    return {**others, **{f"{key.removesuffix('_s')}_ms": ms for key, ms in instants.items()}}


def _moved(core: Core) -> Iterator[Entry]:
    for place, (context, version) in sorted(core.moved.items()):
        event = core.events[place]
        yield {
            "s": _s(event.at_ms),
            "moved": event.data.type,
            "for": _short(event.context),
            "to": _short(context),
            "version": version,
        }


def _event(event: Event) -> Entry:
    entry = {
        "s": _s(event.at_ms),
        "event": event.data.type,
        "station": event.station,
        **to_builtins(event.data),
    }
    for when in [key for key in entry if key.endswith("_ms")]:
        ms = entry.pop(when)
        entry[when.removesuffix("_ms") + "_s"] = None if ms is None else _s(ms)
    found = {key: value for key, value in entry.items() if value != ""}
    return found if event.context == NO_CONTEXT else {**found, "for": _short(event.context)}


def _short(context: Context) -> str:
    job = job_name(context.order, context.operation) if context.order else None
    parts = (job, context.run, context.item, context.revision, context.batch, context.operator)
    known = ["-" if part is None else part for part in parts]
    return " ".join([*known, context.kind] if context.kind else known)


def _refusal(observation: Observation, outcome: Outcome) -> Entry:
    return {"s": _s(observation.at_ms), "signal": observation.signal, str(outcome.verdict): outcome.words}


def _totals(by_job: Mapping[str, Any]) -> Entry:
    return {job: found for job, totals in by_job.items() if (found := to_builtins(totals))}


def _s(at_ms: int) -> float:
    return (at_ms - START_MS) / 1000


if __name__ == "__main__":
    for made in replay(sys.argv[1])[0]:
        sys.stdout.write(json.encode(made).decode() + "\n")
