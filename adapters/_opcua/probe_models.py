"""Machines in a server's tree that follow a companion specification, told by their types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from asyncua import ua

from adapters._opcua.address import Address
from adapters._opcua.browse import View
from adapters._opcua.machines import locate
from adapters._opcua.models import MODELS, Model
from adapters._opcua.probe_walk import Spot, Tree
from adapters._opcua.resolve import Resolved, combine, resolve
from adapters._opcua.values import reading
from edge.contract import Signal

_MOST_MACHINES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """A machine that follows a companion specification."""

    model: str
    name: str
    """As the key `machine` names it: its own name, or the end of its path where others are called so too."""
    spot: Spot
    parts: Sequence[str]
    """What it has of the model's parts, by the search that the agent does."""
    missing: Mapping[str, str]
    """What it has not, or what cannot be read of it now; and why, where it is there."""


async def machines_of(view: View, tree: Tree) -> list[Machine]:
    """Every machine in the tree, of a model's own types or of a maker's that are derived from them."""
    spots = [one for one in tree.top.below() if one.kind is ua.NodeClass.Object and not one.is_again]
    found: list[Machine] = []
    for name, model in MODELS.items():
        if model.uri not in view.namespaces:
            continue
        kinds = await _kinds(view, model)
        owners = [_machine(one, model) for one in spots if one.type in kinds]
        machines = list(dict.fromkeys(one for one in owners if one is not None))[:_MOST_MACHINES]
        found += await _described(view, name, {_called(one, machines): one for one in machines})
    return [one for one in found if one.parts or any(one.missing.values())]


async def _kinds(view: View, model: Model) -> set[ua.NodeId]:
    index = ua.Int16(view.namespaces.index(model.uri))
    roots = list(model.kinds) if model.machine_type is None else [model.machine_type]
    kinds: set[ua.NodeId] = set()
    for number in roots:
        kinds |= await view.subtypes(ua.NodeId(ua.Int32(number), index, ua.NodeIdType.Numeric))
    return kinds


def _machine(spot: Spot, model: Model) -> Spot | None:
    """The machine that this object is, or is a part of."""
    if model.machine_type is not None:
        return spot
    owner = spot.above
    while owner is not None and owner.name in model.blocks:
        owner = owner.above
    return owner


def _called(spot: Spot, machines: Sequence[Spot]) -> str:
    names = spot.names()
    others = ["/".join(["", *one.names()]) for one in machines if one is not spot]
    ends = ("/".join(names[at:]) for at in range(len(names) - 1, -1, -1))
    return next((end for end in ends if not any(one.endswith(f"/{end}") for one in others)), spot.name)


async def _described(view: View, model: str, machines: Mapping[str, Spot]) -> list[Machine]:
    """What each has of the model's parts; all of them in one search."""
    parts = MODELS[model].parts
    places = [(name, part) for name in machines for part in parts]
    wanted = [
        Address.model_validate({"model": model, "machine": name, "part": part}) for name, part in places
    ]
    located = zip(places, wanted, await locate(view, wanted), strict=True)
    there = {place: one for place, one, found in located if not found.fault or found.given_up}
    signals = [Signal(".".join(place), one, timedelta(seconds=1)) for place, one in there.items()]
    resolved = zip(there, await resolve(view.link, signals), strict=True)
    why = {place: one.fault or await _unread(view, one) for place, one in resolved}
    return [_machine_of(model, name, spot, {part: why.get((name, part)) for part in parts})
            for name, spot in machines.items()]  # fmt: skip


def _machine_of(model: str, name: str, spot: Spot, why: Mapping[str, str | None]) -> Machine:
    """`why`: for each part why it is not read, empty where it is, None where there is none."""
    missing = {part: words or "" for part, words in why.items() if words or words is None}
    return Machine(model, name, spot, [part for part in why if part not in missing], missing)


async def _unread(view: View, one: Resolved) -> str:
    """Why the agent would not read it now; empty where it would."""
    samples = await view.link.read([one.node, *one.more])
    readings = [reading(sample, one.pick) for sample in samples]
    now = combine(readings) if one.more else readings[0]
    return now.detail if now.value is None else ""
