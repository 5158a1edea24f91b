"""From what was found on a server to the stations and signals of a line; pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua

from adapters._opcua.nodes import UnknownNamespace, parse_node
from adapters._opcua.paths import parse_member
from adapters._opcua.probe_marks import WIDTHS, vocabulary, words_of
from adapters._opcua.probe_models import Machine
from adapters._opcua.probe_read import Item, Variable, type_text
from adapters._opcua.probe_walk import Spot

Keys = Mapping[str, Any]

MOST_STATIONS = 20
MOST_TELEMETRY = 50
_MOST_OTHERS = 20
_SHORTEST_S, _LONGEST_S = 0.01, 86_400.0
_CYCLE = "30s"
_CONTAINERS = vocabulary(
    "count counts counter counters production parts output good reject rejects total scrap"
)
_LONGEST_NAME = 40
_MOST_STATES = 100

_MEANINGS = {
    "Execute": vocabulary(
        """execute executing run running producing production produce working auto automatic active busy
        operating pressing betrieb läuft laeuft produktion automatik marche"""
    ),
    "Aborted": vocabulary(
        """abort aborted fault faulted error alarm emergency estop failure failed störung stoerung fehler"""
    ),
    "Held": vocabulary("hold held blocked jam jammed"),
    "Suspended": vocabulary("suspend suspended starved waiting wait starving warten"),
    "Idle": vocabulary("idle ready standby bereit"),
}
"""Which words of a state's name say which of PackML's states, the first that fits."""
_MODE_MEANINGS = {
    "Maintenance": vocabulary("maintenance service wartung repair"),
    "Setup": vocabulary("setup set einrichten"),
    "Manual": vocabulary("manual hand jog tippen"),
    "Processing": vocabulary("production produce processing auto automatic automatik betrieb run"),
}
"""The same of modes, in the words of OPC 40001-1, 13.2, and of PackML."""
_PACKML = vocabulary(
    """Clearing Stopped Starting Idle Suspended Execute Stopping Aborting Aborted Holding Held Unholding
    Suspending Unsuspending Resetting Completing Complete"""
)
_MACHINERY = vocabulary("NotAvailable OutOfService NotExecuting Executing")


@dataclass(frozen=True, slots=True)
class Other:
    """A line that could stand there too, or in the place of one that does."""

    key: str
    table: Keys
    words: str


@dataclass(frozen=True, slots=True)
class StationPlan:
    """A `[[station]]` in the making."""

    name: str
    keys: Keys
    comments: Sequence[str] = ()
    others: Sequence[Other] = ()


@dataclass(slots=True)
class Plan:
    """What is proposed."""

    stations: list[StationPlan] = field(default_factory=list)
    telemetry: dict[str, Keys] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    """What was left out, and why."""
    others: list[Other] = field(default_factory=list)
    """What may be of use, at a station that is not known."""


def node_text(node: ua.NodeId, namespaces: Sequence[str]) -> str:
    """As the key `node` has it; with the namespace's URI where that is possible. Empty where it cannot be
    written so that it is found again."""
    text = node.to_string()
    own = text[text.find(";") + 1 :] if node.NamespaceIndex else text
    uri = namespaces[node.NamespaceIndex] if node.NamespaceIndex < len(namespaces) else ""
    coded = uri.replace("%", "%25").replace(";", "%3B")
    ways = [own] if not node.NamespaceIndex else [f"nsu={coded};{own}", f"ns={node.NamespaceIndex};{own}"]
    return next((one for one in ways if _is_found(one, node, namespaces)), "")


def _is_found(text: str, node: ua.NodeId, namespaces: Sequence[str]) -> bool:
    try:
        return parse_node(text).on(namespaces) == node
    except (ValueError, UnknownNamespace):
        return False


@dataclass(frozen=True, slots=True)
class _Seen:
    """One value that can be proposed."""

    item: Item
    variable: Variable
    address: Keys

    @property
    def kind(self) -> str:
        return self.item.kind

    @property
    def path(self) -> str:
        at = "" if self.item.index is None else f"[{self.item.index}]"
        member = f" {self.item.member}" if self.item.member else ""
        return "/".join(self.item.spot.names()[-4:]) + at + member


def planned(
    found: Sequence[Variable],
    machines: Sequence[Machine],
    namespaces: Sequence[str],
    source: str,
    station: str,
) -> Plan:
    """Stations from machines, then from counters that stand together; telemetry from what is measured."""
    plan = Plan()
    names = Names()
    seen = list(_usable(found, namespaces, source, plan))
    for machine in machines[:MOST_STATIONS]:
        if not machine.parts:
            why = next(filter(None, machine.missing.values()))
            plan.comments.append(
                f"{machine.name} follows {machine.model}, and nothing of it can be read now: {why}"
            )
            continue
        several = sum(one.model == machine.model for one in machines) > 1
        plan.stations.append(_modelled(machine, several, source, seen, names))
    inside = {machine.spot for machine in machines}
    free = [one for one in seen if not inside & set(one.item.spot.ancestry())]
    for group, members in _grouped(free).items():
        _add_station(plan, members, names, group or station)
    _add_telemetry(plan, free)
    return plan


def _usable(found: Sequence[Variable], namespaces: Sequence[str], source: str, plan: Plan) -> Iterator[_Seen]:
    for variable in found:
        if not variable.items:
            continue
        node = node_text(variable.spot.id, namespaces)
        if not node:
            words = "has an id that cannot be written in a line's file"
            plan.comments.append(f"{'/'.join(variable.spot.names()[-3:])} {words}")
            continue
        for item in filter(_can_be_written, variable.items):
            index = {} if item.index is None else {"index": item.index}
            member = {"member": item.member} if item.member else {}
            yield _Seen(item, variable, {"source": source, "node": node, **index, **member})


def _can_be_written(item: Item) -> bool:
    """Whether the key `member` can say which it is."""
    try:
        return not item.member or parse_member(item.member) == item.pick.member
    except ValueError:
        return False


# --- stations -------------------------------------------------------------------------------------


def _modelled(
    machine: Machine, several: bool, source: str, seen: Sequence[_Seen], names: "Names"
) -> StationPlan:
    which = {"machine": machine.name} if several else {}
    without = {"without": list(machine.missing)} if machine.missing else {}
    inside = [one for one in seen if _is_total(one) and machine.spot in one.item.spot.ancestry()]
    cycle = next((found for one in inside if (found := _cycle(one)) != _CYCLE), _CYCLE)
    keys = {"ideal_cycle": cycle, "source": source, "model": machine.model}
    found = "is found by its type" if len(machine.parts) == 1 else "are found by their types"
    words = f"{machine.name} follows {machine.model}: {', '.join(machine.parts)} {found}"
    until = "take it out of without when it has a value"
    unread = [
        f"{part}: it cannot be read now: {why}; {until}" for part, why in machine.missing.items() if why
    ]
    return StationPlan(names.free(machine.name), {**keys, **which, **without}, (words, *unread, _said(cycle)))


def _said(cycle: str) -> str:
    return _GUESSED_CYCLE if cycle == _CYCLE else "ideal_cycle: as it was measured; write your own"


_GUESSED_CYCLE = "ideal_cycle: nobody knows it here; write your own"


def _grouped(seen: Sequence[_Seen]) -> dict[str, list[_Seen]]:
    """What is marked, by the machine that it seems to belong to."""
    groups: dict[int, list[_Seen]] = {}
    owners: dict[int, Spot] = {}
    for one in seen:
        if one.item.mark is not None:
            owner = _owner(one.item.spot)
            owners[id(owner)] = owner
            groups.setdefault(id(owner), []).append(one)
    named: dict[str, list[_Seen]] = {}
    for number, members in groups.items():
        owner = owners[number]
        named["/".join(owner.names()) if owner.above is not None else ""] = members
    return named


def _owner(spot: Spot) -> Spot:
    """The nearest node above that is no mere drawer for counters."""
    owner = spot.above or spot
    while owner.above is not None and (owner.is_variable or set(words_of(owner.name)) & _CONTAINERS):
        owner = owner.above
    return owner


def _add_station(plan: Plan, members: Sequence[_Seen], names: "Names", group: str) -> None:
    counters = _counters(members)
    if not counters or len(plan.stations) >= MOST_STATIONS:
        plan.others += list(map(_other, members))[:_MOST_OTHERS]
        return
    cycle = _cycle(next(iter(counters.values())))
    keys: dict[str, Any] = {"ideal_cycle": cycle}
    keys |= {role: _counted(one) for role, one in counters.items()}
    comments = [*(f"{role}: {_because(one)}" for role, one in counters.items()), _said(cycle)]
    taken = list(counters.values())
    for role in ("state", "mode"):
        mapped = ((one, state_map(one.item)) for one in members if _kind(one) == role)
        one, found = next(((one, found) for one, found in mapped if found), (None, None))
        if one is not None:
            keys[role] = {**one.address, "map": found}
            comments.append(f"{role}: {one.path}, {type_text(one.variable)}; compare the names in map")
            taken.append(one)
    others = [_other(one) for one in members if one not in taken][:_MOST_OTHERS]
    plan.stations.append(StationPlan(names.free(group.rpartition("/")[2]), keys, comments, others))


def _counted(one: _Seen) -> Keys:
    return {**one.address, "counter": WIDTHS[one.kind]}


def _kind(one: _Seen) -> str:
    return one.item.mark.kind if one.item.mark is not None else ""


def _is_total(one: _Seen) -> bool:
    return one.item.mark is not None and one.item.mark.role == "total"


def _counters(members: Sequence[_Seen]) -> dict[str, _Seen]:
    """The best for each role: total or good, and reject beside it."""
    best: dict[str, _Seen] = {}
    for one in sorted(members, key=_doubt):
        mark = one.item.mark
        if mark is not None and mark.kind == "counter" and mark.role:
            best.setdefault(mark.role, one)
    first = _first_of(best)
    if first is None:
        return {}
    return {first: best[first]} | ({"reject": best["reject"]} if "reject" in best else {})


def _first_of(best: Mapping[str, _Seen]) -> str | None:
    """`good` only where it behaves like a counter and `total` does not."""
    there = [role for role in ("total", "good") if role in best]
    sure = [role for role in there if (mark := best[role].item.mark) is not None and mark.is_sure]
    return next(iter([*sure, *there]), None)


def _doubt(one: _Seen) -> tuple[bool, bool]:
    mark = one.item.mark
    return (mark is not None and not mark.is_sure, one.item.spot.name.lower() == "count")


def _because(one: _Seen) -> str:
    trace, mark = one.item.trace, one.item.mark
    if not trace.changes:
        return f"{one.path}, by its name: it stood still while it was watched"
    words = "" if mark is None or mark.is_sure else ", a guess"
    return f"{one.path} rose by {_number(trace.last, trace.first)} in {trace.seconds:.0f} s{words}"


def _number(last: object, first: object) -> str:
    return f"{last - first:,}" if isinstance(last, int) and isinstance(first, int) else "?"


def _cycle(one: _Seen) -> str:
    rate = one.item.trace.grown_a_second
    if rate <= 0 or not _SHORTEST_S <= 1 / rate <= _LONGEST_S:
        return _CYCLE
    return f"{1 / rate:.1f}s" if rate < 2 else f"{1000 / rate:.0f}ms"


def _other(one: _Seen) -> Other:
    mark = one.item.mark
    words = f"{one.path}, {type_text(one.variable)}, {one.item.trace.last}"
    if mark is None or mark.kind == "counter":
        return Other((mark.role if mark is not None else "") or "total", _counted(one), words)
    known = state_map(one.item)
    if known is not None:
        return Other(mark.kind, {**one.address, "map": known}, words)
    return Other(mark.kind, {**one.address, "map": "packml"}, f"{words}; if its values are PackML's")


# --- states ---------------------------------------------------------------------------------------


def state_map(item: Item) -> Any:
    """What the key `map` is, `"packml"` or from each number to a name; None where nobody knows."""
    mark = item.mark
    if mark is not None and mark.map:
        return mark.map
    names = sorted((item.codes or {}).items())[:_MOST_STATES]
    if mark is not None and mark.kind == "mode":
        return {str(code): mode_meaning(name) for code, name in names} or None
    said = {one for one in item.trace.distinct if isinstance(one, str)}
    if said and said <= _MACHINERY:
        return "machinery"
    if said and said <= _PACKML:
        return "packml"
    found = {str(code): meaning(name) for code, name in names}
    return found if "Execute" in found.values() else None


def mode_meaning(name: str) -> str:
    """The mode of OPC 40001-1 that is called so; `None` where nothing says another."""
    words = set(words_of(name))
    return next((mode for mode, known in _MODE_MEANINGS.items() if words & known), "None")


def meaning(name: str) -> str:
    """PackML's name of a state that is called so; `Stopped` where nothing says another."""
    words = set(words_of(name))
    if words & {"not", "nicht", "no"}:
        return "Stopped"
    return next((state for state, known in _MEANINGS.items() if words & known), "Stopped")


