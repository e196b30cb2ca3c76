"""Who may import whom, and how long a thing may be: rules, checked on the sources themselves."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from _rooms import circles, file_graph, folder_of, imports, room_graph, sources

import fstore

MAY_IMPORT: dict[str, set[str]] = {
    "extractor": set(),
    "store": set(),
    "queries": {"store"},
    "workflows": {"extractor", "store", "queries"},
    "api": {"extractor", "store", "queries", "workflows"},
    "explore": {"store", "queries", "api"},
    "cli": {"extractor", "store", "queries", "workflows", "explore"},
}
FACES = {"fstore": {"api"}, "fstore.__main__": {"cli"}}
"""Hand out what one room offers. All else that lies in no room imports none."""

TORCH = ("fstore.workflows.", "fstore.queries.methods.", "fstore.api.")
"""May import torch beside the extractor, inside functions."""

TORCH_AT_ONCE = {"fstore.api.torch_loader"}
"""Has a class that is derived from one of torch's; it is imported inside functions only."""

LONGEST_MODULE = 400
LONGEST_FUNCTION = 40
"""Lines, a docstring's left out."""

SOURCES = sources()
PACKAGES = sorted({folder_of(name, SOURCES) for name in SOURCES})


def each_module(check: Callable[[str], None]) -> Callable[[str], None]:
    """Make a test of each folder out of a check of a module."""

    @pytest.mark.parametrize("package", PACKAGES)
    def test(package: str) -> None:
        for name in sorted(SOURCES):
            if folder_of(name, SOURCES) == package:
                check(name)

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


@cache
def text(name: str) -> str:
    """Return a module's source."""
    return SOURCES[name].read_text(encoding="utf-8")


@cache
def tree(name: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(text(name))


def rooms_of(source: str) -> set[str]:
    """Return the rooms that a module imports from."""
    parts = [imported.target.split(".") for imported in imports(source)]
    return {p[1] for p in parts if p[0] == "fstore" and len(p) > 1 and p[1] in MAY_IMPORT}


def private_parts(name: str) -> Iterator[tuple[str, str]]:
    """Yield each import with an underscore, and the folder inside which it is nobody's concern."""
    for imported in imports(text(name)):
        parts = imported.target.split(".")
        for i, part in enumerate(parts):
            if parts[0] == "fstore" and part.startswith("_") and not part.startswith("__"):
                owner = ".".join(parts[:i])
                yield imported.target, folder_of(owner, SOURCES)


def functions(name: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Yield the functions of a module and their lines, from ``def`` on, without the docstring."""
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = _lines(node)
            if ast.get_docstring(node) is not None:
                lines -= _lines(node.body[0])
            yield node, lines


def _lines(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def lists_options(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Say whether a function is decorated as a command, whose options are its arguments."""
    return any(
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr == "command"
        for decorator in node.decorator_list
    )


# the checks themselves


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
    assert [i.target for i in imports(source)][-1] == "..z"


def test_every_module_is_looked_at() -> None:
    """The modules that are checked are those that Python finds in the package."""
    walked = {module.name for module in pkgutil.walk_packages(fstore.__path__, "fstore.")}
    assert set(SOURCES) == walked | {"fstore"}


def test_the_finder_of_circles_finds_them() -> None:
    """Names that reach each other are one circle, however long the way; a diamond is none."""
    diamond = {"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}
    assert circles(diamond) == []
    assert circles({**diamond, "d": {"b"}}) == [["b", "d"]]
    two = {"a": {"b"}, "b": {"c"}, "c": {"a", "x"}, "x": {"y"}, "y": {"x"}}
    assert sorted(circles(two)) == [["a", "b", "c"], ["x", "y"]]


# who imports whom


@each_module
def test_modules_import_only_the_rooms_they_may(name: str) -> None:
    """Each room imports what the table allows; what lies in no room imports none."""
    imported = rooms_of(text(name))
    room = name.split(".")[1] if "." in name else ""
    if room in MAY_IMPORT:
        assert imported <= MAY_IMPORT[room] | {room}
    else:
        assert imported <= FACES.get(name, set())


def test_the_package_imports_no_room_at_once() -> None:
    """``import fstore`` is light: what opens a store imports it when it is called."""
    source = text("fstore")
    at_once = [i.target for i in imports(source) if i.at_import]
    assert not [t for t in at_once if t.split(".")[0] == "fstore" and t.split(".")[1] in MAY_IMPORT]


@each_module
def test_a_folder_keeps_its_underscores(name: str) -> None:
    """A module or a name with an underscore is imported only by the folder that it lies in."""
    reached = {t for t, owner in private_parts(name) if owner != folder_of(name, SOURCES)}
    assert reached == set()


def test_no_circle_of_modules() -> None:
    """No module reaches itself through its imports, those inside functions included."""
    assert circles(file_graph(SOURCES)) == []


def test_no_circle_of_rooms() -> None:
    """Nor does a room; each folder of queries and each subject of workflows is one."""
    assert circles(room_graph(file_graph(SOURCES))) == []


@each_module
def test_torch_stays_in_the_extractor(name: str) -> None:
    """Importing a module outside the extractor never imports torch; few may do it later."""
    if name.startswith("fstore.extractor"):
        return
    heavy = [i for i in imports(text(name)) if i.target.split(".")[0] in {"torch", "torchvision"}]
    assert name in TORCH_AT_ONCE or not [i for i in heavy if i.at_import]
    assert not heavy or name.startswith(TORCH)


@each_module
def test_imports_are_absolute(name: str) -> None:
    """No module imports relative to its place, or a room by its folder's bare name."""
    for imported in imports(text(name)):
        first = imported.target.split(".", maxsplit=1)[0]
        assert first != "", f"{name}:{imported.line}"
        assert first not in MAY_IMPORT, f"{name}:{imported.line}"


# where a thing lies, and how long it is


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_says_what_belongs_there(package: str) -> None:
    """Each folder of modules is a package whose docstring says what belongs in it."""
    assert package in SOURCES, f"{package} has no __init__.py"
    assert ast.get_docstring(tree(package))


def test_each_question_has_a_room() -> None:
    """In queries no module lies in the corridor: each is in one of its rooms."""
    beside = {n for n in SOURCES if folder_of(n, SOURCES) == "fstore.queries"}
    assert beside == {"fstore.queries"}


@each_module
def test_a_module_has_one_subject(name: str) -> None:
    """What is longer than 400 lines has two."""
    lines = len(text(name).splitlines())
    assert lines <= LONGEST_MODULE


@each_module
def test_a_function_fits_a_screen(name: str) -> None:
    """It has at most 40 lines, but where a command of the program lists its options."""
    long = {
        node.name: lines
        for node, lines in functions(name)
        if lines > LONGEST_FUNCTION and not (name.startswith("fstore.cli.") and lists_options(node))
    }
    assert long == {}


def public_names(module: ast.Module) -> list[str]:
    """Return the names without underscore of a module's own functions and classes."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n.name for n in module.body if isinstance(n, kinds) and not n.name.startswith("_")]


@each_module
def test_public_names_exist_and_are_described(name: str) -> None:
    """A module says what it is about; what its ``__all__`` lists exists and has a docstring."""
    assert ast.get_docstring(tree(name))
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", None)
    # Registered entries and commands are reached through their table, not by name.
    registered = any(n.decorator_list for n in tree(name).body if isinstance(n, ast.FunctionDef))
    assert listed is not None or registered or not public_names(tree(name))
    for public in listed or ():
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"
