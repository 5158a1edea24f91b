"""Lots of material: put in use by a scan, used up by the parts that are made."""

from msgspec.structs import replace

from edge.observation import Material, WorkOrder
from edge.production.draft import Draft
from edge.production.events import MaterialUsed
from edge.production.line import StationSpec
from edge.production.slots import MOST_NAMED, slots
from edge.production.state import Mount, Slot, order_key


def material_of(order: WorkOrder | None, body: str) -> tuple[Material, str] | None:
    """`STEEL.L77` is lot `STEEL.L77` of material STEEL, where the order is made of it."""
    if order is None:
        return None
    return next(
        (
            (one, body)
            for one in order.materials
            if body.startswith(f"{one.item}.") and len(body) > len(one.item) + 1
        ),
        None,
    )


def order_of(draft: Draft, slot: Slot) -> WorkOrder | None:
    if slot.run.order is None:
        return None
    return draft.line.orders.get(slot.run.order) or draft.get(order_key(slot.run.order), WorkOrder)


def mount(draft: Draft, spec: StationSpec, slot: Slot, material: Material, lot: str) -> str:
    """From now on parts are made of this lot; what the one before it gave is booked."""
    found = slots(draft.station(spec))
    for one in found:
        _use(draft, spec, one, material.item)
    row = draft.station(spec)
    parts = {one.run.id: one.run.totals.produced for one in found}
    mounted = {**row.mounted, material.item: Mount(lot, parts)}
    draft.put(spec.key, replace(row, mounted=mounted, undo=None))
    draft.say(MaterialUsed(material.item, lot, "mounted"), spec.name, slot.context)
    return f"{lot} in use at {spec.name}"


def use_up(draft: Draft, spec: StationSpec, slot: Slot) -> None:
    """A run ends: what its parts are made of is booked. The lots stay in use."""
    for item in sorted(draft.station(spec).mounted):
        _use(draft, spec, slot, item)


def _use(draft: Draft, spec: StationSpec, slot: Slot, item: str) -> None:
    """Backflush: parts made since the lot was put in use, times the need of one."""
    row, order = draft.station(spec), order_of(draft, slot)
    mounted = row.mounted.get(item)
    need = next((one for one in order.materials if one.item == item), None) if order else None
    if mounted is None or need is None:
        return
    parts = slot.run.totals.produced - mounted.parts.get(slot.run.id, 0)
    if parts > 0:
        used = round(parts * need.per_part, 6)
        # A run that ends can be taken up again: what is booked is not booked twice.
        booked = {**mounted.parts, slot.run.id: slot.run.totals.produced}
        mounted = Mount(mounted.lot, dict(list(booked.items())[-MOST_NAMED:]))
        draft.put(spec.key, replace(row, mounted={**row.mounted, item: mounted}))
        draft.say(MaterialUsed(item, mounted.lot, "backflush", used), spec.name, slot.context)


def use_scanned(draft: Draft, spec: StationSpec, slot: Slot, lot: str, quantity: int) -> str:
    """A person says how much of the lot in use was taken, beside what its parts need."""
    row = draft.station(spec)
    draft.put(spec.key, replace(row, undo=None))
    item = next((item for item, one in row.mounted.items() if one.lot == lot), "")
    draft.say(MaterialUsed(item, lot, "scanned", float(quantity)), spec.name, slot.context)
    return f"{quantity} of {lot} used at {spec.name}"


def lots_in_use(draft: Draft, spec: StationSpec) -> tuple[str, ...]:
    return tuple(one.lot for _, one in sorted(draft.station(spec).mounted.items()))
