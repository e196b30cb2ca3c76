"""The example of docs/own-reports.md, as it stands there, and what its reports show."""

import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from _store import _kept
from typer.testing import CliRunner

from fstore.cli import app

PAGE = Path(__file__).parent / "own-reports.md"

HEAD = """
name = "docs"
network = "caffenet-mini"
layers = ["conv5", "fc7"]
sweep = ["random0", "random1"]
[classification]
dataset = "digits"
"""


def _block(language: str) -> str:
    """Return all of the page's blocks in a language, one after another."""
    text = PAGE.read_text(encoding="utf-8")
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@cache
def _folder() -> TemporaryDirectory[str]:
    """Copy the store of the other pages, and set the page's study; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="fstore-docs-")
    place = Path(folder.name)
    shutil.copytree(Path(_kept().name) / "store", place / "store")
    (place / "study.toml").write_text(HEAD + _block("toml"), encoding="utf-8")
    (place / "images.sql").write_text(_block("sql"), encoding="utf-8")
    (place / "deviation.py").write_text(_block("python"), encoding="utf-8")
    _run(place, "study", "set", str(place / "study.toml"))
    return folder


def _run(place: Path, *words: str) -> str:
    done = CliRunner().invoke(app, ["--store", str(place / "store"), *words])
    if done.exit_code:
        raise RuntimeError(f"fstore {' '.join(words)}: {done.output}") from done.exception
    return done.stdout.rstrip()


def shown(*names: str) -> str:
    """Return what reports show, as a terminal session in Markdown."""
    place = Path(_folder().name)
    parts = [
        f"$ fstore report show {name}\n{_run(place, 'report', 'show', name)}" for name in names
    ]
    return "```\n" + "\n\n".join(parts) + "\n```"
