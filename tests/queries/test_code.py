"""What a report's code version covers: what computes, and that alone."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fstore.queries.cells import code
from fstore.queries.cells.code import code_modules, code_version
from fstore.queries.reports import REPORTS

ROOT = Path(__file__).parents[2]
ROOMS = ("store", "queries", "extractor", "cli")
PRINT = """
import json
from fstore.queries.cells.code import code_version
from fstore.queries.reports import REPORTS
print(json.dumps({e.name: code_version(e.function.__module__) for e in REPORTS}))
"""


# table7's last two are methods.draws, what it would be on other test samples, and no_direction
@pytest.mark.parametrize(("report", "at_most"), [("table6", 19), ("table7", 42)])
def test_few_modules(report: str, at_most: int) -> None:
    """A report depends on few modules: those that compute its numbers."""
    modules = code_modules(f"fstore.queries.reports.{report}")
    assert len(modules) <= at_most, modules


def test_covers_what_computes() -> None:
    """Table 7 depends on the solver, the ablations, the reading of features and the SQL views."""
    modules = code_modules("fstore.queries.reports.table7")
    computing = [
        *("queries.reports.table7", "queries.methods.svm", "queries.methods.gram"),
        *("queries.samples.ablations.paper", "queries.samples.labels", "store.features"),
        *("store.encode", "store.views", "store.precision", "store.permutation"),
    ]
    assert {f"fstore.{name}" for name in computing} <= set(modules)


def test_leaves_out_what_does_not() -> None:
    """No report depends on drawing, study files, messages, locks or the command line."""
    for entry in REPORTS:
        modules = code_modules(entry.function.__module__)
        for out in ("queries.figures", "queries.studies", "cli", "errors", "store.locks"):
            assert not [m for m in modules if m.startswith(f"fstore.{out}")], entry.name


def test_reports_draw_nothing() -> None:
    """A report's module says what draws it, and has no drawing of its own: that would count."""
    for path in (ROOT / "queries/reports").glob("*.py"):
        defined = [
            n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)
        ]
        assert not [name for name in defined if name.startswith(("plot", "draw"))], path.name


def test_outside_is_there() -> None:
    """What is left out by name exists: a renamed module would be counted again without a word."""
    for name in code.OUTSIDE:
        assert code._is_module(name), name


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the package."""
    place = tmp_path / "fstore"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/fstore", place, ignore=ignore)  # links become folders
    return place


def versions(package: Path) -> dict[str, str]:
    """Return the code version of every report, as a new process sees it."""
    told = subprocess.run(
        [sys.executable, "-c", PRINT],
        env={"PYTHONPATH": str(package.parent), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    found: dict[str, str] = json.loads(told.stdout)
    return found


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the code versions of a copy that nobody changed."""
    place = tmp_path_factory.mktemp("before") / "fstore"
    shutil.copytree(ROOT / "src/fstore", place, ignore=shutil.ignore_patterns("__pycache__"))
    return versions(place)


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that is there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def describe(package: Path) -> None:
    """Change a docstring, a comment, an annotation, a message, and what a report is called."""
    svm = package / "queries/methods/svm.py"
    told = ast.get_docstring(ast.parse(svm.read_text()), clean=False) or ""
    edit(svm, told + '"""', 'Another docstring."""\n# a comment')
    edit(package / "store/parts.py", ") -> bool:", ') -> "bool":')
    edit(package / "queries/samples/blocks.py", "cannot be stacked: ", "do not stack: ")
    edit(package / "queries/reports/table7.py", 'title="Ablations', 'title="The ablations')


def redraw(package: Path) -> None:
    """Change colours, and a number that is drawn."""
    edit(package / "queries/figures/bars.py", "0.5, 0.2", "0.6, 0.2")
    edit(package / "queries/figures/table6.py", "Non-zero responses", "Responses that are not 0")
    edit(package / "queries/reports/table7.py", "Mean average precision", "mean AP")
    edit(package / "queries/paper/table7.csv", "fc7", "fc7-old")


