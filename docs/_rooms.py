"""The modules of the package and who imports whom, read from the sources.

``architecture.md`` draws its picture from this, and ``tests/test_rooms.py`` checks its rules on it.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

__all__ = [
    "Graph",
    "Import",
    "circles",
    "file_graph",
    "folder_of",
    "imports",
    "picture",
    "queries_table",
    "room_graph",
    "room_of",
    "sources",
]

ROOT = Path(__file__).parent.parent
ROOMS = ("extractor", "store", "queries", "cli")
DIVIDED = ("fstore.queries", "fstore.workflows")
"""Folders whose own folders, and modules, are rooms."""

Graph: TypeAlias = Mapping[str, Collection[str]]
"""What each name points at."""


class Import(NamedTuple):
    """One import statement's target: dotted name, its line, whether it runs on import."""

    target: str
    line: int
    at_import: bool


def sources() -> dict[str, Path]:
    """Map the full names of the package's modules to their files, the rooms' where they lie."""
    package = ROOT / "src/fstore"
    files = {path: path.relative_to(ROOT / "src") for path in package.glob("*.py")}
    for folder in ("api", "explore", "pixels", "workflows"):
        files |= {p: p.relative_to(ROOT / "src") for p in (package / folder).rglob("*.py")}
    for room in ROOMS:
        files |= {p: "fstore" / p.relative_to(ROOT) for p in (ROOT / room).rglob("*.py")}
    return {
        ".".join(part for part in name.with_suffix("").parts if part != "__init__"): path
        for path, name in files.items()
    }


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


def folder_of(name: str, modules: Mapping[str, Path]) -> str:
    """Return the package that a module lies in; of a package's ``__init__``, the package."""
    return name if modules[name].name == "__init__.py" else name.rpartition(".")[0]


def room_of(name: str) -> str:
    """Return the room of a module, or of a folder.

    It is the folder below ``fstore``; in those that are divided, the one below. A module that lies
    beside rooms is one by itself, but those of the ground floor, ``fstore.errors`` and so on, which
    are one together.
    """
    parts = name.split(".")
    if ".".join(parts[:2]) in DIVIDED:
        return ".".join(parts[:3])
    if len(parts) == 2 and parts[1] not in {*ROOMS, "api", "explore", "pixels", "__main__"}:
        return "fstore.errors ..."
    return ".".join(parts[:2])


def file_graph(modules: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return the modules of the package that each module imports.

    A package that imports its siblings imports every public file beside it.
    """
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        text = path.read_text(encoding="utf-8")
        reached = {_module(found.target, modules) for found in imports(text)}
        if "import_siblings(__name__" in text:
            reached |= {
                other
                for other in modules
                if other.rpartition(".")[0] == name and not other.rpartition(".")[2].startswith("_")
            }
        graph[name] = reached - {"", name}
    return graph


def _module(target: str, modules: Collection[str]) -> str:
    """Return the module that an import reaches: the name, or what it is taken from; else ""."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target


def room_graph(files: Graph) -> dict[str, set[str]]:
    """Return the rooms that each room imports from."""
    graph: dict[str, set[str]] = {room_of(name): set() for name in files}
    for name, reached in files.items():
        graph[room_of(name)] |= {room_of(other) for other in reached} - {room_of(name)}
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Return the sets of names that reach each other, each sorted (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circular: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in graph.get(name, ()):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            start = stack.index(name)
            if len(stack) - start > 1:
                circular.append(sorted(stack[start:]))
            del stack[start:]

    for name in graph:
        if name not in order:
            visit(name)
    return circular


def picture() -> str:
    """Return the rooms as a Mermaid chart; an arrow means "imports".

    Left out is what would hide the picture: arrows that follow from others, and the ground floor,
    which all rooms import.
    """
    graph = room_graph(file_graph(sources()))
    shown = {
        room: {other for other in reached if _is_drawn(other)}
        for room, reached in graph.items()
        if _is_drawn(room)
    }
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {_node(room)}" for room in sorted(shown) if room.count(".") == 1]
    for folder, title in zip(DIVIDED, ("queries/", "src/fstore/workflows/"), strict=True):
        inside = [room for room in sorted(shown) if room.startswith(f"{folder}.")]
        lines += [f'    subgraph {_id(folder)}_rooms["{title}"]']
        lines += [f"        {_node(room)}" for room in inside]
        lines += ["    end"]
    lines += [f"    {_id(a)} --> {_id(b)}" for a, b in _without_shortcuts(shown)]
    return "\n".join([*lines, "```"])


def queries_table() -> str:
    """Return the rooms of queries in Markdown, with what they say of themselves first."""
    files = sources()
    rooms = [n for n in sorted(files) if n.startswith("fstore.queries.") and n.count(".") == 2]
    rows = [f"| `{room.rpartition('.')[2]}` | {_about(files[room])} |" for room in rooms]
    return "\n".join(["| room of `queries` | what belongs there |", "|---|---|", *rows])


def _about(file: Path) -> str:
    """Return the first paragraph of a module's docstring as a line of Markdown."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return re.sub(r":[a-z]+:(`.+?`)", r"\1", " ".join(text.partition("\n\n")[0].split()))


def _is_drawn(room: str) -> bool:
    return room.count(".") > 0 and room not in {*DIVIDED, "fstore.errors ...", "fstore.__main__"}


def _id(room: str) -> str:
    return room.removeprefix("fstore.").replace(".", "_")


def _node(room: str) -> str:
    return f'{_id(room)}["{room.rpartition(".")[2]}"]'


def _without_shortcuts(graph: Graph) -> list[tuple[str, str]]:
    """Return the arrows of a graph without circles that no longer way stands for, sorted."""

    def below(names: Iterable[str]) -> set[str]:
        return {other for name in names for other in {name, *below(graph.get(name, ()))}}

    return sorted(
        (name, other)
        for name, reached in graph.items()
        for other in reached
        if not any(other in below(graph.get(third, ())) for third in reached)
    )
