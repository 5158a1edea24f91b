"""What was found on a server as the rows of a tree, for a person at a terminal; pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from asyncua import ua

from adapters._opcua.binary import Kind
from adapters._opcua.probe_marks import Mark
from adapters._opcua.probe_read import ABSORBED, Variable, type_text
from adapters._opcua.probe_walk import Spot, Tree
from adapters._opcua.values import PLAIN, reading, status_name

MOST_SHOWN = 60
"""Children of one node; those that are marked are shown all the same."""
_LONGEST = 48
_NAME_WIDTH = 44
_TYPE_WIDTH = 22
_VALUE_WIDTH = 26
_ELEMENTS = 6


def rows(
    tree: Tree, found: Mapping[ua.NodeId, Variable], machines: Mapping[Spot, str], show_all: bool
) -> Iterator[str]:
    """The whole tree, a node a row. `machines`: those that follow a model, and its name."""
    yield _row("", tree.top, found.get(tree.top.id))
    yield from _members("", found.get(tree.top.id))
    waiting: list[Iterator[tuple[Spot | str, bool]]] = [_shown(tree.top, found, show_all)]
    open_above: list[bool] = []
    while waiting:
        step = next(waiting[-1], None)
        if step is None:
            waiting.pop()
            if open_above:
                open_above.pop()
            continue
        spot, is_last = step
        stem = "".join("│  " if more else "   " for more in open_above) + ("└─ " if is_last else "├─ ")
        if isinstance(spot, str):
            yield stem + spot
            continue
        model = machines.get(spot)
        yield _row(stem, spot, found.get(spot.id)) + (f'  <== a machine, model = "{model}"' if model else "")
        if not spot.is_again:
            yield from _members(stem, found.get(spot.id))
        waiting.append(_shown(spot, found, show_all))
        open_above.append(not is_last)


def _shown(
    spot: Spot, found: Mapping[ua.NodeId, Variable], show_all: bool
) -> Iterator[tuple[Spot | str, bool]]:
    """The children to be shown, and whether each is the last."""
    children = [one for one in spot.children if not _is_property_of(spot, one)]
    kept = children if show_all else [*_chosen(children, found)]
    left = len(children) - len(kept)
    words = f"... {left:,} more (--all shows them)" if left else ""
    if spot.is_cut:
        words = f"{words}; " * bool(words) + "... it has more than were asked for (--most, --under)"
    end = len(kept) - 1 + bool(words)
    for at, one in enumerate(kept):
        yield one, at == end
    if words:
        yield words, True


def _is_property_of(spot: Spot, child: Spot) -> bool:
    return spot.is_variable and child.name in ABSORBED


def _chosen(children: Sequence[Spot], found: Mapping[ua.NodeId, Variable]) -> Iterator[Spot]:
    yield from islice(children, MOST_SHOWN)
    for one in islice(children, MOST_SHOWN, None):
        variable = found.get(one.id)
        if variable is not None and any(item.mark for item in variable.items):
            yield one


def _row(stem: str, spot: Spot, variable: Variable | None) -> str:
    name = f"{stem}{spot.name}"
    if spot.is_again:
        return f"{name}  (again: it stands above, {_short(spot.id)})"
    if spot.kind is ua.NodeClass.Method:
        return f"{name}()  never called"
    if variable is None:
        return name
    cells = (
        f"{name:<{_NAME_WIDTH}}",
        f"{type_text(variable):<{_TYPE_WIDTH}}",
        f"{value_text(variable):<{_VALUE_WIDTH}}",
        *_extras(variable),
        _short(spot.id),
    )
    return " ".join(cells)


def value_text(variable: Variable) -> str:
    """The value as the agent would read it, in a few characters."""
    sample = variable.sample
    if sample is None:
        return "not read"
    if sample.status >> 31:
        return status_name(sample.status)
    if sample.is_array:
        return _elements(variable)
    if sample.kind == Kind.EXTENSION_OBJECT:
        return "{...}"
    found = reading(sample, PLAIN)
    if found.value is None:
        return found.detail[:_LONGEST]
    text = repr(found.value) if isinstance(found.value, str) else str(found.value)
    known = variable.names.get(found.value) if variable.names and isinstance(found.value, int) else None
    text = f"{text} {known}" if known else text
    unit = f" {variable.unit}" if variable.unit else ""
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...") + unit


def _elements(variable: Variable) -> str:
    if not variable.items or variable.items[0].member:
        return "[...]"
    values = [str(item.trace.last) for item in variable.items[:_ELEMENTS]]
    more = ", ..." if len(variable.items) > _ELEMENTS else ""
    return f"[{', '.join(values)}{more}]"[:_LONGEST]


def _members(stem: str, variable: Variable | None) -> Iterator[str]:
    """A row for each value in a structure."""
    bar = stem.replace("├─ ", "│  ").replace("└─ ", "   ")
    for item in variable.items if variable is not None else ():
        if not item.member:
            continue
        at = "" if item.index is None else f"[{item.index}]"
        value = str(item.trace.last)[:_LONGEST]
        known = item.codes.get(item.trace.last, "") if item.codes and isinstance(item.trace.last, int) else ""
        cells = (
            f"{item.kind:<{_TYPE_WIDTH}} {f'{value} {known}':<{_VALUE_WIDTH}} {item.trace.often() or '-':<16}"
        )
        marked = f" <== {mark_text(item.mark)}" if item.mark is not None else ""
        yield f"{f'{bar}{at}.{item.member}':<{_NAME_WIDTH}} {cells}{marked}".rstrip()


def _extras(variable: Variable) -> Iterator[str]:
    plain = [item for item in variable.items if not item.member]
    often = next((text for item in plain if (text := item.trace.often())), "")
    yield f"{often or '-':<16}"
    yield "may be written" if variable.is_writable else "read only"
    for item in plain:
        if item.mark is not None:
            at = "" if item.index is None else f"[{item.index}] "
            yield f"<== {at}{mark_text(item.mark)}"
            return


def mark_text(mark: Mark) -> str:
    """`likely a counter (good)`, `a state by its name`."""
    role = f" ({mark.role})" if mark.role and mark.kind == "counter" else ""
    role = " (PackML)" if mark.map else role
    return f"likely a {mark.kind}{role}" if mark.is_sure else f"may be a {mark.kind}{role}, by its name"


def _short(node: ua.NodeId) -> str:
    text = node.to_string()
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}..."
