"""The direction of the imports, and who may make a task: read from the source, not from a run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
OURS = ("edge", "adapters", "simulators", "tests")

CORE_MAY = {
    "biip",  # the table of GS1's application identifiers; imported when the first is read
    "biip.gs1_application_identifiers",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "itertools",
    "math",
    "msgspec",
    "msgspec.structs",
    "re",
    "typing",
}
"""What the core may import from outside. Nothing here can wait, ask the time, roll dice or touch a file."""


@dataclass(frozen=True, slots=True)
class Module:
    """One source file."""

    name: str
    path: Path
    tree: ast.Module

    def imports(self) -> set[str]:
        """Every module that it names, wherever in the file; `from edge import x` is `edge.x`."""
        return {name for node in ast.walk(self.tree) for name in _imported(node, self)}

    def outside(self, *allowed: str) -> set[str]:
        """What it imports of ours, but for what lies under `allowed`."""
        return {name for name in self.imports() if _under(name, *OURS) and not _under(name, *allowed)}

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def _imported(node: ast.AST, module: Module) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = module.package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if _is_module(inner) else base


def _is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def _under(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def modules(*folders: str) -> list[Module]:
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found.append(Module(dotted, path, ast.parse(path.read_text(encoding="utf-8"))))
    return found


def named(*folders: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("module", [pytest.param(one, id=one.name) for one in modules(*folders)])


# --- the core -------------------------------------------------------------------------------


@named("edge/production")
def test_core_imports_only_observation_and_itself(module: Module) -> None:
    assert module.outside("edge.production", "edge.observation") == set()
    assert {name for name in module.imports() if not _under(name, *OURS)} <= CORE_MAY


@named("edge/production")
def test_core_never_waits(module: Module) -> None:
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.AsyncFunctionDef)
    assert [node.lineno for node in ast.walk(module.tree) if isinstance(node, waits)] == []


@named("edge/production")
def test_core_touches_nothing_outside(module: Module) -> None:
    """No builtin that reads, writes, runs or asks what the interpreter's run decides."""
    banned = {"open", "print", "input", "exec", "eval", "compile", "__import__", "id", "hash", "globals"}
    called = {
        node.func.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & banned == set()


@named("edge/production")
def test_core_keeps_nothing_between_two_calls(module: Module) -> None:
    kept = [node.lineno for node in ast.walk(module.tree) if isinstance(node, ast.Global | ast.Nonlocal)]
    assert kept == []


def test_what_was_seen_depends_on_nothing() -> None:
    [observation] = [one for one in modules("edge") if one.name == "edge.observation"]
    assert observation.outside() == set()


# --- the rooms ------------------------------------------------------------------------------


@named("adapters")
def test_adapters_know_their_contract_and_no_more(module: Module) -> None:
    allowed = [
        "edge.contract", "edge.observation", "edge.errors", "edge.patterns", "edge.plural", "edge.resultform",
    ]  # fmt: skip
    helpers = [f"adapters.{path.stem}" for path in (ROOT / "adapters").glob("_*")]
    own = [f"adapters.{part[1:].split('_')[0]}" for part in module.name.split(".") if part.startswith("_")]
    assert module.outside(*allowed, *helpers, *own) == set(), "an adapter does not know another"


@named("simulators")
def test_simulators_know_nothing_of_the_agent(module: Module) -> None:
    assert module.outside("simulators") == set()


@named("edge", "adapters", "simulators")
def test_nothing_that_is_shipped_imports_a_test(module: Module) -> None:
    assert not [name for name in module.imports() if _under(name, "tests", "pytest", "hypothesis")]


@named("edge/journal")
def test_the_journal_knows_neither_ends(module: Module) -> None:
    allowed = [
        "edge.journal", "edge.contract", "edge.errors", "edge.observation", "edge.plural", "edge.production",
        "edge.record", "edge.batches",
    ]  # fmt: skip
    assert module.outside(*allowed) == set()


def importers(of: str) -> set[str]:
    return {one.name for one in modules("edge", "adapters") for name in one.imports() if _under(name, of)} - {
        of
    }


def test_only_config_knows_the_registry() -> None:
    assert {name.split(".")[1] for name in importers("edge.registry")} <= {"app", "cli", "config"}


def test_only_a_command_knows_the_composition_root() -> None:
    assert importers("edge.app") <= {"edge.cli"}


def test_nobody_in_the_house_imports_an_adapter() -> None:
    found = {name for one in modules("edge") for name in one.imports() if _under(name, "adapters")}
    assert found == set(), "the registry finds them by the name of their file"


def test_only_the_journal_speaks_sql() -> None:
    speakers = {
        one.name
        for one in modules("edge", "adapters")
        for name in one.imports()
        if _under(name, "apsw", "sqlite3")
    }
    assert speakers <= {one.name for one in modules("edge/journal")}


def test_upstream_never_imports_downstream() -> None:
    """What an observation passes first does not know what comes after it."""
    upstream = [
        "edge.contract",
        "edge.observation",
        "edge.errors",
        "edge.clock",
        "edge.intake",
        "edge.supervise",
    ]
    downstream = ["edge.delivery", "edge.board", "edge.readmodel", "edge.status", "edge.app", "edge.config"]
    for one in modules("edge"):
        if _under(one.name, *upstream, "edge.journal", "edge.production", "edge.recorder", "edge.working"):
            assert not [name for name in one.imports() if _under(name, *downstream)], one.name


# --- tasks ----------------------------------------------------------------------------------


def _groups(tree: ast.AST) -> set[str]:
    """Names that hold a TaskGroup: `async with asyncio.TaskGroup() as NAME`, or a parameter annotated so."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            if ast.unparse(node.context_expr).endswith("TaskGroup()"):
                found.add(node.optional_vars.id)
        elif (
            isinstance(node, ast.arg)
            and node.annotation
            and ast.unparse(node.annotation).endswith("TaskGroup")
        ):
            found |= {node.arg, f"self._{node.arg}"}
    return found


@named("edge", "adapters")
def test_tasks_are_made_in_a_group_and_nowhere_else(module: Module) -> None:
    groups, loose = _groups(module.tree), []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in (
            "create_task",
            "ensure_future",
            "run_coroutine_threadsafe",
        ):
            if node.attr != "create_task" or ast.unparse(node.value) not in groups:
                loose.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Name) and node.id in ("create_task", "ensure_future"):
            loose.append(f"line {node.lineno}: {node.id}")
    assert loose == []


# --- the rules notice -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import asyncio", "asyncio"),
        ("from edge import journal", "edge.journal"),
        ("from edge.journal import Journal", "edge.journal"),
        ("from ..journal import store", "edge.journal.store"),
        ("from . import counts", "edge.production.counts"),
        ("def f():\n    import time", "time"),
        ("if True:\n    from os import path", "os"),
    ],
)
def test_an_import_is_seen_wherever_it_hides(source: str, name: str) -> None:
    module = Module("edge.production.new", ROOT / "edge/production/new.py", ast.parse(source))
    assert name in module.imports()


@pytest.mark.parametrize(
    "source",
    [
        "asyncio.create_task(f())",
        "asyncio.ensure_future(f())",
        "loop.create_task(f())",
        "from asyncio import create_task\ncreate_task(f())",
        "make = asyncio.create_task",
    ],
)
def test_a_loose_task_is_seen(source: str) -> None:
    module = Module("edge.new", ROOT / "edge/new.py", ast.parse(source))
    with pytest.raises(AssertionError):
        test_tasks_are_made_in_a_group_and_nowhere_else(module)
