"""The API's description, an OpenAPI 3.1 document, made from the models that the answers are made of."""

from typing import Any

from msgspec import json

from edge import __version__
from edge.board.refusal import JSON, Fault
from edge.board.snapshot import Snapshot
from edge.commands import LAST_MS
from edge.config.tables import OrderTable
from edge.inbox import Unassigned
from edge.observation import Adjust, JobCommand, LotChange, Outcome, Reassign, SettleHeld
from edge.orders import Taken
from edge.orders.files import MOST
from edge.readmodel import OrderView
from edge.resultform import JobResult

_SCHEMAS = "#/components/schemas/{name}"
_BEARER = "bearer"


class Refused(Taken, frozen=True, kw_only=True):
    """Some rows were refused; what is counted as accepted is in all the same."""

    error: str


def describe(credentials: bool = False) -> dict[str, Any]:
    """The document. `credentials`: whether orders need a client's token."""
    models = [list[OrderView], Taken, Refused, Snapshot, Fault, Outcome, JobResult, Unassigned, *_COMMANDS]
    (_, *_), schemas = json.schema_components(models, ref_template=_SCHEMAS)
    schemas |= {kind.__name__: _command(schemas[kind.__name__]) for kind in _COMMANDS}
    schemas["LotShare"]["additionalProperties"] = False
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lineside", "version": __version__, "description": _ABOUT},
        "paths": {
            "/api/orders": {"get": _get_all(), "post": _post(credentials)},
            "/api/orders/{id}": {"get": _get_one()},
            "/api/orders/{id}/result": {"get": _get_result()},
            "/api/inbox": {"get": _get_inbox()},
            "/api/commands": {"post": _post_command(credentials)},
            "/api/line": {"get": _get_line()},
            "/api/openapi.json": {"get": _get_description()},
        },
        "components": {
            "schemas": {"Order": _order(), **schemas},
            "responses": {f"Fault{status}": _fault(status) for status in _statuses(credentials)},
            **({"securitySchemes": {_BEARER: _scheme()}} if credentials else {}),
        },
    }


_ABOUT = (
    "Orders of one line, what became of them, and how it is doing. To send the same order again does no "
    "harm; after a command without an answer, see first whether it was done. Whatever is refused is "
    "a Fault: a path that is not in this document with 404, a method with 405 and Allow."
)


_NO_CONTROLS = "^[^\\u0000-\\u001f\\u007f-\\u00a0]*$"
"""What makes a text printable, as far as a pattern can say it."""


def _order() -> dict[str, Any]:
    order = OrderTable.model_json_schema()
    properties = order["properties"]
    properties["operations"]["uniqueItems"] = True  # what a validator checks pydantic does not tell
    for text in (properties["item"], properties["revision"]["anyOf"][0], properties["batch"]["anyOf"][0]):
        text["pattern"] = _NO_CONTROLS
    return order | {"title": "Order"}


def _get_all() -> dict[str, Any]:
    return {
        "operationId": "listOrders",
        "summary": "Every order by its id, and what has been made of it",
        "responses": {
            "200": _holds("The orders", {"type": "array", "items": _ref("OrderView")}),
            **_faults(503),
        },
    }


def _get_one() -> dict[str, Any]:
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": "showOrder",
        "summary": "One order",
        "parameters": [name],
        "responses": {"200": _holds("The order", _ref("OrderView")), **_faults(404, 503)},
    }


def _get_result() -> dict[str, Any]:
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": "showResult",
        "summary": "What became of an order until now, a result for each operation",
        "parameters": [name],
        "responses": {
            "200": _holds("The results", {"type": "array", "items": _ref("JobResult")}),
            **_faults(404, 503),
        },
    }


def _get_inbox() -> dict[str, Any]:
    return {
        "operationId": "showInbox",
        "summary": "Parts that no order is known for, and whose they may be",
        "responses": {
            "200": _holds("The oldest first", {"type": "array", "items": _ref("Unassigned")}),
            **_faults(503),
        },
    }


_COMMANDS = (Reassign, Adjust, SettleHeld, JobCommand, LotChange)


