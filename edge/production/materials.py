"""Lots of material: put in use by a scan, used up by the parts that are made."""

from msgspec.structs import replace

from edge.observation import Material, WorkOrder
from edge.production.beside import LotTaken, Mount
from edge.production.context import Context
from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.scanning import Label
from edge.production.slots import MOST_NAMED, slots
from edge.production.state import Slot, order_key
from edge.production.takings import remember
from edge.production.traced import MaterialUsed


def material_of(order: WorkOrder | None, label: Label) -> tuple[Material, str] | None:
    """The material and the name of its lot, where the order is made of it.

    `STEEL.L77` is a lot of STEEL; so is a maker's label that says STEEL and L77, under the same name.
    """
    if order is None:
        return None
    name = label.body if label.item is None else f"{label.item}.{label.body}"
    return next(((one, name) for one in order.materials if _is_of(one, name, label.item)), None)


def _is_of(material: Material, name: str, item: str | None) -> bool:
    if item is not None:
        return item == material.item
    return name.startswith(f"{material.item}.") and len(name) > len(material.item) + 1


def order_of(draft: Draft, slot: Slot) -> WorkOrder | None:
    if slot.run.order is None:
        return None
    return draft.line.orders.get(slot.run.order) or draft.get(order_key(slot.run.order), WorkOrder)


def mount(
    draft: Draft, spec: StationSpec, slot: Slot, material: Material, lot: str, quantity: int | None = None
) -> str:
    """From now on parts are made of this lot; what the one before it gave is booked. `quantity`: in it."""
    found = slots(draft.station(spec))
    before = draft.station(spec).mounted.get(material.item)
    for one in found:
        _use(draft, spec, one, material.item)
    row = draft.station(spec)
    parts = {one.run.id: one.run.totals.produced for one in found}
    mounted = {**row.mounted, material.item: Mount(lot, parts)}
    draft.put(spec.key, replace(row, mounted=mounted))
    remember(draft, spec, f"L {lot}", LotTaken(material.item, lot, before), slot.context)
    there = (float(quantity),) if quantity else ()
    draft.say(MaterialUsed(material.item, lot, "mounted", *there), spec.name, slot.context)
    there_is = f", {quantity} in it" if quantity else ""
    return f"{lot} in use at {spec.name}{there_is}. A quantity now is of this lot"


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
    item = next((item for item, one in row.mounted.items() if one.lot == lot), "")
    remember(draft, spec, f"Q {quantity}", LotTaken(item, lot, quantity=quantity), slot.context)
    draft.say(MaterialUsed(item, lot, "scanned", float(quantity)), spec.name, slot.context)
    return f"{quantity} of the material {lot} used at {spec.name}: no parts were booked"


def take_lot_back(draft: Draft, spec: StationSpec, context: Context, taken: LotTaken) -> str:
    """Parts made since are of the lot before; of none, where there was none."""
    if taken.quantity:
        scanned = MaterialUsed(taken.material, taken.lot, "scanned", -float(taken.quantity))
        draft.say(scanned, spec.name, context)
        return f"{taken.quantity} of {taken.lot} taken back at {spec.name}"
    row, before = draft.station(spec), taken.before
    mounted = {item: one for item, one in row.mounted.items() if item != taken.material}
    draft.say(MaterialUsed(taken.material, taken.lot, "taken_back"), spec.name, context)
    if before is not None:  # what it gave until the scan is booked: it goes on from there
        mounted[taken.material] = Mount(before.lot, row.mounted[taken.material].parts)
    draft.put(spec.key, replace(row, mounted=mounted))
    in_use = f": {before.lot} is in use" if before is not None else ""
    return f"{taken.lot} taken back at {spec.name}{in_use}"


def lots_in_use(draft: Draft, spec: StationSpec) -> tuple[str, ...]:
    return tuple(one.lot for _, one in sorted(draft.station(spec).mounted.items()))
