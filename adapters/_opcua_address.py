"""Where a value is on a server: the keys of one signal."""

from typing import Annotated

from pydantic import AfterValidator

from adapters._opcua_nodes import parse_node
from edge.contract import SignalAddress


def _node(text: str) -> str:
    parse_node(text)
    return text.strip()


class Address(SignalAddress):
    """Where a value is on the server."""

    node: Annotated[str, AfterValidator(_node)]
    """`"nsu=urn:acme:press;s=Count.Total"`, or with an index, `"ns=2;s=Count.Total"`."""
