"""The package that is built has what the repository has, and runs without it."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DATA = {".toml", ".csv", ".sql", ".html", ".css", ".js"}


def test_every_extra_that_is_named_exists() -> None:
    """Messages and documents name extras of pyproject.toml only, and each for a user is named."""
    named: set[str] = set()
    sources = [*(ROOT / "src" / "fstore").rglob("*.py"), ROOT / "README.md"]
    for path in [*sources, *(ROOT / "docs").glob("*.md")]:
        for extras in re.findall(r"fstore\[([\w,]+)\]", path.read_text(encoding="utf-8")):
            named |= set(extras.split(","))
    offered = set(PROJECT["optional-dependencies"])
    assert named <= offered
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{extra}`" in readme for extra in offered - {"bench", "test"})


def test_the_licence_files_are_there() -> None:
    """Those that pyproject.toml lists; each file of others that is packaged is noted."""
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    minified = (ROOT / "src" / "fstore").rglob("*.min.*")
    assert all(path.relative_to(ROOT).as_posix() in notices for path in minified)


def built(out: Path) -> tuple[Path, Path]:
    """Build the source archive from a copy of what git knows, and the wheel from the archive."""
    copy = out / "copy"
    copy.mkdir()
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    with tarfile.open(out / "all.tar", "w") as tar:
        for name in filter(None, names):
            tar.add(ROOT / name, name)
    with tarfile.open(out / "all.tar") as tar:
        tar.extractall(copy, filter="fully_trusted")  # noqa: S202 - our own, with its links
    call = [sys.executable, "-c", "from setuptools import build_meta as b; import sys; "]
    sdist = [*call[:2], call[2] + "print(b.build_sdist(sys.argv[1]))", str(out)]
    subprocess.run(sdist, cwd=copy, check=True, capture_output=True)
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(out / "source", filter="data")
    (source,) = (out / "source").iterdir()
    wheel = [*call[:2], call[2] + "print(b.build_wheel(sys.argv[1]))", str(out)]
    subprocess.run(wheel, cwd=source, check=True, capture_output=True)
    return archive, next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_is_whole_and_runs(tmp_path: Path) -> None:
    """It has each module and each data file, and answers a question outside the repository."""
    (tmp_path / "build").mkdir()
    _, wheel = built(tmp_path / "build")
    package = ROOT / "src" / "fstore"
    wanted = {
        path.relative_to(package.parent).as_posix()
        for path in _files(package)
        if path.suffix in {".py", *DATA}
    }
    with zipfile.ZipFile(wheel) as file:
        there = set(file.namelist())
        file.extractall(tmp_path / "installed")  # noqa: S202 - built above
    assert wanted <= there
    assert any(name.endswith("licenses/LICENSE") for name in there)
    assert any(name.endswith("licenses/THIRD_PARTY_NOTICES.md") for name in there)

    def fstore(*words: str) -> str:
        run = subprocess.run(
            [sys.executable, "-m", "fstore", *words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
            text=True,
        )
        return run.stdout

    where = "import fstore; print(fstore.__file__)"
    env = {"PYTHONPATH": str(tmp_path / "installed")}
    found = subprocess.check_output([sys.executable, "-c", where], cwd=tmp_path, env=env, text=True)
    assert Path(found.strip()).is_relative_to(tmp_path / "installed")
    fstore("init")
    fstore("dataset", "add", "digits", "--format", "digits")
    fstore("ckpt", "init", "--network", "caffenet-mini", "--name", "random")
    fstore("extract", "--layer", "fc7", "--ckpt", "random", "--dataset", "digits", "--part", "val")
    assert fstore("sql", "SELECT count(*) AS n FROM activations", "--csv") == "n\n46080\n"


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder and of the rooms that it links to."""
    found: list[Path] = []
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            found += _files(path)
        elif path.is_file():
            found.append(path)
    return found
