"""What `lineside probe opcua` is given: one look at a server. It never writes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError

from adapters._opcua.binary import QName
from adapters._opcua.browse import View
from adapters._opcua.client import Endpoint, endpoints
from adapters._opcua.connect import connect
from adapters._opcua.errors import converted
from adapters._opcua.files import Unusable, chain
from adapters._opcua.identity import Party, own_identity
from adapters._opcua.link import Fault, Link
from adapters._opcua.nodes import UnknownNamespace, parse_node
from adapters._opcua.probe_marks import mark
from adapters._opcua.probe_models import Machine, machines_of
from adapters._opcua.probe_offers import STRONGEST_FIRST, chosen, first_certificate, offer_rows, thumbprint
from adapters._opcua.probe_pace import Pace
from adapters._opcua.probe_plan import Other, Plan, StationPlan, planned
from adapters._opcua.probe_read import MOST_WATCHED, Variable, variables, watch
from adapters._opcua.probe_rows import rows
from adapters._opcua.probe_walk import OBJECTS, Bounds, Spot, Tree, walk
from adapters._opcua.security import Protection
from adapters._opcua.settings import Settings
from adapters._opcua.trust import Claim, findings
from adapters._opcua.trusted import Trusted, TrustList
from adapters._opcua.values import status_name
from edge.contract import Secret, SourceError, SourceRefused
from edge.plural import counted

__all__ = ["Report", "StationPlan", "Wish", "checked", "probe"]

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to look at, and as whom."""

    endpoint: str
    name: str
    """The source's, in what is proposed."""
    station: str
    line: str
    """Named in the certificate of our own, where one is shown."""
    data: Path
    """The folder that has `pki` in it."""
    for_s: float = 10.0
    security: str | None = None
    """As the key `security`; None: what fits."""
    user: str | None = None
    password: Secret | None = None
    settings: Settings | None = None
    """Of a source that is written already: then security, user and password are its own."""
    trust: str = ""
    """Thumbprint of a server's certificate that is to be trusted from now on."""
    under: str = ""
    """The node to begin at; the Objects folder where it is empty."""
    nodes: int = 10_000
    show_all: bool = False


@dataclass(slots=True)
class Report:
    """What was found."""

    source: Mapping[str, Any]
    """The keys of `[source.NAME]`."""
    stations: Sequence[StationPlan] = ()
    telemetry: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    comments: Sequence[str] = ()
    others: Sequence[Other] = ()
    words: list[str] = field(default_factory=list)
    broken: str = ""
    """Why the look at it ended before its end; empty where it did not."""


def checked(url: str, security: str | None, user: str | None) -> str:
    """The URL as the key `endpoint` has it, with its port. Raises ValueError where one of them is none."""
    keys = {"endpoint": url, "security": "None" if security is None else security, "user": user}
    try:
        return Settings.model_validate({"type": "opcua", **keys}).endpoint
    except ValidationError as error:
        words = [_said(one["loc"], one["msg"], url, security) for one in error.errors()]
        raise ValueError("; ".join(words)) from None


def _said(place: tuple[int | str, ...], words: str, url: str, security: str | None) -> str:
    """What pydantic has said, of what was typed; a URL that may hold a password is not repeated."""
    if "security" in place:
        return f"--security {security}: write one of {', '.join(('None', *STRONGEST_FIRST))}"
    if "user" in place:
        return "--user: a name of 1 to 256 characters"
    if "@" in url:
        return "a user does not belong into the URL: use --user"
    return f"{url}: {words.removeprefix('Value error, ')}"


