"""The version of the code that a cell is computed by: a hash of what computes, and of that alone.

It is made of the syntax trees of modules, so that a comment, a docstring, an annotation, a message
or the name of a module is no part of it. What only draws, binds a study or keeps a store's books is
left out (:data:`OUTSIDE`): it cannot change a number. Other libraries do not count.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["OUTSIDE", "code_changed", "code_modules", "code_version"]

ANSWERS_SQL = ("fstore.store.sql", "fstore.store.macros", "fstore.store.views")
"""What every report reaches through the store it is given: views and macros."""

OUTSIDE = (
    # drawing and words
    "fstore.queries.figures",
    "fstore.words",
    "fstore.commands",
    "fstore.errors",
    "fstore.csv_text",
    "fstore.extras",
    "fstore.showing",
    "fstore.system_errors",
    "fstore.store.hints",
    "fstore.store.kept",
    "fstore.store.sidecars",
    "fstore.store.remedies",
    # which cells there are, and what they read: that stands in their inputs, value by value
    "fstore.queries.studies",
    "fstore.queries.cells.registry",
    "fstore.queries.cells.code",
    "fstore.registry",
    "fstore.names",
    "fstore.seeds",
    "fstore.types",
    # how files are written, found and kept: cells are named after what stands in them
    "fstore.store.commits",
    "fstore.store.delta_log",
    "fstore.store.identity",
    "fstore.store.interrupt",
    "fstore.store.leases",
    "fstore.store.local",
    "fstore.store.locks",
    "fstore.store.parquet",
    "fstore.store.paths",
    "fstore.store.place",
    "fstore.store.readonly",
    "fstore.store.recent",
    "fstore.store.runs",
    "fstore.store.schema",
    "fstore.store.hashing",
    "fstore.store.sums",
    "fstore.store.tables",
    "fstore.store.thrift",
    "fstore.store.unreadable",
    "fstore.store.values",
    "fstore.ending",
)
"""Modules, and folders with all in them, that cannot change a number of a report."""

BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
"""Where a statement holds others."""

TELLS = ("report", "analysis")
"""Decorators that say what an entry is called and how it is drawn."""

WORDS = {"ablation": ("label", "sql", "negative")}
"""Of other decorators, the arguments that do: the others decide what is computed."""


@cache
def code_version(*modules: str) -> str:
    """Return 16 hex digits of a sha256 over the code that a result depends on.

    Parameters
    ----------
    *modules : str
        For example ``fstore.queries.reports.table6``. Their own code counts, that of the modules in
        ``ANSWERS_SQL`` and, transitively, that of the fstore modules which these import, at their
        top or inside functions; imports for annotations only do not count.
    """
    digests = sorted(_digest(name) for name in code_modules(*modules))
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


@cache
def code_modules(*modules: str) -> tuple[str, ...]:
    """Return the names of the modules that :func:`code_version` covers, sorted."""
    covered: set[str] = set()
    waiting = [*modules, *ANSWERS_SQL]
    while waiting:
        name = waiting.pop()
        if name not in covered and not _is_outside(name):
            covered.add(name)
            waiting += _module(name).imports
    return tuple(sorted(name for name in covered if _module(name).core))


def code_changed(modules: Iterable[str]) -> bool:
    """Tell whether the code behind some modules is another than when it was first read.

    A process keeps the code that it imported, and :func:`code_version` what it read: one that lives
    for long reads it at its start, and asks this before it computes.

    Parameters
    ----------
    modules : iterable of str
        As for :func:`code_version`.
    """
    names = {name for module in modules for name in code_modules(module)}
    try:
        return any(_code(_source(name)) != _module(name) for name in names)
    except (ImportError, OSError, SyntaxError, ValueError):  # a module is gone, or half written
        return True


@dataclass(frozen=True, slots=True)
class _Code:
    """What of a module computes, and what it imports from fstore.

    ``core`` is a hash of its syntax tree without imports, empty for a module that computes nothing,
    like a package's docstring; ``names`` has each name that is imported, what it is called here,
    and the module that it is from.
    """

    core: str
    names: tuple[tuple[str, str, str], ...]

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that it imports."""
        return tuple(dict.fromkeys(module for _, _, module in self.names))


