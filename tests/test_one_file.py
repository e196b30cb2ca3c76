"""What the table "to add something" of docs/architecture.md says is tried, line by line."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from _studies import STUDY, make_study
from fstore.queries.studies.study import set_study

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LINE = re.compile(
    r"\| an? (?P<kind>[a-z ]+) \| `(?P<folder>[a-z/]+)` \| \[.+?\]\((?P<example>[a-z/]+\.py)\) "
    r"\| `fstore (?P<command>.+?)` prints `(?P<word>.+?)` \|"
)


class Addition(NamedTuple):
    """A line of the table."""

    kind: str
    folder: str
    example: str
    command: str
    word: str


TABLE = [
    Addition(**match.groupdict())
    for match in LINE.finditer((DOCS / "architecture.md").read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package, a store with a study, and two pictures."""
    place = tmp_path_factory.mktemp("place")
    shutil.copytree(
        ROOT / "src/fstore", place / "fstore", ignore=shutil.ignore_patterns("__pycache__")
    )
    set_study(make_study(place / "fstore-store").store, STUDY)
    (place / "pets").mkdir()
    for name in ("cat.1.png", "dog.1.png"):
        Image.new("RGB", (8, 8)).save(place / "pets" / name)
    return place


def run(place: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the package's copy on the store beside it."""
    words = [sys.executable, "-m", "fstore", *shlex.split(command)]
    env = os.environ | {"PYTHONPATH": str(place)}
    return subprocess.run(words, capture_output=True, text=True, cwd=place, env=env, check=False)


@pytest.mark.parametrize("added", TABLE, ids=lambda added: added.kind)
def test_one_file_is_enough(place: Path, added: Addition) -> None:
    """The line's command, which names what is added, works when its one file is there."""
    shutil.copy(DOCS / added.example, place / "fstore" / added.folder)
    ran = run(place, added.command)
    assert ran.returncode == 0, ran.stderr
    assert added.word in ran.stdout + ran.stderr


def test_the_table_is_read() -> None:
    """Each example of the documents stands in the table, and is read from it."""
    examples = {path.relative_to(DOCS).as_posix() for path in (DOCS / "additions").glob("*.py")}
    assert {added.example for added in TABLE} == examples
    assert {added.kind for added in TABLE} >= {"network", "analysis", "report", "claim"}
