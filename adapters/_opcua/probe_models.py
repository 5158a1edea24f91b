"""Machines in a server's tree that follow a companion specification, told by their types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asyncua import ua

from adapters._opcua.address import Address
from adapters._opcua.browse import View
from adapters._opcua.machines import locate
from adapters._opcua.models import MODELS, Model
from adapters._opcua.probe_walk import Spot, Tree

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
    missing: Sequence[str]
    """What it has not."""


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
        found += [await _described(view, name, one, _called(one, machines)) for one in machines]
    return [one for one in found if one.parts]


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


async def _described(view: View, model: str, spot: Spot, name: str) -> Machine:
    parts: Mapping[str, object] = MODELS[model].parts
    wanted = [Address.model_validate({"model": model, "machine": name, "part": part}) for part in parts]
    located = await locate(view, wanted)
    there = [part for part, one in zip(parts, located, strict=True) if not one.fault]
    return Machine(model, name, spot, there, [part for part in parts if part not in there])
