"""Machines that follow a companion specification: what is known of them before any server is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Part = Literal["total", "reject", "state", "mode"]

PACKML_URI = "http://opcfoundation.org/UA/PackML/"
MACHINERY_URI = "http://opcfoundation.org/UA/Machinery/"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a machine has one part: an object by its browse name, a variable in it, a value in that."""

    holders: tuple[str, ...]
    """Browse names of objects, one after the other, without namespace; none: the machine itself."""
    variable: str
    index: int | None = None
    member: str | None = None
    deeper: tuple[tuple[str, ...], ...] = ()
    """Of a state that is spread over state machines: the holders of those inside it, outer first."""

    @property
    def words(self) -> str:
        return ".".join((*self.holders, self.variable))


@dataclass(frozen=True, slots=True)
class Model:
    """One companion specification."""

    name: str
    uri: str
    machine_type: int | None
    """Numeric id of the object type that every machine has; None: a machine is what holds one of `kinds`."""
    kinds: Mapping[int, str]
    """Types of the objects inside a machine that hold its parts, and the browse name that stands for them."""
    blocks: frozenset[str]
    """Names of objects between a machine and what holds its parts."""
    state_machines: tuple[int, ...]
    """Types whose components are the states that a CurrentState/Id names."""
    folder: int
    """Where the specification wants machines to be: numeric id of an object."""
    parts: Mapping[str, tuple[Spot, ...]]
    """For each part the places it may be in, the best first."""
    keys: Mapping[str, Mapping[str, object]]
    """For each part the keys that its table has besides the address."""

    def tables(self) -> dict[str, dict[str, object]]:
        """The signals of a station that follows it: for each role the keys of its table."""
        model = next(name for name, one in MODELS.items() if one is self)
        return {part: {"model": model, "part": part, **self.keys[part]} for part in self.parts}


_EXECUTE_STATE = ("BaseStateMachine", "MachineState", "ExecuteState")

PACKML = Model(
    name="PackML",
    uri=PACKML_URI,
    machine_type=6,  # PackMLBaseObjectType, OPC 30050, 6.3.2
    kinds={},
    blocks=frozenset(),
    state_machines=(3, 2, 1),  # the outer, the middle and the inner one, 6.3.6 to 6.3.8
    folder=72,  # PackMLObjects, OPC 30050, 6.2
    parts={
        "total": (Spot(("Admin",), "ProdProcessedCount", 0, "AccCount"),),
        "reject": (Spot(("Admin",), "ProdDefectiveCount", 0, "AccCount"),),
        "state": (
            Spot(("Status",), "StateCurrent"),
            Spot(_EXECUTE_STATE[:1], "CurrentState", deeper=(_EXECUTE_STATE[:2], _EXECUTE_STATE)),
        ),
        "mode": (Spot(("Status",), "UnitModeCurrent"),),
    },
    # AccCount is an Int32 that goes back to 0 after 2147483647, ISA-TR88.00.02.
    keys={
        "total": {"counter": "u31"},
        "reject": {"counter": "u31"},
        "state": {"map": "packml"},
        "mode": {"map": "packml"},
    },
)

MACHINERY = Model(
    name="OPC UA for Machinery",
    uri=MACHINERY_URI,
    machine_type=None,
    kinds={
        1002: "MachineryItemState",  # MachineryItemState_StateMachineType, OPC 40001-1, 12.2
        1008: "MachineryOperationMode",  # MachineryOperationModeStateMachineType, 13.2
        1009: "OperationCounters",  # MachineryOperationCounterType, 14.2
    },
    blocks=frozenset({"MachineryBuildingBlocks", "Monitoring", "Status"}),
    state_machines=(1002, 1008),
    folder=1001,  # Machines, OPC 40001-1, 9.2
    parts={
        "total": (Spot(("OperationCounters",), "OperationCycleCounter"),),
        "state": (Spot(("MachineryItemState",), "CurrentState"),),
        "mode": (Spot(("MachineryOperationMode",), "CurrentState"),),
    },
    keys={
        "total": {"counter": "u32"},
        "state": {"map": "machinery"},
        "mode": {"map": "machinery"},
    },
)

MODELS: Mapping[str, Model] = {"packml": PACKML, "machinery": MACHINERY}
