"""The tree of a server whose references say anything at all."""

import asyncio
import time
from collections.abc import Callable, Sequence

from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from adapters._opcua.binary import Sample
from adapters._opcua.link import Fault
from adapters._opcua.probe_pace import Pace
from adapters._opcua.probe_read import Variable, _read, watch
from adapters._opcua.probe_rows import MOST_SHOWN, rows
from adapters._opcua.probe_types import DataType
from adapters._opcua.probe_walk import MOST_DEEP, OBJECTS, Bounds, Spot, Tree, walk

Children = Callable[[ua.NodeId], Sequence[ua.ReferenceDescription]]


class Forest:
    """A server that answers browse requests from a function, and remembers what it was asked."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self.requests: list[int] = []
        self.asked: list[ua.NodeId] = []

    async def browse(
        self, wanted: Sequence[ua.BrowseDescription], most: int
    ) -> list[list[ua.ReferenceDescription]]:
        assert {one.BrowseDirection for one in wanted} == {ua.BrowseDirection.Forward}
        self.requests.append(len(wanted))
        self.asked += [one.NodeId for one in wanted]
        return [list(self._children(one.NodeId))[:most] for one in wanted]


def node(name: str) -> ua.NodeId:
    return ua.NodeId(ua.String(name), ua.Int16(2))


def reference(
    name: str, kind: ua.NodeClass = ua.NodeClass.Object, **remote: object
) -> ua.ReferenceDescription:
    target = ua.ExpandedNodeId(ua.String(name), ua.Int16(2), ua.NodeIdType.String, **remote)  # type: ignore[arg-type]
    return ua.ReferenceDescription(
        NodeId=target, BrowseName=ua.QualifiedName(ua.String(name), ua.UInt16(2)), NodeClass=kind
    )


async def grown(forest: Forest, most: int = 10_000, enough: asyncio.Event | None = None) -> Tree:
    top = Spot(OBJECTS, "Objects", ua.NodeClass.Object, ua.NodeId())
    return await walk(forest, top, Bounds(most), Pace(enough or asyncio.Event()), lambda _: None)


def named(tree: Tree) -> list[str]:
    return ["/".join(one.names()) for one in tree.top.below()][1:]


async def test_a_cycle_is_walked_once_and_said() -> None:
    ring = {"": ["a"], "a": ["b"], "b": ["a", "c"]}
    forest = Forest(lambda at: [reference(one) for one in ring.get(_text(at), [])])
    tree = await grown(forest)
    assert named(tree) == ["a", "a/b", "a/b/a", "a/b/c"]
    assert [one.is_again for one in tree.top.below()] == [False, False, False, True, False]
    assert len(forest.asked) == len(set(forest.asked))
    assert any("again" in row for row in rows(tree, {}, {}, show_all=True))


def _text(at: ua.NodeId) -> str:
    return at.Identifier if isinstance(at.Identifier, str) else ""


async def test_a_hundred_thousand_nodes_in_a_folder_leave_room_for_its_neighbours() -> None:
    huge = [reference(f"n{number}", ua.NodeClass.Variable) for number in range(100_000)]
    folders = {"": [reference("Huge"), reference("Press")], "Huge": huge, "Press": [reference("Count")]}
    tree = await grown(Forest(lambda at: folders.get(_text(at), [])), most=2_000)
    assert tree.count <= 2_000
    assert not tree.is_whole
    assert "Press/Count" in named(tree)
    shown = list(rows(tree, {}, {}, show_all=False))
    assert len(shown) < 2 * MOST_SHOWN
    assert any("more" in row for row in shown)


async def test_a_tree_without_a_floor_ends() -> None:
    tree = await grown(Forest(lambda at: [reference(f"{_text(at)}x")]))
    assert tree.count == MOST_DEEP
    assert not tree.is_whole


async def test_what_lives_on_another_server_and_the_servers_own_nodes_are_left_out() -> None:
    own = ua.ReferenceDescription(
        NodeId=ua.ExpandedNodeId(ua.Int32(2253)), BrowseName=ua.QualifiedName(ua.String("Server"))
    )
    strange = [reference("far", ServerIndex=ua.UInt32(3)), reference("uri", NamespaceUri=ua.String("urn:x"))]
    tree = await grown(Forest(lambda at: [own, *strange, reference("near")] if at == OBJECTS else []))
    assert named(tree) == ["near"]


async def test_a_method_is_shown_and_never_looked_into() -> None:
    forest = Forest(lambda at: [reference("Reset", ua.NodeClass.Method)] if at == OBJECTS else [])
    tree = await grown(forest)
    assert forest.asked == [OBJECTS]
    assert list(rows(tree, {}, {}, show_all=False)) == ["Objects", "└─ Reset()  never called"]


async def test_enough_is_enough() -> None:
    enough = asyncio.Event()

    def children(at: ua.NodeId) -> Sequence[ua.ReferenceDescription]:
        if at != OBJECTS:
            enough.set()
        return [reference(f"{_text(at)}.{number}") for number in range(99)]

    tree = await grown(Forest(children), enough=enough)
    assert not tree.is_whole
    assert tree.count < 99 * 60


async def test_a_slow_server_is_left_alone_half_of_the_time() -> None:
    class Slow(Forest):
        async def browse(
            self, wanted: Sequence[ua.BrowseDescription], most: int
        ) -> list[list[ua.ReferenceDescription]]:
            await asyncio.sleep(0.1)
            return await super().browse(wanted, most)

    began_s = time.monotonic()
    await grown(Slow(lambda at: [reference(f"{_text(at)}x")] if len(_text(at)) < 3 else []))
    assert time.monotonic() - began_s >= 0.8


@given(st.lists(st.text(max_size=30), max_size=20))
def test_names_make_no_row_of_their_own(names: list[str]) -> None:
    top = Spot(OBJECTS, "Objects", ua.NodeClass.Object, ua.NodeId())
    for one in names:
        top.children.append(Spot(node("x"), one, ua.NodeClass.Object, ua.NodeId(), top))
    shown = list(rows(Tree(top, len(names)), {}, {}, show_all=True))
    assert len(shown) == 1 + len(names)
    assert all(one in row for one, row in zip(names, shown[1:], strict=True))


class Shelf:
    """Values that are read together, one of which is too long for any message."""

    def __init__(self) -> None:
        self.rounds = 0

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[Sample]:
        if node("long") in nodes:
            raise Fault("plc-1", "BadResponseTooLarge", 0x80B90000)
        self.rounds += 1
        return [Sample(self.rounds, kind=6) for _ in nodes]


async def test_a_value_that_no_message_holds_hinders_no_other() -> None:
    top = Spot(OBJECTS, "Objects", ua.NodeClass.Object, ua.NodeId())
    spots = [Spot(node(one), one, ua.NodeClass.Variable, ua.NodeId(), top) for one in ("a", "long", "b")]
    made = [Variable(one, DataType("Int32", "Int32"), -1, False) for one in spots]
    pace, shelf = Pace(asyncio.Event()), Shelf()
    await _read(shelf, made, 10, pace)
    assert [one.sample is None for one in made] == [False, True, False]
    assert await watch(shelf, made, 0.6, pace) == 2
    assert [one.items[0].trace.changes > 0 for one in made if one.items] == [True, True]
