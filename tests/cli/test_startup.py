"""Starting is quick: heavy libraries wait until something needs them."""

import os
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import fstore
import fstore.errors
from fstore import machine
from fstore.extractor.networks import torchvision_listed

HEAVY = {
    *("torch", "torchvision", "duckdb", "polars", "pyarrow", "sklearn", "deltalake", "numpy"),
    *("altair", "vl_convert", "PIL", "pandas", "scipy", "safetensors", "rich.progress", "jinja2"),
}


def loaded(code: str) -> set[str]:
    """Return the modules that a new Python has after running some code."""
    text = f"{code}\nimport sys; print(*sys.modules)"
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
    """`fstore --help` takes less than 0.6 CPU s; the least of five, as others use the machine."""
    command = [sys.executable, "-m", "fstore", "--help"]
    times = []
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
            _, status, used = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        assert run.returncode == 0
        times.append(used.ru_utime + used.ru_stime)
    assert min(times) < 0.6


NO_NETWORKS = {"torch", "torchvision", "timm", "transformers", "open_clip", "sklearn", "scipy"}
NO_DRAWING = {"altair", "vl_convert", "jinja2", "polars", "pandas", "IPython", "rich.progress"}
STORED = "SELECT name FROM datasets"
LIGHT = {
    "networks": (["networks"], NO_NETWORKS | NO_DRAWING | HEAVY),
    "status": (["status"], NO_NETWORKS | NO_DRAWING | {"duckdb"}),
    "sql": (["sql", STORED], NO_NETWORKS | NO_DRAWING),
    "dataset list": (["dataset", "list"], NO_NETWORKS | NO_DRAWING | {"duckdb"}),
    "ckpt list": (["ckpt", "list"], NO_NETWORKS | NO_DRAWING | {"duckdb"}),
    "extract --help": (["extract", "--help"], HEAVY),
    "layers": (["layers", "caffenet"], {"torchvision", "duckdb", *NO_DRAWING, "sklearn"}),
}
"""Of commands, the libraries that they do without, where these are installed."""


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=pytest.mark.slow) if c == "layers" else c for c in LIGHT],
)
def test_command_imports_what_it_uses(command: str, tmp_path: Path) -> None:
    """A command does its work without the libraries that only others need."""
    pytest.importorskip("pandas")
    place = tmp_path / "store"
    fstore.create(place)
    words, absent = LIGHT[command]
    code = f"""
import sys
sys.argv = ["fstore", "--store", {str(place)!r}, *{words!r}]
from fstore.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""
    assert not absent & loaded(code)


def test_pandas_is_there_when_it_is_asked_for() -> None:
    """Arrow that was not asked to look for pandas makes a frame all the same, and takes one."""
    pytest.importorskip("pandas")
    code = """
from fstore.store.arrow_alone import without_pandas
without_pandas()
import sys, pyarrow as pa
assert pa.array([1, None]).to_pylist() == [1, None] and "pandas" not in sys.modules
frame = pa.table({"a": [1, 2]}).to_pandas()
assert frame["a"].tolist() == [1, 2]
assert pa.table(frame).to_pydict() == {"a": [1, 2]}
"""
    assert "pandas" in loaded(code)


@pytest.mark.parametrize("kind", torchvision_listed.KINDS)
def test_listed_networks_are_those_of_the_registry(kind: str) -> None:
    """The names that torchvision's files state are those of its own registry, in its order."""
    from torchvision import models

    registry = models.list_models(module=getattr(models, kind) if kind else models)
    assert torchvision_listed.listed(kind) == registry


@pytest.mark.parametrize(
    "text",
    [
        "@register_model(name=CHOSEN)\ndef a(): ...\n",  # a name that only running tells
        "a = register_model()(build)\n",  # no decorator
        "@register_model()\nclass A: ...\n",
        "",  # nothing at all
    ],
)
def test_another_way_to_register_is_not_guessed(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that register networks in a way that is not understood give no names."""
    folder = tmp_path / "torchvision" / "models"
    folder.mkdir(parents=True)
    (tmp_path / "torchvision" / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("from .family import *\n")
    good = "@register_model()\n@other(\n    1,\n)\ndef first():\n    ...\n\n"
    good += '@register_model("b")\ndef c(): ...\n'
    (folder / "family.py").write_text(good)
    monkeypatch.setattr(torchvision_listed, "find_spec", lambda _: _spec(tmp_path))
    assert torchvision_listed.listed("") == ["b", "first"]
    (folder / "family.py").write_text(good + text if text else "")
    assert torchvision_listed.listed("") is None


def _spec(folder: Path) -> ModuleSpec:
    """Return where a package ``torchvision`` of a folder lies."""
    spec = ModuleSpec("torchvision", None, is_package=True)
    spec.submodule_search_locations = [str(folder / "torchvision")]
    return spec


def test_exports() -> None:
    """``fstore.__all__`` is the package's public names, all errors among them."""
    helpers = {"Path", "TYPE_CHECKING"}
    public = {
        name
        for name, value in vars(fstore).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    lazy = {"Features", "FstoreFeatures", "Store", "__version__"}
    assert public - helpers | lazy == set(fstore.__all__)
    assert all(getattr(fstore, name) is not None for name in lazy)
    assert set(fstore.errors.__all__) <= set(fstore.__all__)
    assert fstore.__version__[0].isdigit()
    assert not hasattr(fstore, "nothing")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, ("10000", "0")),
        ({"GOMP_SPINCOUNT": "10000"}, ("10000", "10000")),
        ({"GOMP_SPINCOUNT": "7"}, ("7", "7")),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, (None, None)),
        ({"OPENBLAS_THREAD_TIMEOUT": "26"}, ("10000", "0")),
    ],
)
def test_how_threads_wait_is_the_callers_to_say(
    given: dict[str, str], kept: tuple[str | None, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands let a network's threads look briefly, `extract` lets them sleep, unless told."""
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OPENBLAS_THREAD_TIMEOUT")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(machine, "_set_here", set())
    seen = []
    for looks in (machine.BRIEFLY, 0):
        machine.spin(looks)
        seen.append(os.environ.get("GOMP_SPINCOUNT"))
    assert tuple(seen) == kept
    policy = os.environ.get("OMP_WAIT_POLICY")
    assert policy == given.get("OMP_WAIT_POLICY", "PASSIVE" if kept[1] == "0" else None)
    assert os.environ["OPENBLAS_THREAD_TIMEOUT"] == given.get("OPENBLAS_THREAD_TIMEOUT", "16")
    for name in names:
        monkeypatch.delenv(name, raising=False)
