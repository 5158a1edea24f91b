"""The statements of queries.sql by name, and the schema's numbered steps."""

import re
from importlib.resources import files
from typing import Final

_HERE = files("edge.journal")
_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)

QUERIES: Final = {
    name: text.strip().rstrip(";")
    for name, text in _NAMED.findall((_HERE / "queries.sql").read_text(encoding="utf-8"))
}


def migrations() -> list[str]:
    """The schema's steps in order; step n takes a file from version n-1 to n."""
    steps = sorted((step for step in (_HERE / "schema").iterdir() if step.name.endswith(".sql")), key=str)
    return [step.read_text(encoding="utf-8") for step in steps]