def rename(package: Path) -> None:
    """Rename a module that computes, and move another to another room."""
    methods = package / "queries/methods"
    (methods / "gram.py").rename(methods / "inner_products.py")
    (package / "queries/samples/blocks.py").rename(methods / "blocks.py")
    for path in package.rglob("*.py"):
        text = path.read_text()
        moved = text.replace("queries.methods.gram ", "queries.methods.inner_products ")
        moved = moved.replace("queries.samples.blocks ", "queries.methods.blocks ")
        if moved != text:
            path.write_text(moved)


@pytest.mark.parametrize("change", [describe, redraw, rename])
def test_stays_fresh(copy: Path, before: dict[str, str], change: Callable[[Path], None]) -> None:
    """Docstrings, messages, plots, and names of modules leave every cell fresh."""
    change(copy)
    assert versions(copy) == before


def test_another_constant_is_other_code(copy: Path, before: dict[str, str]) -> None:
    """A changed constant makes the reports stale that compute with it, and no others."""
    edit(copy / "queries/methods/classification.py", "PAPER_C = 1e-3", "PAPER_C = 1e-2")
    after = versions(copy)
    assert after["table7"] != before["table7"]
    assert after["table6"] == before["table6"]


def test_another_ablation(copy: Path, before: dict[str, str]) -> None:
    """A new ablation leaves every report fresh; a changed one of the paper's does not."""
    ablations = copy / "queries/samples/ablations"
    new = (ablations / "sp_mean.py").read_text().replace("sp_mean", "sp_mean_too")
    (ablations / "sp_mean_too.py").write_text(new)
    assert versions(copy) == before
    edit(ablations / "paper.py", "np.greater(", "np.greater_equal(")
    assert versions(copy)["table7"] != before["table7"]


def test_same_name_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the same name taken from another module is other code."""
    package = tmp_path / "fstore_parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(code, "_is_ours", lambda name: name.startswith("fstore"))
    for name, value in (("a", 1), ("b", 2)):
        (package / f"{name}.py").write_text(f"def f():\n    return {value}\n")
    both = "from fstore_parts import a, b\n"
    (package / "one.py").write_text(both + "from fstore_parts.a import f\nx = f()\n")
    (package / "two.py").write_text(both + "from fstore_parts.b import f\nx = f()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert code_version("fstore_parts.one") != code_version("fstore_parts.two")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x = 1", "x = 2"),
        ("def f(a=1): ...", "def f(a=2): ..."),
        ("def f(a, b): ...", "def f(b, a): ..."),
        ("SQL = 'SELECT 1'", "SQL = 'SELECT 2'"),
        ("@cache\ndef f(): ...", "def f(): ..."),
        ("class A:\n    n: int = 1", "class A:\n    n: int = 2"),
        ("class A:\n    n: int\n    m: int", "class A:\n    m: int\n    n: int"),
        ("import numpy as np\nx = np.float32", "import numpy as np\nx = np.float64"),
        ("from numpy import sum as s", "from numpy import mean as s"),
        ("if TYPE_CHECKING:\n    x = 1\nelse:\n    x = 2", "if TYPE_CHECKING:\n    x = 1"),
        ("if a:\n    raise ValueError\nx = 1", "if b:\n    raise ValueError\nx = 1"),
        ("@ablation('a', reads='map')\ndef f(): ...", "@ablation('a', reads='b')\ndef f(): ..."),
        ("@ablation('a')\ndef f(): ...", "@ablation('b')\ndef f(): ..."),
        ("async def f(): return 1", "async def f(): return 2"),
        ("x = lambda a: a", "x = lambda a: -a"),
    ],
)
def test_what_computes_counts(first: str, second: str) -> None:
    """Two sources that may compute something else have different code."""
    assert code._code(first.encode()) != code._code(second.encode())
    assert code._code(first.encode()) == code._code(f"# a comment\n{first}\n".encode())