# --- telemetry ------------------------------------------------------------------------------------


def _add_telemetry(plan: Plan, seen: Sequence[_Seen]) -> None:
    names = Names()
    measured = [one for one in seen if one.item.mark is None and _is_measured(one)]
    for one in measured[:MOST_TELEMETRY]:
        unit = {"unit_of_measure": one.variable.unit[:32]} if one.variable.unit.isprintable() else {}
        address = {key: value for key, value in one.address.items() if key != "source"}
        at = "" if one.item.index is None else f"-{one.item.index}"
        path = one.item.names()
        name = names.free(f"{path[-1]}{at}", f"{'-'.join(path[-2:])}{at}")
        plan.telemetry[name] = address | {key: value for key, value in unit.items() if value}
    if (left := len(measured) - MOST_TELEMETRY) > 0:
        plan.comments.append(f"{left:,} more values could be telemetry: they stand in the tree")


def _is_measured(one: _Seen) -> bool:
    if one.variable.unit and one.kind in (*WIDTHS, "SByte", "Float", "Double"):
        return True
    return one.kind in ("Float", "Double") and bool(one.item.trace.changes or one.variable.span)


class Names:
    """Names as a line's file takes them, each once."""

    def __init__(self) -> None:
        self._taken = {
            "name", "line", "station", "time", "bad", "lost", "order", "operation", "run", "item", "revision",
            "batch", "operator", "kind", "attribution", "source", "every", "deadband", "silence",
            "unit_of_measure",
        }  # fmt: skip

    def free(self, *wishes: str) -> str:
        """The first that is free, else the last with a number."""
        names = [_named(one) for one in wishes]
        tries = [*names, *(f"{names[-1]}-{number}" for number in range(2, 10_000))]
        name = next(one for one in tries if one not in self._taken)
        self._taken.add(name)
        return name


_PLAIN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def _named(text: str) -> str:
    """`Zone 1 Temperature` as `zone-1-temperature`."""
    name = (
        re.sub(r"[^a-z0-9_-]+", "-", text.lower().translate(_PLAIN)).strip("-_")[:_LONGEST_NAME].strip("-_")
    )
    return name or "value"