async def probe(wish: Wish, enough: asyncio.Event, tell: Tell) -> Report:
    """Look at the server; `enough` ends what is being done, and the next thing begins.

    Raises SourceLost or SourceRefused where nothing could be seen.
    """
    with converted(wish.name, wish.endpoint):
        offered = await endpoints(wish.endpoint, _REQUEST_S)
    for row in offer_rows(offered):
        tell(row)
    settings = wish.settings or _settings(wish, chosen(wish.name, offered, wish.user, wish.security))
    if settings.security != "None":
        await asyncio.to_thread(_prepare, wish, settings, offered, tell)
    tell(f"logging in with security {settings.security}, as {settings.user or 'nobody in particular'}")
    look = _Look(wish, Pace(enough), tell)
    try:
        async with connect(settings, Party(wish.name, wish.data, wish.line)) as (link, _):
            await look.at(link)
    except SourceError as error:
        if look.tree is None:
            raise await asyncio.to_thread(_advised, wish, settings, offered, error) from error
        look.broken = str(error)
    return look.report(_keys(wish, settings))


_REQUEST_S = 4.0
_SHORTEST_PRINT = 16
_NO_SERVICE = (StatusCodes.BadServiceUnsupported, StatusCodes.BadNotSupported, StatusCodes.BadNotImplemented)


def _settings(wish: Wish, security: str) -> Settings:
    return Settings.model_validate(
        {"type": "opcua", "endpoint": wish.endpoint, "security": security, "user": wish.user}
        | ({"password": wish.password} if wish.password is not None else {})
    )


def _keys(wish: Wish, settings: Settings) -> Mapping[str, Any]:
    """Of the source as it was reached; the password is named, never shown."""
    user = {"user": settings.user} if settings.user is not None else {}
    password = {"password": {"credential": wish.name}} if settings.password is not None else {}
    return {"type": "opcua", "endpoint": wish.endpoint, "security": settings.security, **user, **password}


def _prepare(wish: Wish, settings: Settings, offered: Sequence[Endpoint], tell: Tell) -> None:
    """A certificate of our own, and trust in the server's where it was asked for. Touches the disk."""
    if settings.certificate is None:
        identity = own_identity(Party(wish.name, wish.data, wish.line), Protection.bits(settings))
        tell(f"ours is {identity.path}: a server that refuses it must be told to trust it")
    if not wish.trust:
        return
    asked = wish.trust.replace(":", "").lower()
    for found in map(first_certificate, {one.certificate for one in offered}):
        if found is not None and len(asked) >= _SHORTEST_PRINT and thumbprint(found).startswith(asked):
            store = TrustList(wish.data / "pki")
            store.release(store.trust(found.public_bytes(Encoding.DER)).stem)
            return
    raise SourceRefused(wish.name, f"the server shows no certificate with the thumbprint {wish.trust}")


def _advised(wish: Wish, settings: Settings, offered: Sequence[Endpoint], error: SourceError) -> SourceError:
    """With what to type, where trust in the server's certificate is all that is missing. Touches the disk."""
    found = next((one for one in offered if one.security == settings.security), None)
    if settings.security == "None" or settings.server_certificate is not None or found is None:
        return error
    try:
        known, shown = TrustList(wish.data / "pki").load(), chain(found.certificate)
    except (Unusable, ValueError):
        return error
    claim = Claim(urlsplit(wish.endpoint).hostname or "", found.application_uri, shown)
    believed = replace(known, trusted=(*known.trusted, claim.own))
    if not _faults(claim, known) or _faults(claim, believed):
        return error
    words = "compare its thumbprint with what the server's own tool shows, then add"
    reason = f"the server's certificate is not trusted here: {words} --trust {thumbprint(claim.own)}"
    return SourceRefused(wish.name, f"{wish.endpoint}: {reason}")


def _faults(claim: Claim, known: Trusted) -> bool:
    return any(one.fault for one in findings(claim, known))


