"""What is wrong with a browse path that leads nowhere: how far it goes, and what there is instead."""

from collections.abc import Sequence
from difflib import get_close_matches

from asyncua import ua

from adapters._opcua.browse import OBJECTS_FOLDER, Seen, View
from adapters._opcua.link import Fault
from adapters._opcua.paths import Step, browse_path, shown
from adapters._opcua.values import status_name

_SHOWN = 8
_COMPARED, _LONGEST = 500, 200
"""Names that a wrong one is compared with, and how much of each."""


async def explain(view: View, steps: Sequence[Step], status: int, targets: int) -> str:
    """In words, with the nearest name that the server has."""
    if targets > 1:
        return _ambiguous(targets)
    node, gone = await _as_far_as_it_goes(view, steps)
    if node is None:
        return f"the server cannot follow it ({status_name(status)}): name the node with node"
    try:
        return await _missing(view, node, steps, gone)
    except Fault as fault:
        return (
            f"it has no {_written(view, steps[gone])} on this path, and cannot say what else: {fault.reason}"
        )


async def walked(view: View, steps: Sequence[Step]) -> tuple[ua.NodeId | None, str]:
    """The node at the end of the path, by Browse alone: for servers that follow no paths. Else why not."""
    edge: Sequence[ua.NodeId] = [OBJECTS_FOLDER]
    for gone, step in enumerate(steps):
        name = step.on(view.namespaces)
        below = await view.below(edge)
        found = dict.fromkeys(
            one.node
            for some in below
            for one in some
            if (one.name, one.space) == (name.Name, name.NamespaceIndex)
        )
        if not found:
            return None, await _missing(view, edge[0], steps, gone)
        edge = [*found]
    return (edge[0], "") if len(edge) == 1 else (None, _ambiguous(len(edge)))


def _ambiguous(nodes: int) -> str:
    return f"{nodes} nodes have this path: name the one that is meant with node"


async def _missing(view: View, node: ua.NodeId, steps: Sequence[Step], gone: int) -> str:
    """What there is where the path ends; `gone` names lead there."""
    (below,) = await view.below([node])
    here = "the Objects folder" if gone == 0 else "/".join(shown(one.name) for one in steps[:gone])
    return f"{here} has no {_written(view, steps[gone])}; {_instead(view, below, steps[gone])}"


async def _as_far_as_it_goes(view: View, steps: Sequence[Step]) -> tuple[ua.NodeId | None, int]:
    """The last node on the way, and how many names lead there; None where all of it can be followed."""
    parts = [browse_path(steps[:length], view.namespaces) for length in range(1, len(steps) + 1)]
    node: ua.NodeId = OBJECTS_FOLDER
    for gone, result in enumerate(await view.translate(parts)):
        found = view.here(result.Targets[0].TargetId) if result.Targets else None
        if found is None:
            return node, gone
        node = found
    return None, len(steps)


def _written(view: View, step: Step) -> str:
    index = step.on(view.namespaces).NamespaceIndex
    return f"{index}:{shown(step.name)}" if index else shown(step.name)


def _instead(view: View, below: Sequence[Seen], step: Step) -> str:
    if not below:
        return "there is nothing in it"
    same = [one for one in below if one.name == step.name]
    if same:
        space = same[0].space
        uri = view.namespaces[space] if space < len(view.namespaces) else ""
        return f'that name is in another namespace: write "nsu={uri};{shown(step.name)}"'
    near = get_close_matches(step.name, [one.name[:_LONGEST] for one in below[:_COMPARED]], 1, 0.6)
    if near:
        return f"did you mean {shown(near[0])}?"
    names = [shown(one.name) for one in below]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"it has {', '.join(names[:_SHOWN])}{more}"
