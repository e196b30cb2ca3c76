"""Who may import whom: the table of the rooms, checked on the source itself."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("extractor", "store", "queries", "cli")
MAY_IMPORT: dict[str, set[str]] = {
    "extractor": set(),
    "store": set(),
    "queries": {"store"},
    "cli": {"extractor", "store", "queries"},
}
NO_ROOM = {
    "commands",
    "errors",
    "types",
    "registry",
    "geometry",
    "image_files",
    "boxes",
    "cron",
    "hooks",
    "names",
    "seeds",
    "ending",
    "csv_text",
    "reading",
    "system_errors",
}
JOINERS = {
    "workflows",
    "checkpoints",
    "extraction",
    "training",
    "finetuning",
    "training_data",
    "region_data",
    "evaluation",
    "study_steps",
    "recheck",
    "reproduce",
    "demo",
    "plan",
    "estimate",
    "proposals",
    "detection",
    "runs",
    "schedule",
}  # join rooms that do not know each other
OPENERS = {"__init__", "__main__"}  # hand out what one room offers
MAY_USE_TORCH = {
    "checkpoints",
    "extraction",
    "recheck",
    "training",
    "finetuning",
    "queries.backend",
}  # lazily, beside the extractor


class Import(NamedTuple):
    """One import statement's target: dotted module, its line, whether it runs on import."""

    module: str
    line: int
    at_import: bool


def sources() -> dict[str, Path]:
    """Map module names below ``fstore`` (``store.files``) to their files."""
    found = {path.stem: path for path in (ROOT / "src/fstore").glob("*.py")}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(p for p in parts if p != "__init__")] = path
    return found


SOURCES = sources()


def imports(source: str) -> Iterator[Import]:
    """Yield every import of a module, also those inside functions and type-checking blocks."""

    def walk(node: ast.AST, *, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(a.name, node.lineno, at_import) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from (Import(f"{prefix}.{a.name}", node.lineno, at_import) for a in node.names)
        lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        lazy |= isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, at_import=at_import and not lazy)

    yield from walk(ast.parse(source), at_import=True)


def rooms_of(source: str) -> set[str]:
    """Return the rooms that a module imports from."""
    parts = [found.module.split(".") for found in imports(source)]
    return {p[1] for p in parts if p[0] == "fstore" and len(p) > 1 and p[1] in ROOMS}


def test_the_reader_of_imports_sees_all_kinds() -> None:
    """The checks below would notice an import in a function, in a class, or with an alias."""
    source = (
        "import fstore.store.files as f\n"
        "def g():\n    from fstore import extractor\n"
        "class A:\n    from fstore.queries.studies.study import B\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "from . import z\n"
    )
    assert rooms_of(source) == {"store", "extractor", "queries"}
    assert [i for i in imports(source) if not i.at_import] == [
        ("fstore.extractor", 3, False),
        ("torch", 7, False),
    ]
    assert [i.module for i in imports(source)][-1] == "..z"


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_modules_import_only_the_rooms_they_may(name: str) -> None:
    """Each room imports what the table allows; of the rest only the joiners meet all rooms."""
    found = rooms_of(SOURCES[name].read_text())
    room = name.split(".", maxsplit=1)[0]
    if room in ROOMS:
        assert found <= MAY_IMPORT[room] | {room}
    elif room in NO_ROOM:
        assert not found
    elif room in OPENERS:
        assert found <= {"store", "cli"}
    else:
        assert room in JOINERS, f"who may {name} import? say so in tests/test_rooms.py"


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_torch_stays_in_the_extractor(name: str) -> None:
    """Importing a module outside the extractor never imports torch; few may do it later."""
    if name.split(".", maxsplit=1)[0] == "extractor":
        return
    heavy = [i for i in imports(SOURCES[name].read_text()) if i.module.split(".")[0] == "torch"]
    assert not [i for i in heavy if i.at_import]
    assert not heavy or name in MAY_USE_TORCH


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_imports_are_absolute(name: str) -> None:
    """No module imports relative to its place, or a room by its folder's bare name."""
    for found in imports(SOURCES[name].read_text()):
        first = found.module.split(".", maxsplit=1)[0]
        assert first != "", f"{name}:{found.line}"
        assert first not in ROOMS, f"{name}:{found.line}"


def public_names(tree: ast.Module) -> list[str]:
    """Return the names without underscore of a module's own functions and classes."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n.name for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_public_names_exist_and_are_described(name: str) -> None:
    """A module says what it is about; what its ``__all__`` lists exists and has a docstring."""
    tree = ast.parse(SOURCES[name].read_text())
    assert ast.get_docstring(tree)
    module = importlib.import_module(
        "fstore" if name == "__init__" else f"fstore.{name}" if name != "__main__" else "fstore.cli"
    )
    listed = getattr(module, "__all__", None)
    # Registered entries and commands are reached through their table, not by name.
    registered = any(n.decorator_list for n in tree.body if isinstance(n, ast.FunctionDef))
    assert listed is not None or registered or not public_names(tree)
    for public in listed or ():
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"
