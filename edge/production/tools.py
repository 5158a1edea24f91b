"""Tools: put in use at a station by a scan, taken off by another."""

from collections.abc import Callable

from msgspec.structs import replace

from edge.production.beside import ToolTaken
from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.slots import also, slots, with_slots
from edge.production.state import Run, Slot, Station
from edge.production.takings import remember
from edge.production.traced import Tool


def scan_tool(draft: Draft, spec: StationSpec, tool: str) -> str:
    """It is in use from now on, in place of another of its group; one that is in use is taken off."""
    row = draft.station(spec)
    group = group_of(tool)
    before = row.tools.get(group)
    after = None if before == tool else tool
    noted = tuple(slot.run.id for slot in slots(row) if after and tool not in slot.run.tools)
    taken = ToolTaken(group, before, after, noted)
    _change(draft, spec, taken, "replaced" if after else "")
    row = draft.station(spec)
    draft.put(spec.key, _with_runs(row, lambda run: replace(run, tools=also(run.tools, after))))
    remember(draft, spec, f"T {tool}", taken)
    if after is None:
        return f"{tool} is off {spec.name}"
    return f"{tool} in use at {spec.name}" + (f", {before} is off" if before else "")


def group_of(tool: str) -> str:
    """`MOULD.17` is of group MOULD. Tools without a dot are of one group: of them a station has one."""
    group, dot, _ = tool.partition(".")
    return group if dot else ""


def take_tool_back(draft: Draft, spec: StationSpec, taken: ToolTaken) -> str:
    """The tool that was in use before is again; runs that had only this scan to know of it forget it."""
    _change(draft, spec, ToolTaken(taken.group, taken.after, taken.before), "undo")
    row = _with_runs(draft.station(spec), lambda run: _without(run, taken))
    draft.put(spec.key, row)
    if taken.before is None:
        return f"{taken.after} is off {spec.name} again"
    return f"{taken.before} in use at {spec.name} again"


def _without(run: Run, taken: ToolTaken) -> Run:
    if run.id not in taken.noted:
        return run
    return replace(run, tools=tuple(tool for tool in run.tools if tool != taken.after))


def _with_runs(row: Station, change: Callable[[Run], Run]) -> Station:
    found = tuple(Slot(slot.context, change(slot.run)) for slot in slots(row))
    return with_slots(row, found, row.context)


def _change(draft: Draft, spec: StationSpec, taken: ToolTaken, why: str) -> None:
    """`why` one is taken off; what is mounted says it only of an undo."""
    row = draft.station(spec)
    tools = {group: tool for group, tool in row.tools.items() if group != taken.group}
    if taken.before is not None:
        draft.say(Tool(taken.before, "taken_off", taken.group, why), spec.name, row.context)
    if taken.after is not None:
        on = why if why == "undo" else ""
        draft.say(Tool(taken.after, "mounted", taken.group, on), spec.name, row.context)
        tools[taken.group] = taken.after
    draft.put(spec.key, replace(row, tools=tools))


def tools_in_use(row: Station) -> tuple[str, ...]:
    return tuple(sorted(row.tools.values()))
