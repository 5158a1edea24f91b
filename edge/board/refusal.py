"""How a request is refused: to a program in JSON, everywhere else in a line of text."""

from collections.abc import Mapping

from msgspec import Struct, json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

JSON = "application/json"

_WORDS = {
    404: "there is nothing at this path; GET /api/openapi.json shows all that is",
    405: "this path does not know that method; the header Allow names those that it knows",
    500: "the board failed at this request; its log says why",
}


class Fault(Struct, frozen=True):
    """Why a request was refused."""

    error: str


def refusal(path: str, status: int, words: str, headers: Mapping[str, str] | None = None) -> Response:
    """What is under `/api` is asked by programs."""
    if is_api(path):
        return Response(json.encode(Fault(words)), status, headers, JSON)
    return PlainTextResponse(f"{words}\n", status, headers)


def is_api(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


async def answer_refusal(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: an unknown path, a method that is not known there, a failure."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return refusal(request.url.path, status, _WORDS.get(status, str(error)), headers)
