"""Every statement stands in one file, under one name, and is used."""

import ast
import re
from pathlib import Path

from edge.journal.sql import QUERIES

EDGE = Path(__file__).parent.parent.parent / "edge"
VERBS = "SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|BEGIN|COMMIT|ROLLBACK|PRAGMA|VACUUM|WITH"
SQL = re.compile(rf"\s*({VERBS})\b")


def constants() -> list[tuple[str, str]]:
    """Every text in the code of the journal, with its file; nobody else speaks to SQLite."""
    found = []
    for path in sorted((EDGE / "journal").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((path.name, node.value))
    return found


def test_no_statement_stands_in_the_code() -> None:
    assert [(file, text) for file, text in constants() if SQL.match(text)] == []


def test_no_name_is_given_twice() -> None:
    text = (EDGE / "journal/queries.sql").read_text(encoding="utf-8")
    names = re.findall(r"^-- name: (.*)$", text, re.MULTILINE)
    assert sorted(names) == sorted(QUERIES)


def test_every_statement_is_used() -> None:
    used = {text for _, text in constants()}
    assert set(QUERIES) - used == set()