class _Look:
    """One session's reading, step after step; what was found so far is kept if a step fails."""

    def __init__(self, wish: Wish, pace: Pace, tell: Tell) -> None:
        self.tree: Tree | None = None
        self.broken = ""
        self._wish, self._pace, self._tell = wish, pace, tell
        self._found: list[Variable] = []
        self._machines: Sequence[Machine] = ()
        self._plan = Plan()

    async def at(self, link: Link) -> None:
        await link.learn_limits()
        namespaces = await link.namespaces()
        for index, uri in enumerate(namespaces[1:], 1):
            self._tell(f"  ns={index} is {uri[:200]}")
        view = View(link, namespaces)
        top = await _top(link, self._wish, namespaces)
        self.tree = await self._walked(link, top)
        self._pace.goes_on()
        self._found = await variables(view, self.tree, self._pace, self._tell)
        self._pace.goes_on()
        self._tell(f"watching for {self._wish.for_s:g} s what changes, or until Ctrl-C; nothing is written")
        count = await watch(link, self._found, self._wish.for_s, self._pace)
        if count == MOST_WATCHED:
            self._tell(
                f"only the first {MOST_WATCHED:,} values were watched: --under names a part of the tree"
            )
        self._pace.goes_on()
        self._machines = await machines_of(view, self.tree)
        self._mark()
        self._plan = planned(self._found, self._machines, namespaces, self._wish.name, self._wish.station)

    async def _walked(self, link: Link, top: Spot) -> Tree:
        try:
            return await walk(link, top, Bounds(self._wish.nodes), self._pace, self._tell)
        except Fault as fault:
            if fault.status not in _NO_SERVICE:
                raise
            words = "it shows nobody what it has: ask its maker for the node ids, and write them as node"
            raise SourceRefused(self._wish.name, f"{fault.reason}: {words}") from fault

    def _mark(self) -> None:
        for item in (item for one in self._found for item in one.items):
            item.mark = mark(item.names(), item.kind, bool(item.codes), item.trace)

    def report(self, source: Mapping[str, Any]) -> Report:
        words = []
        if self.tree is not None:
            by_id = {one.spot.id: one for one in self._found}
            machines = {one.spot: one.model for one in self._machines}
            for row in rows(self.tree, by_id, machines, self._wish.show_all):
                self._tell(row)
            words = _words(self.tree, self._found)
        plan = self._plan
        return Report(source, plan.stations, plan.telemetry, plan.comments, plan.others, words, self.broken)


async def _top(link: Link, wish: Wish, namespaces: Sequence[str]) -> Spot:
    """The node to begin at. Raises SourceRefused where there is none."""
    if not wish.under:
        return Spot(OBJECTS, "Objects", ua.NodeClass.Object, ua.NodeId())
    try:
        node = parse_node(wish.under).on(namespaces)
    except (ValueError, UnknownNamespace) as error:
        raise SourceRefused(wish.name, f"--under {wish.under}: {error}") from error
    (kind,) = await link.attributes([node], AttributeIds.NodeClass)
    (name,) = await link.attributes([node], AttributeIds.BrowseName)
    if kind.status >> 31 or not isinstance(name.raw, QName):
        raise SourceRefused(wish.name, f"--under {wish.under}: {status_name(kind.status or name.status)}")
    is_variable = kind.raw == ua.NodeClass.Variable
    return Spot(
        node, name.raw.name or "", ua.NodeClass.Variable if is_variable else ua.NodeClass.Object, ua.NodeId()
    )


def _words(tree: Tree, found: Sequence[Variable]) -> list[str]:
    marks = [item.mark for one in found for item in one.items if item.mark is not None]
    counters, states = (sum(one.kind == kind for one in marks) for kind in ("counter", "state"))
    changed = sum(any(item.trace.changes for item in one.items) for one in found)
    writable = sum(one.is_writable for one in found)
    seen = f"{counted(tree.count, 'node')}, {counted(len(found), 'variable')}, {changed:,} of them changed"
    words = [f"{seen}; marked: {counted(counters, 'counter')}, {counted(states, 'state')}"]
    if writable:
        words.append(f"this user may write {counted(writable, 'variable')}: one that may only read would do")
    if not tree.is_whole:
        words.append("this is not the whole server: --most takes more nodes, --under begins at one of them")
    return words