def _command(model: dict[str, Any]) -> dict[str, Any]:
    """As a client sends it: who asks is known by its token."""
    properties = {name: schema for name, schema in model["properties"].items() if name != "by"}
    for name in ("from_ms", "to_ms"):
        if name in properties:
            properties[name] = {
                "anyOf": [{"type": "integer", "minimum": 0, "maximum": LAST_MS}, {"type": "null"}],
                "default": None,
            }
    if "verb" in properties:
        properties["verb"] = {"enum": ["hold", "release", "end", "abort"]}
    required = [name for name in model["required"] if name != "by"]
    return model | {"properties": properties, "required": required, "additionalProperties": False}


def _post_command(credentials: bool) -> dict[str, Any]:
    body = {
        "oneOf": [_ref(kind.__name__) for kind in _COMMANDS],
        "discriminator": {"propertyName": "type", "mapping": {
            kind.__struct_config__.tag: _SCHEMAS.format(name=kind.__name__) for kind in _COMMANDS
        }},
    }  # fmt: skip
    return {
        "operationId": "sendCommand",
        "summary": "Give parts to another order, adjust a run, steer a job, split or merge lots",
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {
            "200": _holds("Done, and on disk", _ref("Outcome")),
            **_faults(413, 422, 503, *((401, 429) if credentials else ())),
        },
        **({"security": [{_BEARER: []}]} if credentials else {}),
    }


def _get_line() -> dict[str, Any]:
    return {
        "operationId": "showLine",
        "summary": "What the board shows",
        "responses": {"200": _holds("The newest snapshot", _ref("Snapshot")), **_faults(503)},
    }


def _post(credentials: bool) -> dict[str, Any]:
    body = {"oneOf": [_ref("Order"), {"type": "array", "items": _ref("Order"), "maxItems": MOST}]}
    return {
        "operationId": "sendOrders",
        "summary": "One order or a list; a bad one is refused and the good ones go in",
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {
            "200": _holds("All of them were here already, just so", _ref("Taken")),
            "201": _holds("On disk; some are new or changed", _ref("Taken")),
            "422": _holds("Some were refused; the others are on disk", _ref("Refused")),
            **_faults(413, 503, *((401, 429) if credentials else ())),
        },
        **({"security": [{_BEARER: []}]} if credentials else {}),
    }


def _get_description() -> dict[str, Any]:
    found = _holds("This document", {"type": "object", "required": ["openapi", "info", "paths"]})
    return {
        "operationId": "describe",
        "summary": "This document",
        "responses": {"200": found, **_faults(503)},
    }


def _scheme() -> dict[str, Any]:
    words = "The token of a [[board.client]]; beyond this machine only through TLS"
    return {"type": "http", "scheme": "bearer", "description": words}


# --- what is refused ----------------------------------------------------------------------------------

_WHY = {
    400: "The request is no HTTP, no JSON, no list of orders, or no object",
    401: "No client has this token, or none was sent",
    403: "Asked by another site, or this board is served beyond this machine without clients",
    404: "There is no such order, or nothing at this path",
    405: "This path does not know the method",
    413: "The body is too large",
    421: "Asked under another name than the board's own",
    422: "This is no command, or it cannot be done; nothing was changed",
    429: "Too many wrong tokens came from this address",
    503: "The agent or its journal is away, or the board is full; to send the same orders again is safe",
}
_OF_ALL = (400, 403, 421)
"""What any request can be refused with."""
_OF_CREDENTIALS = (401, 429)
_TEXT = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 1}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": _TEXT}},
    405: {"Allow": {"required": True, "schema": _TEXT}},
    429: {"Retry-After": {"required": True, "schema": _SECONDS}},
    503: {"Retry-After": {"schema": _SECONDS}},
}


def _statuses(credentials: bool) -> list[int]:
    return [status for status in _WHY if credentials or status not in _OF_CREDENTIALS]


def _fault(status: int) -> dict[str, Any]:
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return {**_holds(_WHY[status], _ref("Fault")), **headers}


def _faults(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {"$ref": f"#/components/responses/Fault{status}"}
        for status in sorted((*_OF_ALL, *statuses))
    }


def _holds(words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {JSON: {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _SCHEMAS.format(name=name)}