@cache
def _code(source: bytes) -> _Code:
    """Return what a source computes; most are asked for again as they were."""
    tree = ast.parse(source)
    names = tuple(_imported(tree.body))
    bare = _Bare().visit(tree)
    core = hashlib.sha256(ast.dump(bare).encode()).hexdigest() if bare.body else ""
    return _Code(core, names)


@cache
def _module(name: str) -> _Code:
    """Return a module's code; reports share most."""
    return _code(_source(name))


@cache
def _digest(name: str) -> str:
    """Return a hash of a module's code and of which code it calls by which name."""
    code = _module(name)
    used = {(n, called, _module(m).core) for n, called, m in code.names if not _is_outside(m)}
    return hashlib.sha256(repr((code.core, sorted(used))).encode()).hexdigest()


def _source(name: str) -> bytes:
    """Return a module's source as it is now."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"no source for module {name}")
    return Path(spec.origin).read_bytes()


def _is_outside(name: str) -> bool:
    return any(name == out or name.startswith(out + ".") for out in OUTSIDE)


class _Bare(ast.NodeTransformer):
    """Takes from a syntax tree what cannot change a number.

    Texts that stand alone, annotations, ``__all__``, what an error says, what a decorator tells of
    an entry, imports for annotations, and imports from fstore, which are looked at by themselves.
    """

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop docstrings and other texts that stand alone."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Drop the annotation of an argument."""
        return ast.arg(arg=node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Drop what is returned by annotation, and what a decorator tells."""
        node.returns = None
        node.decorator_list = [d for d in node.decorator_list if _called(d) not in TELLS]
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                words = WORDS.get(_called(decorator), ())
                decorator.keywords = [k for k in decorator.keywords if k.arg not in words]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Keep the value of an annotated name; in a class the name itself is a field."""
        if _is_alias(node.annotation):
            return None
        node.annotation = ast.Constant(value=None)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Drop ``__all__``."""
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        return None if names == ["__all__"] else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Drop what an error says."""
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST] | None:
        """Drop imports for annotations; what is done in their place stays."""
        if not _for_annotations(node.test):
            return self.generic_visit(node)
        kept = [self.visit(other) for other in node.orelse]
        return [other for other in kept if other is not None] or None

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        """Drop imports of fstore's modules."""
        node.names = [alias for alias in node.names if not _is_ours(alias.name)]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Drop imports from fstore's modules, and of types."""
        module = node.module or ""
        return None if _is_ours(module) or module in {"typing", "collections.abc"} else node


def _called(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.id if isinstance(called, ast.Name) else ""


def _is_alias(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "TypeAlias"


def _imported(statements: Iterable[ast.AST]) -> Iterator[tuple[str, str, str]]:
    """Yield each name that statements import from fstore, what it is called, and its module.

    ``if TYPE_CHECKING`` is left out; a module has no name of its own. Only blocks are entered, not
    expressions, which hold no statement.
    """
    for node in statements:
        if isinstance(node, ast.If) and _for_annotations(node.test):
            yield from _imported(node.orelse)
        elif isinstance(node, ast.Import):
            names = (alias for alias in node.names if _is_ours(alias.name))
            yield from (("", alias.asname or "", alias.name) for alias in names)
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
            yield from (_named(node.module or "", alias) for alias in node.names)
        else:
            for block in BLOCKS:
                yield from _imported(getattr(node, block, ()))


def _for_annotations(test: ast.expr) -> bool:
    name = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
    return bool(name == "TYPE_CHECKING")


def _is_ours(name: str) -> bool:
    return name == "fstore" or name.startswith("fstore.")


def _named(module: str, alias: ast.alias) -> tuple[str, str, str]:
    """Return what ``from module import name`` names: a submodule, or something of the module."""
    called, submodule = alias.asname or "", f"{module}.{alias.name}"
    return ("", called, submodule) if _is_module(submodule) else (alias.name, called, module)


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is a module, not a package
        return False
