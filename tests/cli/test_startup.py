"""Starting is quick: heavy libraries wait until something needs them."""

import subprocess
import sys
import time
from types import ModuleType

import fstore
import fstore.errors

HEAVY = {
    *("torch", "torchvision", "duckdb", "polars", "pyarrow", "sklearn", "deltalake", "numpy"),
    *("matplotlib", "PIL", "pandas", "scipy", "safetensors", "rich.progress", "plotly", "jinja2"),
}


def loaded(code: str) -> set[str]:
    """Return the modules that a new Python has after running some code."""
    text = f"{code}; import sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_program_imports_nothing_heavy() -> None:
    """Building the command line imports none of the heavy libraries."""
    assert not HEAVY & loaded("import fstore.cli")


def test_package_imports_nothing_heavy() -> None:
    """Importing fstore is as light."""
    modules = loaded("import fstore; fstore.__version__; fstore.open; fstore.create")
    assert not HEAVY & modules
    assert not {name for name in modules if name.startswith(("fstore.api", "fstore.store"))}


def test_package_is_imported_at_once() -> None:
    """`import fstore` adds less than 0.15 s to Python's own start; the best of seven of each."""

    def seconds(code: str) -> float:
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - before

    bare, ours = (min(seconds(code) for _ in range(7)) for code in ("pass", "import fstore"))
    assert ours - bare < 0.15


def test_help_is_quick() -> None:
    """`fstore --help` takes less than 0.4 s; the best of five, as others use the machine."""
    times = []
    for _ in range(5):
        before = time.perf_counter()
        subprocess.run([sys.executable, "-m", "fstore", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - before)
    assert min(times) < 0.4


def test_exports() -> None:
    """``fstore.__all__`` is the package's public names, all errors among them."""
    helpers = {"Path", "TYPE_CHECKING"}
    public = {
        name
        for name, value in vars(fstore).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    lazy = {"Features", "Store", "__version__"}
    assert public - helpers | lazy == set(fstore.__all__)
    assert all(getattr(fstore, name) is not None for name in lazy)
    assert set(fstore.errors.__all__) <= set(fstore.__all__)
    assert fstore.__version__[0].isdigit()
    assert not hasattr(fstore, "nothing")
