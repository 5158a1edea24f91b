"""Browse paths and members as people write them: `nsu=urn:acme:press;Press/Total`, `Counts[0].AccCount`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua.nodes import UnknownNamespace

_PREFIX = re.compile(r"nsu=(?P<uri>[^;]+);|ns=(?P<index>[0-9]{1,5});|(?P<short>[0-9]{1,5}):")
_NAME = re.compile(r"[^/]*")
_STEP = re.compile(r"([^.\[\]]+)(?![^\[]*\])|\[([0-9]{1,9})\]")
_MEMBER = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[[0-9]{1,9}\])*")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MOST_STEPS = 50
_LONGEST_NAME = 512  # of a QualifiedName, OPC 10000-3, 8.3
_EXAMPLE = 'write it as "nsu=urn:acme:press;Press/Count/Total" or "2:Press/2:Count/2:Total"'
_MEMBER_EXAMPLE = 'write it as "AccCount" or "ProdProcessedCount[0].AccCount"'


@dataclass(frozen=True, slots=True)
class Step:
    """One browse name on the way; its namespace may still be a URI."""

    name: str
    index: int = 0
    uri: str | None = None

    def on(self, namespaces: Sequence[str]) -> ua.QualifiedName:
        """Raises UnknownNamespace."""
        if self.uri is None:
            return ua.QualifiedName(ua.String(self.name), ua.UInt16(self.index))
        if self.uri not in namespaces:
            raise UnknownNamespace(self.uri, namespaces)
        return ua.QualifiedName(ua.String(self.name), ua.UInt16(namespaces.index(self.uri)))


def parse_path(text: str) -> tuple[Step, ...]:
    """The browse names from the Objects folder on. Raises ValueError.

    A namespace (`nsu=URI;`, `ns=2;` or `2:`) holds until another is named; the first is 0, that of OPC UA
    itself. In a name `%2F` is a slash, `%3A` a colon, `%3B` a semicolon and `%25` a percent sign.
    """
    rest, steps, index, uri = text.strip().removeprefix("/"), list[Step](), 0, None
    while True:
        if (prefix := _PREFIX.match(rest)) is not None:
            index, uri = int(prefix["index"] or prefix["short"] or 0), _uri(prefix["uri"])
            rest = rest[prefix.end() :]
        found = _NAME.match(rest)
        written = found[0] if found else ""
        steps.append(Step(_name(written), _index(index), uri))
        if len(steps) > _MOST_STEPS:
            raise ValueError(f"a path has {_MOST_STEPS} names at the most")
        if len(written) == len(rest):
            return _from_objects(steps)
        rest = rest[len(written) + 1 :]


def _from_objects(steps: list[Step]) -> tuple[Step, ...]:
    """Clients show paths with the Objects folder in front; it is where every path begins."""
    if steps[0] == Step("Objects") and len(steps) > 1:
        return tuple(steps[1:])
    return tuple(steps)


def _uri(written: str | None) -> str | None:
    return None if written is None else written.replace("%3B", ";").replace("%25", "%")


def _index(index: int) -> int:
    if index > 0xFFFF:
        raise ValueError("a namespace index goes up to 65535")
    return index


def _name(written: str) -> str:
    if _BARE_PERCENT.search(written) is not None:
        raise ValueError(f"{written} has a % without two hexadecimal digits; a percent sign is %25")
    try:
        name = unquote(written, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"{written} has a % that begins no UTF-8 character; a percent sign is %25") from None
    if not name:
        raise ValueError(f"a name on the path is missing; {_EXAMPLE}")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"a browse name has {_LONGEST_NAME} characters at the most")
    return name


def shown(name: str) -> str:
    """A browse name as it is written in a path."""
    is_ambiguous = _PREFIX.match(name) is not None
    name = name.replace("%", "%25").replace("/", "%2F")
    return name.replace(":", "%3A").replace(";", "%3B") if is_ambiguous else name


def browse_path(steps: Sequence[Step], namespaces: Sequence[str]) -> ua.BrowsePath:
    """For TranslateBrowsePathsToNodeIds, from the Objects folder. Raises UnknownNamespace."""
    return relative_path(
        ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder)), [step.on(namespaces) for step in steps]
    )


def relative_path(start: ua.NodeId, names: Sequence[ua.QualifiedName]) -> ua.BrowsePath:
    """Along hierarchical references of every kind."""
    elements = [
        ua.RelativePathElement(
            ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences)),
            IsInverse=False,  # type: ignore[arg-type]  # its Boolean takes no value
            IncludeSubtypes=True,  # type: ignore[arg-type]
            TargetName=name,
        )
        for name in names
    ]
    return ua.BrowsePath(StartingNode=start, RelativePath=ua.RelativePath(Elements=elements))


def parse_member(text: str) -> tuple[str | int, ...]:
    """`"Counts[0].AccCount"` is `("Counts", 0, "AccCount")`. Raises ValueError."""
    steps = _STEP.findall(text)
    if _MEMBER.fullmatch(text) is None or len(steps) > _MOST_STEPS:
        raise ValueError(f"not a member; {_MEMBER_EXAMPLE}")
    return tuple(name or int(index) for name, index in steps)
